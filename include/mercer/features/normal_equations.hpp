#pragma once

#include <memory>
#include <span>
#include <vector>

#include "mercer/base/cost.hpp"
#include "mercer/dist/dist_matrix.hpp"

/// The s x s system of ridge regression with features, accumulated over rows that are never all
/// there.
namespace mercer::features {

/// With Psi = n^(-1/2) (psi(x_1), ..., psi(x_n))^T, n x s,
///
///     A = Psi^T Psi = (1/n) sum_i psi_i psi_i^T,   B = n^(-1/2) Psi^T Y = (1/n) sum_i psi_i y_i^T.
///
/// A's nonzero eigenvalues are those of Psi Psi^T, which estimates K = k/n.
struct NormalEquations {
  dist::DistMatrix<double> A;      ///< s x s, its lower triangle
  Matrix<double> B;                ///< s x c, on every rank
  std::vector<double> y_square{};  ///< (1/n) sum_i y_i^2 of each output
  Index n = 0;

  Index columns() const { return A.rows(); }
  Index outputs() const { return B.cols(); }
};

/// Adds up the system, panel after panel. T: the precision of the features; with float, products of
/// a few thousand rows are summed in float and those sums in double.
template <class T>
class Accumulator {
 public:
  /// Collective. Throws std::bad_alloc through comm::together(). Memory: cost().
  Accumulator(const dist::ProcessGrid& grid, Index columns, Index outputs, Index nb);
  ~Accumulator();

  /// Adds this rank's m rows: psi s x m, y c x m, one row of data in each column; m may differ from
  /// rank to rank, and be 0. s^2/P flops a row of all ranks: the lower triangle alone. Sends each
  /// rank the features of its process row and column (PanelExchange). Collective.
  void add(MatrixView<const T> psi, MatrixView<const double> y);
  Index rows() const { return rows_; }  ///< added so far, by all ranks

  /// The sums so far as a system. Collective.
  NormalEquations finish() &&;

  /// One add() of `rows` rows of all ranks, and the bytes a rank of everything. Local.
  static Cost cost(dist::GridShape shape, Index columns, Index outputs, Index rows);

 private:
  struct State;
  void update(MatrixView<const T> rows, MatrixView<const T> columns);
  void flush();  ///< adds the sums in float to those in double

  dist::DistMatrix<double> A_;  ///< n A
  std::vector<double> own_;     ///< c x s of psi y^T, then c of y^2; of this rank's rows
  Index columns_, outputs_, rows_ = 0;
  std::unique_ptr<State> state_;
};

}  // namespace mercer::features
