#include "mercer/train/directions.hpp"

#include <cmath>
#include <limits>

#include "mercer/base/error.hpp"
#include "mercer/dist/rows.hpp"
#include "mercer/msk/preconditioner.hpp"

namespace mercer::train {

template <class T>
std::vector<Index> Directions<T>::choose(Index n, std::span<const double> lambda,
                                         std::span<const Index> which,
                                         std::span<const double> ratio) {
  if (!ratio.empty() && ratio.size() < lambda.size())
    throw RunError("{} eigenvalues of S for {} eigenpairs of K", ratio.size(), lambda.size());
  which_.assign(which.begin(), which.end());
  std::vector<Index> columns;
  for (const Index i : which) {
    if (i < 1 || i > std::ssize(lambda))
      throw InputError("direction {} is wanted, but eigenpairs 1 to {} are there", i,
                       lambda.size());
    if (!columns.empty() && i <= columns.back() + 1)
      throw InputError("directions must ascend: {} after {}", i, columns.back() + 1);
    columns.push_back(i - 1);
    const auto at = static_cast<std::size_t>(i - 1);
    rates_.push_back(static_cast<double>(n) * lambda[at] * (ratio.empty() ? 1 : ratio[at]));
  }
  return columns;
}

template <class T>
void Directions<T>::set_rates(Index n, std::span<const double> lambda,
                              std::span<const double> ratio) {
  for (std::size_t i = 0; i < which_.size(); ++i) {
    const auto at = static_cast<std::size_t>(which_[i] - 1);
    const bool known = at < lambda.size() && at < ratio.size();
    rates_[i] = known ? static_cast<double>(n) * lambda[at] * ratio[at]
                      : std::numeric_limits<double>::quiet_NaN();
  }
}

template <class T>
Directions<T>::Directions(const spectral::TopPairs& pairs, std::span<const Index> which,
                          std::span<const double> ratio) {
  const auto columns = choose(pairs.n, pairs.values, which, ratio);
  V_ = Matrix<T>(std::ssize(columns), pairs.vectors.rows());
  for (Index i = 0; i < V_.rows(); ++i) {
    const double* v = pairs.vectors.column(columns[static_cast<std::size_t>(i)]);
    for (Index j = 0; j < V_.cols(); ++j) V_(i, j) = static_cast<T>(v[j]);
  }
}

template <class T>
Directions<T>::Directions(const spectral::Eigenpairs<double>& pairs, std::span<const Index> which,
                          std::span<const double> ratio) {
  const auto columns = choose(pairs.n(), pairs.values, which, ratio);
  if (!empty()) V_ = dist::columns_by_rows<T>(pairs.vectors, columns);
}

template <class T>
std::vector<double> Directions<T>::measure(const comm::Communicator& comm,
                                           MatrixView<const T> R) const {
  if (empty()) return {};
  const auto count = static_cast<Index>(which_.size());
  Matrix<double> P(R.rows, count);
  RawVector<T> scratch(static_cast<std::size_t>(P.size()));
  msk::project_rows(R, V_.view(), scratch.data(), P.view());
  comm.all_reduce(std::span<double>(P.data(), static_cast<std::size_t>(P.size())), comm::Op::sum);
  std::vector<double> norms;
  for (Index i = 0; i < count; ++i) {
    double square = 0;
    for (Index a = 0; a < R.rows; ++a) square += P(a, i) * P(a, i);
    norms.push_back(std::sqrt(square));
  }
  return norms;
}

template class Directions<double>;
template class Directions<float>;

}  // namespace mercer::train
