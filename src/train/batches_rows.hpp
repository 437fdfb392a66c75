#pragma once

#include "batches.hpp"
#include "mercer/dist/row_block.hpp"

namespace mercer::train {

/// Batches of random rows, but for Stochastic::block. A step moves along eta J_B^T (S r)_B with (S
/// r)_B = r_B + V_B (c o (V^T r)). r_B is evaluated at w; V^T r of the stale residual is updated by
/// V_B^T (r_B new - r_B old), in O(k c |B|). The columns of X and V of the batch's rows on this
/// rank are gathered into buffers of min(batch, m) columns.
template <class T>
class RowBatches : public Batches<T> {
  using Batches<T>::run_;

 public:
  explicit RowBatches(Run<T>& run);

  void prepare() final;
  Totals evaluate() final;
  Totals evaluate_all() final;
  void keep_all() final;
  net::Evaluator<T>& evaluator() final {
    return small_evaluator_ ? *small_evaluator_ : run_.evaluator;
  }
  MatrixView<const T> X() const final;
  MatrixView<const T> seed() final;
  MatrixView<const T> residual() const final {
    return all_evaluated_ ? all_.view() : run_.state.residual[0].view();
  }
  Index pieces() const final { return pieces_.nprocs; }

 private:
  const RowSet<T>& set() const { return run_.sets[0]; }
  MatrixView<const double> projection() const;
  void draw();  // the rows of the batch, and their columns of X and V
  void see();   // evaluates r_B at w; its change goes into difference_
  MatrixView<T> used(Matrix<T>& A) const {
    return A.view().block(0, 0, A.rows(), static_cast<Index>(mine_.size()));
  }

  dist::RowPartition pieces_;  // batches of an epoch's permutation
  Index refresh_;
  EpochOrder order_;
  std::vector<Index> mine_;  // local rows of the batch
  Matrix<T> X_, V_, R_, difference_;
  Matrix<T> all_;                                       // r of all rows, by evaluate_all()
  std::vector<double> projection_;                      // V^T r, by evaluate_all()
  RawVector<T> small_T_;                                // c x k
  std::unique_ptr<net::Evaluator<T>> small_evaluator_;  // where run_.evaluator does not keep all
  bool all_evaluated_ = false;                          // evaluate_all() was the last evaluation
  SmallSum small_;
};

}  // namespace mercer::train
