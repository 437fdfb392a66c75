#include "blocks.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/spectral/replicated.hpp"

namespace mercer::krr {

using blas::Trans;

void inner_products(const comm::Communicator& comm, std::span<const Inner> wanted,
                    std::span<Matrix<double>> results) {
  Index length = 0;
  for (const Inner& w : wanted) length += w.A.cols * w.B.cols;
  std::vector<double> sums(static_cast<std::size_t>(length), 0.0);
  double* out = sums.data();
  for (const Inner& w : wanted) {
    const MatrixView<double> C{out, w.A.cols, w.B.cols, std::max<Index>(1, w.A.cols)};
    if (w.A.rows > 0) blas::gemm(Trans::yes, Trans::no, 1.0, w.A, w.B, 0.0, C);
    out += w.A.cols * w.B.cols;
  }
  comm.all_reduce(std::span<double>(sums), comm::Op::sum);
  const double* in = sums.data();
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    results[i] = Matrix<double>(wanted[i].A.cols, wanted[i].B.cols);
    std::copy_n(in, results[i].size(), results[i].data());
    in += results[i].size();
  }
}

void add_times(double sign, View A, View C, MatrixView<double> Y) {
  if (A.cols > 0) blas::gemm(Trans::no, Trans::no, sign, A, C, 1.0, Y);
}

Matrix<double> times(View A, View C) {
  Matrix<double> Y(A.rows, C.cols, 0.0);
  add_times(1, A, C, Y.view());
  return Y;
}

void multiply(Matrix<double>& A, View C) {
  constexpr Index kPanel = 1024;
  for (Index first = 0; first < A.rows(); first += kPanel) {
    const MatrixView<double> rows{A.data() + first, std::min(kPanel, A.rows() - first), A.cols(),
                                  A.ld()};
    const Matrix<double> product = times(rows, C);
    for (Index j = 0; j < rows.cols; ++j)
      for (Index i = 0; i < rows.rows; ++i) rows(i, j) = product(i, j);
  }
}

Matrix<double> transposed_times(View A, View C) {
  Matrix<double> Y(A.cols, C.cols, 0.0);
  if (A.rows > 0) blas::gemm(Trans::yes, Trans::no, 1.0, A, C, 0.0, Y.view());
  return Y;
}

std::vector<double> column_dots(const comm::Communicator& comm, View A, View B) {
  std::vector<double> sums(static_cast<std::size_t>(A.cols), 0.0);
  for (Index j = 0; j < A.cols; ++j)
    for (Index i = 0; i < A.rows; ++i) sums[static_cast<std::size_t>(j)] += A(i, j) * B(i, j);
  comm.all_reduce(std::span<double>(sums), comm::Op::sum);
  return sums;
}

std::vector<double> column_norms(const comm::Communicator& comm, View A) {
  std::vector<double> norms = column_dots(comm, A, A);
  for (double& x : norms) x = std::sqrt(x);
  return norms;
}

SmallEigenpairs symmetric_eigenpairs(const comm::Communicator& comm, Matrix<double>&& G) {
  if (!std::all_of(G.data(), G.data() + G.size(), [](double x) { return std::isfinite(x); }))
    throw RunError("a product with K or the preconditioner is not finite");
  auto pairs = spectral::replicated_eigenpairs(comm, G.view());
  if (comm.root()) G = std::move(pairs.vectors);
  comm.broadcast(std::span<double>(G.data(), static_cast<std::size_t>(G.size())), 0);
  return {std::move(pairs.values), std::move(G)};
}

Matrix<double> gather_rows(const comm::Communicator& comm, View A, Index first,
                           std::span<const Index> rows) {
  Matrix<double> result(static_cast<Index>(rows.size()), A.cols, 0.0);
  for (Index i = 0; i < result.rows(); ++i) {
    const Index local = rows[static_cast<std::size_t>(i)] - first;
    if (local < 0 || local >= A.rows) continue;
    for (Index j = 0; j < A.cols; ++j) result(i, j) = A(local, j);
  }
  comm.all_reduce(std::span<double>(result.data(), static_cast<std::size_t>(result.size())),
                  comm::Op::sum);
  return result;
}

}  // namespace mercer::krr
