#include "mercer/msk/preconditioner.hpp"

#include <algorithm>

#include "mercer/base/error.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/dist/rows.hpp"

namespace mercer::msk {

using blas::Trans;

namespace {

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

}  // namespace

template <class T>
std::vector<Index> Preconditioner<T>::keep(Index pairs, const ModifiedSpectrum& spectrum) {
  if (std::ssize(spectrum.g) != pairs)
    throw InputError("the spectrum map was applied to {} eigenvalues, but there are {} eigenpairs",
                     spectrum.g.size(), pairs);
  std::vector<Index> kept;
  const auto ratio = spectrum.ratio();
  for (Index i = 0; i < pairs; ++i) {
    if (ratio[at(i)] == 1) continue;
    kept.push_back(i);
    c_.push_back(ratio[at(i)] - 1);
    lambda_.push_back(spectrum.lambda[at(i)]);
  }
  return kept;
}

template <class T>
Preconditioner<T>::Preconditioner(const spectral::TopPairs& pairs,
                                  const ModifiedSpectrum& spectrum) {
  const auto kept = keep(pairs.k(), spectrum);
  V_ = Matrix<T>(k(), pairs.vectors.rows());
  for (Index i = 0; i < k(); ++i) {
    const double* v = pairs.vectors.column(kept[at(i)]);
    for (Index j = 0; j < V_.cols(); ++j) V_(i, j) = static_cast<T>(v[j]);
  }
}

template <class T>
Preconditioner<T>::Preconditioner(const spectral::Eigenpairs<double>& pairs,
                                  const ModifiedSpectrum& spectrum) {
  const auto kept = keep(pairs.k(), spectrum);
  if (!identity()) V_ = dist::columns_by_rows<T>(pairs.vectors, kept);
}

template <class T>
Preconditioner<T>::Preconditioner(Matrix<T> vectors, std::vector<double> coefficients)
    : V_(std::move(vectors)), c_(std::move(coefficients)) {
  if (V_.rows() != k()) throw RunError("S of {} vectors and {} coefficients", V_.rows(), c_.size());
}

template <class T>
void Preconditioner<T>::reserve(Index outputs) const {
  const auto size = at(outputs * k());
  if (small_.size() < size) small_.resize(size);
}

template <class T>
void Preconditioner<T>::project(MatrixView<const T> R, MatrixView<double> P) const {
  if (identity()) return;
  reserve(R.rows);
  project_rows(R, V_.view(), small_.data(), P);
}

template <class T>
void Preconditioner<T>::add(MatrixView<const T> R, MatrixView<const double> P,
                            MatrixView<T> Z) const {
  if (Z.data != R.data)
    for (Index j = 0; j < R.cols; ++j) std::copy_n(R.column(j), R.rows, Z.column(j));
  if (identity()) return;
  reserve(R.rows);
  const MatrixView<T> weighted{small_.data(), R.rows, k(), std::max<Index>(1, R.rows)};
  for (Index i = 0; i < k(); ++i)
    for (Index a = 0; a < R.rows; ++a) weighted(a, i) = static_cast<T>(c_[at(i)] * P(a, i));
  blas::gemm<T>(Trans::no, Trans::no, T{1}, weighted, V_.view(), T{1}, Z);
}

template <class T>
double Preconditioner<T>::excess(MatrixView<const double> P) const {
  double sum = 0;
  for (Index i = 0; i < k(); ++i) {
    double square = 0;
    for (Index a = 0; a < P.rows; ++a) square += P(a, i) * P(a, i);
    sum += c_[at(i)] * square;
  }
  return sum;
}

template <class T>
void Preconditioner<T>::apply(const comm::Communicator& comm, MatrixView<const T> R,
                              MatrixView<T> Z) const {
  Matrix<double> P(R.rows, k());
  project(R, P.view());
  comm.all_reduce(std::span<double>(P.data(), at(P.size())), comm::Op::sum);
  add(R, P.view(), Z);
}

template <class T>
void Preconditioner<T>::apply_columns(const comm::Communicator& comm, MatrixView<T> X) const {
  add_modes(comm, c_, X, X);
}

template <class T>
void Preconditioner<T>::add_modes(const comm::Communicator& comm, std::span<const double> weights,
                                  MatrixView<const T> X, MatrixView<T> Y) const {
  if (std::ssize(weights) != k()) throw RunError("{} weights for {} modes", weights.size(), k());
  if (identity()) return;
  Matrix<T> P(k(), X.cols, T{0});
  if (X.rows > 0) blas::gemm<T>(Trans::no, Trans::no, T{1}, V_.view(), X, T{0}, P.view());
  comm.all_reduce(std::span<T>(P.data(), at(P.size())), comm::Op::sum);
  for (Index j = 0; j < P.cols(); ++j)
    for (Index i = 0; i < k(); ++i) P(i, j) *= static_cast<T>(weights[at(i)]);
  if (X.rows > 0) blas::gemm<T>(Trans::yes, Trans::no, T{1}, V_.view(), P.view(), T{1}, Y);
}

template <>
void project_rows(MatrixView<const double> R, MatrixView<const double> V, double*,
                  MatrixView<double> P) {
  blas::gemm<double>(Trans::no, Trans::yes, 1.0, R, V, 0.0, P);
}

template <>
void project_rows(MatrixView<const float> R, MatrixView<const float> V, float* scratch,
                  MatrixView<double> P) {
  constexpr Index kSumRows = 256;  // rows whose products are summed in float
  for (Index i = 0; i < P.cols; ++i) std::fill_n(P.column(i), P.rows, 0.0);
  const MatrixView<float> part{scratch, P.rows, P.cols, std::max<Index>(1, P.rows)};
  for (Index first = 0; first < R.cols; first += kSumRows) {
    const Index count = std::min(kSumRows, R.cols - first);
    blas::gemm<float>(Trans::no, Trans::yes, 1.0f, R.block(0, first, R.rows, count),
                      V.block(0, first, V.rows, count), 0.0f, part);
    for (Index i = 0; i < P.cols; ++i)
      for (Index a = 0; a < P.rows; ++a) P(a, i) += static_cast<double>(part(a, i));
  }
}

template class Preconditioner<double>;
template class Preconditioner<float>;

}  // namespace mercer::msk
