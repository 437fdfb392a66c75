#include "lanczos.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "mercer/base/error.hpp"
#include "mercer/spectral/norm.hpp"
#include "sums.hpp"

namespace mercer::train {

template <class T>
Lanczos<T>::Lanczos(const comm::Communicator& comm, net::Evaluator<T>& evaluator,
                    std::span<const T> w, const RowSet<T>& rows)
    : comm_(comm),
      evaluator_(evaluator),
      w_(w),
      rows_(rows),
      u_(rows.Y.rows(), rows.rows()),
      before_(u_.rows(), u_.cols(), T{0}),
      z_(u_.rows(), u_.cols()),
      g_(w.size()),
      outputs_(rows.outputs_of_S()),
      small_(static_cast<std::size_t>(outputs_ * rows.S.k() + 1)) {}

/// V^T u and |u|^2 over all ranks; returns (u.(S u))^(1/2).
template <class T>
double Lanczos<T>::norm_in_S() {
  const MatrixView<double> P{small_.data(), outputs_, rows_.S.k(), outputs_};
  rows_.S.project(rows_.for_S(MatrixView<const T>(u_.view())), P);
  small_.back() = square_sum(entries<T>(u_.view()));
  comm_.all_reduce(std::span<double>(small_), comm::Op::sum);
  return std::sqrt(std::max(0.0, small_.back() + rows_.S.excess(P)));
}

template <class T>
bool Lanczos<T>::step() {
  double norm = 0;
  if (alpha_.empty()) {
    norm = start_norm_ = norm_in_S();
    if (!(norm > 0)) return false;
    evaluator_.outputs(w_, rows_.X.view(), z_.view());  // keeps the activations
  } else {
    evaluator_.jvp(w_, g_, rows_.X.view(), z_.view(), true);  // J J^T S u
    const double last = beta_.empty() ? 0 : beta_.back();
    for (Index i = 0; i < u_.size(); ++i)
      before_.data()[i] = static_cast<T>(static_cast<double>(z_.data()[i]) -
                                         alpha_.back() * static_cast<double>(u_.data()[i]) -
                                         last * static_cast<double>(before_.data()[i]));
    std::swap(u_, before_);
    norm = norm_in_S();
    if (!(norm > 10 * std::numeric_limits<T>::epsilon() * largest_)) return false;
    beta_.push_back(norm);
  }
  for (Index i = 0; i < u_.size(); ++i)
    u_.data()[i] = static_cast<T>(static_cast<double>(u_.data()[i]) / norm);
  for (double& x : small_) x /= norm;

  rows_.S.add(rows_.for_S(MatrixView<const T>(u_.view())), projection(), rows_.for_S(z_.view()));
  evaluator_.gradient(w_, rows_.X.view(), z_.view(), g_, true);
  comm_.all_reduce(std::span<T>(g_), comm::Op::sum);
  alpha_.push_back(square_sum(std::span<const T>(g_)));  // u.(S J J^T S u)
  if (!std::isfinite(alpha_.back()))
    throw RunError("the gradient of a product with J J^T S is not finite");
  largest_ = spectral::largest_of_tridiagonal(alpha_, beta_);
  return true;
}

template class Lanczos<double>;
template class Lanczos<float>;

}  // namespace mercer::train
