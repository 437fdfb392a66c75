#include "mercer/train/row_preconditioner.hpp"

#include <algorithm>

#include "mercer/base/error.hpp"
#include "mercer/la/blas.hpp"
#include "modes.hpp"

namespace mercer::train {

template <class T>
RowPreconditioner<T>::RowPreconditioner(const spectral::Eigenpairs<double>& pairs,
                                        const msk::ModifiedSpectrum& spectrum) {
  if (static_cast<Index>(spectrum.g.size()) != pairs.k())
    throw InputError("the spectrum map was applied to {} eigenvalues, but there are {} eigenpairs",
                     spectrum.g.size(), pairs.k());
  std::vector<Index> kept;
  const auto ratio = spectrum.ratio();
  for (std::size_t i = 0; i < ratio.size(); ++i) {
    if (ratio[i] == 1) continue;
    kept.push_back(static_cast<Index>(i));
    c_.push_back(ratio[i] - 1);
  }
  if (!identity()) V_ = columns_by_rows<T>(pairs.vectors, kept);
}

template <class T>
RowPreconditioner<T>::RowPreconditioner(Matrix<T> vectors, std::vector<double> coefficients)
    : V_(std::move(vectors)), c_(std::move(coefficients)) {
  if (V_.rows() != k()) throw RunError("S of {} vectors and {} coefficients", V_.rows(), c_.size());
}

template <class T>
void RowPreconditioner<T>::reserve(Index outputs) const {
  const auto size = static_cast<std::size_t>(outputs * k());
  if (small_.size() < size) small_.resize(size);
}

template <class T>
void RowPreconditioner<T>::project(MatrixView<const T> R, MatrixView<double> P) const {
  if (identity()) return;
  reserve(R.rows);
  project_rows(R, V_.view(), small_.data(), P);
}

template <class T>
void RowPreconditioner<T>::add(MatrixView<const T> R, MatrixView<const double> P,
                               MatrixView<T> Z) const {
  if (Z.data != R.data)
    for (Index j = 0; j < R.cols; ++j) std::copy_n(R.column(j), R.rows, Z.column(j));
  if (identity()) return;
  reserve(R.rows);
  const MatrixView<T> weighted{small_.data(), R.rows, k(), std::max<Index>(1, R.rows)};
  for (Index i = 0; i < k(); ++i)
    for (Index a = 0; a < R.rows; ++a)
      weighted(a, i) = static_cast<T>(c_[static_cast<std::size_t>(i)] * P(a, i));
  la::gemm<T>(la::Trans::no, la::Trans::no, T{1}, weighted, V_.view(), T{1}, Z);
}

template <class T>
double RowPreconditioner<T>::excess(MatrixView<const double> P) const {
  double sum = 0;
  for (Index i = 0; i < k(); ++i) {
    double square = 0;
    for (Index a = 0; a < P.rows; ++a) square += P(a, i) * P(a, i);
    sum += c_[static_cast<std::size_t>(i)] * square;
  }
  return sum;
}

template <class T>
void RowPreconditioner<T>::apply(const comm::Communicator& comm, MatrixView<const T> R,
                                 MatrixView<T> Z) const {
  Matrix<double> P(R.rows, k());
  project(R, P.view());
  comm.all_reduce(std::span<double>(P.data(), static_cast<std::size_t>(P.size())), comm::Op::sum);
  add(R, P.view(), Z);
}

template class RowPreconditioner<double>;
template class RowPreconditioner<float>;

}  // namespace mercer::train
