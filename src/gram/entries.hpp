#pragma once

#include <functional>
#include <memory>

#include "mercer/kernel/kernel.hpp"

namespace mercer::gram {

// The tile functions of a kernel, with checks of their results: an entry that is not finite is
// found where it is computed, before a solver uses it, and the error names the row, and the layer
// where the kernel knows it. Everything is local; callers pass errors on through comm::together().

/// Throws Error with the code `interrupted` if the function is set and returns true.
void give_up_if(const std::function<bool()>& interrupted);

/// How many columns of a tile of `rows` rows to evaluate together, at most `most`: those of about
/// 0.3 s, at 5 ns a step, for the sake of progress and interruptions. `most` for cheap kernels.
Index columns_at_once(const kernel::Kernel& kernel, Index rows, Index most);

/// The names in errors of the rows behind a tile.
struct RowNames {
  std::function<Index(Index)> number;  ///< of the i-th prepared row in its data set, from 0
  const char* set = "row";             ///< "row" or "column" of the matrix
};

/// Kernel::prepare(). Where a row leaves the range of double, throws InputError with the row's
/// number in its data set.
std::unique_ptr<kernel::Rows> prepare(const kernel::Kernel& kernel, Matrix<double>&& X,
                                      const RowNames& names);

/// Prepared rows, and their names in errors.
struct NamedRows {
  const kernel::Rows& rows;
  const RowNames& names;
};

/// Throws InputError unless all of out(i, j) = k(x_(i0+i), z_(j0+j)) are finite. One addition an
/// entry.
void require_finite(const kernel::Kernel& kernel, const NamedRows& x, Index i0, const NamedRows& z,
                    Index j0, MatrixView<const double> out);
/// Kernel::tile(), then require_finite().
void evaluate_tile(const kernel::Kernel& kernel, const NamedRows& x, Index i0, const NamedRows& z,
                   Index j0, MatrixView<double> out);

/// to = scale from, a column of n finite entries, rounded to single precision. Throws InputError
/// where one exceeds 3.4e38; `x` and `z` name its row and column.
void to_single(const double* from, Index n, double scale, float* to, const RowNames& x, Index i0,
               const RowNames& z, Index j);

/// Sums of |value| over entries in double and as stored in single precision: over the diagonal,
/// which holds the largest entries, or over the whole of a cross matrix.
struct SingleSums {
  double exact = 0, kept = 0;
  void add(double value, float as_kept);
};
/// Throws InputError where the entries vanish in single precision, i.e. where the two sums over all
/// ranks differ by more than rounding.
void require_kept(const SingleSums& sums);

}  // namespace mercer::gram
