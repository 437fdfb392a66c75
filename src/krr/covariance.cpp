#include "mercer/krr/covariance.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/la/scalapack.hpp"

namespace mercer::krr {
namespace {

using blas::Trans;

void check(const GradientFlow& flow, std::span<const double> values) {
  if (!(flow.time > 0)) throw InputError("the time is {}: it must be positive", flow.time);
  if (!(flow.ridge >= 0)) throw InputError("the ridge is {}: it must not be negative", flow.ridge);
  const double least = *std::ranges::min_element(values);
  if (std::isinf(flow.time) && !(least + flow.ridge > 0))
    throw RunError(
        "K + gamma I is not positive definite at gamma = {:.3g}, with a smallest eigenvalue of "
        "{:.2g}: there is no covariance at t = infinity",
        flow.ridge, least);
}

template <class T>
void check_shape(const char* name, const DistMatrix<T>& A, Index rows, Index cols) {
  if (A.rows() != rows || A.cols() != cols)
    throw InputError("{} is {} x {}: it must be {} x {}", name, A.rows(), A.cols(), rows, cols);
}

/// The pairs, once they are all of n training rows.
template <class T>
const spectral::Eigenpairs<T>& all(const spectral::Eigenpairs<T>& pairs) {
  if (pairs.k() != pairs.vectors.rows() || pairs.k() == 0)
    throw InputError("covariances need all {} eigenpairs, there are {}", pairs.vectors.rows(),
                     pairs.k());
  return pairs;
}

/// The pairs, once the matrices fit them.
template <class T>
const spectral::Eigenpairs<T>& fitting(const spectral::Eigenpairs<T>& pairs,
                                       const DistMatrix<T>& T_ZX, const DistMatrix<T>& k_XX,
                                       const DistMatrix<T>& k_ZX) {
  const Index n = all(pairs).k();
  check_shape("T(Z, X)", T_ZX, k_ZX.rows(), n);
  check_shape("k(X, X)", k_XX, n, n);
  check_shape("k(Z, X)", k_ZX, T_ZX.rows(), n);
  return pairs;
}

template <class T>
DistMatrix<T> product(const DistMatrix<T>& A, const DistMatrix<T>& B, double factor = 1,
                      Trans ta = Trans::no) {
  DistMatrix<T> C(A.grid(), ta == Trans::no ? A.rows() : A.cols(), B.cols(), A.nb());
  la::gemm<T>(ta, Trans::no, static_cast<T>(factor), A, B, T{0}, C);
  return C;
}

/// A diag(filter(lambda_i + gamma)).
template <class T>
DistMatrix<T> filtered(const DistMatrix<T>& A, std::span<const double> values,
                       const GradientFlow& flow) {
  std::vector<double> filter;
  for (const double lambda : values) filter.push_back(flow.filter(lambda + flow.ridge));
  DistMatrix<T> result = A.copy();
  la::scale_columns<T>(result, filter);
  return result;
}

}  // namespace

template <class T>
DistMatrix<T> readout_covariance(const spectral::Eigenpairs<T>& pairs, const DistMatrix<T>& k_ZX,
                                 DistMatrix<T>&& k_ZZ, const GradientFlow& flow) {
  check(flow, all(pairs).values);
  check_shape("k(Z, X)", k_ZX, k_ZZ.rows(), pairs.k());
  check_shape("k(Z, Z)", k_ZZ, k_ZX.rows(), k_ZX.rows());
  auto twice = flow;
  twice.time *= 2;
  const auto modes = product(k_ZX, pairs.vectors);
  const auto weighted = filtered<T>(modes, pairs.values, twice);
  const auto n = static_cast<T>(pairs.k());
  la::gemm<T>(Trans::no, Trans::yes, -1 / n, weighted, modes, T{1}, k_ZZ);
  return std::move(k_ZZ);
}

template <class T>
TrainedCovariance<T>::TrainedCovariance(const spectral::Eigenpairs<T>& pairs,
                                        const DistMatrix<T>& T_ZX, const DistMatrix<T>& k_XX,
                                        const DistMatrix<T>& k_ZX)
    : values_(fitting(pairs, T_ZX, k_XX, k_ZX).values),
      T_modes_(product(T_ZX, pairs.vectors, 1 / static_cast<double>(pairs.k()))),
      k_modes_(product(k_ZX, pairs.vectors)),
      G_(product(pairs.vectors, product(k_XX, pairs.vectors), 1, Trans::yes)) {}

template <class T>
DistMatrix<T> TrainedCovariance<T>::at(const DistMatrix<T>& k_ZZ, const GradientFlow& flow) const {
  check(flow, values_);
  check_shape("k(Z, Z)", k_ZZ, T_modes_.rows(), T_modes_.rows());
  const auto P = filtered<T>(T_modes_, values_, flow);  // P V
  // k(Z, Z) + B (P V)^T + (P V) B^T with B = (1/2) P V G - k(Z, X) V.
  auto half = k_modes_.copy();
  la::gemm<T>(Trans::no, Trans::no, T(0.5), P, G_, T{-1}, half);
  auto result = k_ZZ.copy();
  la::gemm<T>(Trans::no, Trans::yes, T{1}, half, P, T{1}, result);
  la::gemm<T>(Trans::no, Trans::yes, T{1}, P, half, T{1}, result);
  return result;
}

#define MERCER_INSTANTIATE(T)                                                                      \
  template DistMatrix<T> readout_covariance<T>(                                                    \
      const spectral::Eigenpairs<T>&, const DistMatrix<T>&, DistMatrix<T>&&, const GradientFlow&); \
  template class TrainedCovariance<T>;
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::krr
