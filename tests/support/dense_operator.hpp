#pragma once

#include <functional>

#include "mercer/blas/blas.hpp"
#include "mercer/gram/operator.hpp"

namespace mercer::test {

/// K_ij = f(i, j) of the global indices as an operator: each rank has its rows of K, and sees all
/// of V.
class DenseOperator final : public gram::Operator {
 public:
  DenseOperator(const comm::Communicator& comm, Index n,
                const std::function<double(Index, Index)>& f)
      : comm_(comm), n_(n), rows_(local_rows(), n) {
    for (Index j = 0; j < n; ++j)
      for (Index i = 0; i < rows_.rows(); ++i) rows_(i, j) = f(first_row() + i, j);
  }
  const comm::Communicator& comm() const override { return comm_; }
  Index size() const override { return n_; }
  Index products() const { return products_; }  ///< K times one vector, so far

  void apply(MatrixView<const double> V, MatrixView<double> Y) const override {
    products_ += V.cols;
    Matrix<double> all(n_, V.cols, 0.0);
    for (Index j = 0; j < V.cols; ++j)
      for (Index i = 0; i < V.rows; ++i) all(first_row() + i, j) = V(i, j);
    comm_.all_reduce(std::span<double>(all.data(), static_cast<std::size_t>(all.size())),
                     comm::Op::sum);
    const Matrix<double>& A = all;
    blas::gemm<double>(blas::Trans::no, blas::Trans::no, 1.0, rows_.view(), A.view(), 0.0, Y);
  }
  void diagonal(std::span<double> d) const override {
    for (std::size_t i = 0; i < d.size(); ++i)
      d[i] = rows_(static_cast<Index>(i), first_row() + static_cast<Index>(i));
  }

 private:
  comm::Communicator comm_;
  Index n_;
  Matrix<double> rows_;
  mutable Index products_ = 0;
};

}  // namespace mercer::test
