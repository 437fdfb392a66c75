#pragma once

#include <functional>
#include <span>
#include <vector>

#include "mercer/base/matrix.hpp"
#include "mercer/comm/communicator.hpp"

namespace mercer::msk {

/// Y <- B V, this rank's rows of each. Collective.
using BlockProduct = std::function<void(MatrixView<const double> V, MatrixView<double> Y)>;

/// What solve_shifted() reached.
struct ShiftedSolution {
  /// One for each shift: this rank's rows x the columns of the right-hand sides.
  std::vector<Matrix<double>> Y{};
  /// |b - (B + shift I) y| by the recurrence, the largest over the columns, for each shift.
  std::vector<double> residuals{};
  Index steps = 0;
};

/// (B + shift_r I) y = b for all shifts and all columns of b, by conjugate gradients with one
/// Krylov space for every shift: the residuals of shifted systems are multiples of one another
/// (Frommer and Maass, "Fast CG-based methods for Tikhonov-Phillips regularization", SIAM J. Sci.
/// Comput. 20 (1999); Jegerlehner, hep-lat/9612014). B symmetric positive semidefinite, shifts
/// positive in any order. Columns are independent. Stops where every residual is at most
/// `tolerance` (absolute), or after max_steps products with all columns. Collective. Memory a rank:
/// its rows of (2 shifts + 3) columns. Throws RunError where a product is not finite.
ShiftedSolution solve_shifted(const comm::Communicator& comm, const BlockProduct& B,
                              std::span<const double> shifts, MatrixView<const double> b,
                              double tolerance, Index max_steps);

}  // namespace mercer::msk
