#pragma once

#include <vector>

#include "mercer/net/network.hpp"
#include "mercer/train/row_set.hpp"

namespace mercer::train {

/// The Lanczos recursion of A = J J^T S, J the Jacobian of the rows at w, in the inner product of
/// S, in which A is symmetric: with Q^T S Q = I, A Q = Q T + (a multiple of the next vector) e_m^T,
/// T tridiagonal. The vectors (c x rows) are not kept. S has to be positive definite. Borrows its
/// arguments; the preconditioner's workspace is theirs. All calls but the getters are collective.
///
/// A step takes one gradient, from the second on one directional derivative, and all-reduces of p
/// and of k c + 1 numbers. Allocates p + 3 c m elements and k c numbers.
template <class T>
class Lanczos {
 public:
  Lanczos(const comm::Communicator& comm, net::Evaluator<T>& evaluator, std::span<const T> w,
          const RowSet<T>& rows);

  /// u, where the caller writes the start vector, c x m, before the first step: f(X; w) at first.
  MatrixView<T> start() { return u_.view(); }
  /// Appends a column to Q, and to T. False, with nothing appended, where the Krylov space is
  /// exhausted: what is left of the vector is rounding. Throws RunError where the gradient is not
  /// finite.
  bool step();

  const std::vector<double>& diagonal() const { return alpha_; }
  const std::vector<double>& off_diagonal() const { return beta_; }  ///< one fewer
  double start_norm() const { return start_norm_; }                  ///< (u.(S u))^(1/2) of start()
  double largest() const { return largest_; }                        ///< lambda_max(T)
  /// V^T q of the last column q, outputs of S x k.
  MatrixView<const double> projection() const {
    return {small_.data(), outputs_, static_cast<Index>(small_.size() - 1) / outputs_, outputs_};
  }

 private:
  double norm_in_S();

  const comm::Communicator& comm_;
  net::Evaluator<T>& evaluator_;
  std::span<const T> w_;
  const RowSet<T>& rows_;
  Matrix<T> u_, before_, z_;
  std::vector<T> g_;
  Index outputs_;              // of S
  std::vector<double> small_;  // V^T u, outputs x k, then |u|^2
  std::vector<double> alpha_, beta_;
  double start_norm_ = 0, largest_ = 0;
};

}  // namespace mercer::train
