#include "mercer/train/rate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "mercer/base/random.hpp"
#include "mercer/comm/together.hpp"
#include "sums.hpp"

namespace mercer::train {
namespace {

/// The largest eigenvalue of the symmetric tridiagonal matrix with diagonal a and off-diagonal b,
/// by bisection: x lies above all eigenvalues when every pivot of T - x I is negative.
double largest_of_tridiagonal(const std::vector<double>& a, const std::vector<double>& b) {
  const auto above_all = [&](double x) {
    double pivot = a[0] - x;
    for (std::size_t i = 1; i < a.size() && pivot < 0; ++i)
      pivot = a[i] - x - b[i - 1] * b[i - 1] / pivot;
    return pivot < 0;
  };
  double low = *std::ranges::max_element(a), high = low;
  for (const double off : b) high += 2 * off;
  while (high - low > 4 * std::numeric_limits<double>::epsilon() * high) {
    const double middle = (low + high) / 2;
    if (!(middle > low && middle < high)) break;
    (above_all(middle) ? high : low) = middle;
  }
  return low;
}

/// The vectors of the recursion, c x m, this rank's rows.
template <class T>
struct Vectors {
  Matrix<T> u, before, z;
  std::vector<T> g;
  Index outputs;              // of S
  std::vector<double> small;  // P = V^T u, outputs x k, then |u|^2

  Vectors(const RowSet<T>& rows, std::size_t parameters)
      : u(rows.Y.rows(), rows.rows()),
        before(u.rows(), u.cols(), T{0}),
        z(u.rows(), u.cols()),
        g(parameters),
        outputs(rows.outputs_of_S()),
        small(static_cast<std::size_t>(outputs * rows.S.k() + 1)) {}
  MatrixView<double> P() {
    return {small.data(), outputs, static_cast<Index>(small.size() - 1) / outputs, outputs};
  }
};

/// P = V^T u and |u|^2 over all ranks; returns (u.(S u))^(1/2).
template <class T>
double norm_in_S(const comm::Communicator& comm, const RowSet<T>& rows, Vectors<T>& v) {
  rows.S.project(rows.for_S(MatrixView<const T>(v.u.view())), v.P());
  v.small.back() = square_sum(entries<T>(v.u.view()));
  comm.all_reduce(std::span<double>(v.small), comm::Op::sum);
  return std::sqrt(std::max(0.0, v.small.back() + rows.S.excess(v.P())));
}

/// u and P divided by u's norm.
template <class T>
void normalise(Vectors<T>& v, double norm) {
  for (Index i = 0; i < v.u.size(); ++i)
    v.u.data()[i] = static_cast<T>(static_cast<double>(v.u.data()[i]) / norm);
  for (double& x : v.small) x /= norm;
}

}  // namespace

template <class T>
Bound largest_eigenvalue(const comm::Communicator& comm, net::Evaluator<T>& evaluator,
                         std::span<const T> w, const RowSet<T>& rows, std::uint64_t seed,
                         double tolerance, int most) {
  const Index c = rows.Y.rows();
  auto v = comm::together(comm, [&] { return Vectors<T>(rows, w.size()); });
  const Random random(seed, Stream::probe);
  for (Index i = 0; i < v.u.size(); ++i)
    v.u.data()[i] = static_cast<T>(random.normal(static_cast<std::uint64_t>(rows.first * c + i)));

  evaluator.outputs(w, rows.X.view(), v.z.view());  // keeps the activations
  Bound bound;
  std::vector<double> alpha, beta;
  double norm = norm_in_S(comm, rows, v);
  double change_before = 1;
  while (norm > 0 && bound.products < most) {
    normalise(v, norm);
    rows.S.add(rows.for_S(MatrixView<const T>(v.u.view())), v.P(), rows.for_S(v.z.view()));
    evaluator.gradient(w, rows.X.view(), v.z.view(), v.g, true);
    comm.all_reduce(std::span<T>(v.g), comm::Op::sum);
    alpha.push_back(square_sum(std::span<const T>(v.g)));  // u.(S J J^T S u)
    ++bound.products;
    if (!std::isfinite(alpha.back()))
      throw RunError("the gradient at which lambda_max(J J^T S) is measured is not finite");
    const double previous = std::exchange(bound.lambda_max, largest_of_tridiagonal(alpha, beta));
    if (bound.lambda_max == 0) break;
    bound.change = (bound.lambda_max - previous) / bound.lambda_max;
    if (bound.change <= tolerance / 10 && change_before <= tolerance / 10) break;
    change_before = bound.change;
    if (bound.products == most) break;

    evaluator.jvp(w, v.g, rows.X.view(), v.z.view(), true);  // J J^T S u
    const double last = beta.empty() ? 0 : beta.back();
    for (Index i = 0; i < v.u.size(); ++i)
      v.before.data()[i] = static_cast<T>(static_cast<double>(v.z.data()[i]) -
                                          alpha.back() * static_cast<double>(v.u.data()[i]) -
                                          last * static_cast<double>(v.before.data()[i]));
    std::swap(v.u, v.before);
    norm = norm_in_S(comm, rows, v);
    // The rest of u is rounding: the Krylov space is exhausted.
    if (!(norm > 10 * std::numeric_limits<T>::epsilon() * bound.lambda_max)) break;
    beta.push_back(norm);
  }
  return bound;
}

template Bound largest_eigenvalue<double>(const comm::Communicator&, net::Evaluator<double>&,
                                          std::span<const double>, const RowSet<double>&,
                                          std::uint64_t, double, int);
template Bound largest_eigenvalue<float>(const comm::Communicator&, net::Evaluator<float>&,
                                         std::span<const float>, const RowSet<float>&,
                                         std::uint64_t, double, int);

}  // namespace mercer::train
