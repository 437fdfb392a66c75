#pragma once

#include <functional>

#include "mercer/gram/operator.hpp"
#include "mercer/la/blas.hpp"

namespace mercer::test {

/// The slow, plain operator: this rank's rows of a dense K, and all of V on every rank.
class DenseOperator final : public gram::Operator {
 public:
  DenseOperator(const comm::Communicator& comm, Index n,
                const std::function<double(Index, Index)>& entry)
      : comm_(comm), n_(n), K_(dist::RowPartition{n, comm.size()}.size(comm.rank()), n) {
    for (Index j = 0; j < n; ++j)
      for (Index i = 0; i < K_.rows(); ++i) K_(i, j) = entry(first_row() + i, j);
  }
  const comm::Communicator& comm() const override { return comm_; }
  Index size() const override { return n_; }
  void apply(MatrixView<const double> V, MatrixView<double> Y) const override {
    Matrix<double> own(V.cols, V.rows);
    for (Index j = 0; j < V.cols; ++j)
      for (Index i = 0; i < V.rows; ++i) own(j, i) = V(i, j);
    const auto all =
        comm_.all_gather(std::span<const double>(own.data(), static_cast<std::size_t>(own.size())));
    products += V.cols;
    if (V.rows == 0) return;
    la::gemm<double>(la::Trans::no, la::Trans::yes, 1, K_.view(), {all.data(), V.cols, n_, V.cols},
                     0, Y);
  }
  void diagonal(std::span<double> d) const override {
    for (Index i = 0; i < K_.rows(); ++i) d[static_cast<std::size_t>(i)] = K_(i, first_row() + i);
  }

  mutable Index products = 0;

 private:
  comm::Communicator comm_;
  Index n_;
  Matrix<double> K_;
};

}  // namespace mercer::test
