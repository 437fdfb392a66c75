#pragma once

#include "batches.hpp"
#include "mercer/dist/row_block.hpp"

namespace mercer::train {

/// Stochastic::rows. A step moves along eta J_B^T (S r)_B with (S r)_B = r_B + V_B (c o (V^T r)):
/// r_B is computed at w, V^T r is kept as the sum of what was last seen of each row and gets V_B^T
/// (r_B new - r_B old), O(k c |B|). Gathers the columns of X and V of a piece's rows that this rank
/// holds into buffers of min(batch, m) columns.
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
  void draw();  // which rows, and their columns of X and V
  void see();   // r_B at w; its change, into difference_
  MatrixView<T> used(Matrix<T>& A) const {
    return A.view().block(0, 0, A.rows(), static_cast<Index>(mine_.size()));
  }

  dist::RowPartition pieces_;  // of an epoch's permutation
  Index refresh_;
  EpochOrder order_;
  std::vector<Index> mine_;  // local rows of the piece
  Matrix<T> X_, V_, R_, difference_;
  Matrix<T> all_;                                       // r of all rows, of evaluate_all()
  std::vector<double> projection_;                      // V^T r, of evaluate_all()
  RawVector<T> small_T_;                                // c x k
  std::unique_ptr<net::Evaluator<T>> small_evaluator_;  // where the large one keeps nothing
  bool all_evaluated_ = false;                          // since the last evaluate()
  SmallSum small_;
};

}  // namespace mercer::train
