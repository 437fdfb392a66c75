#pragma once

#include <functional>
#include <memory>

#include "mercer/kernel/kernel.hpp"

namespace mercer::gram {

// The tile functions of a kernel, with a look at what comes out: an entry that is not finite is
// found where it is made, before any solver sees it, and its error names the row, and the layer
// where the kernel knows it. Everything is local; errors go through comm::together().

/// Throws Error, with the code of an interruption, where `interrupted` is there and true.
void give_up_if(const std::function<bool()>& interrupted);

/// What errors call the rows behind a tile.
struct RowNames {
  std::function<Index(Index)> number;  ///< place in its set of the i-th prepared row, from 0
  const char* set = "row";             ///< "row" or "column" of the matrix
};

/// Kernel::prepare(). Throws InputError with the row's own number where a row leaves the range of
/// double.
std::unique_ptr<kernel::Rows> prepare(const kernel::Kernel& kernel, Matrix<double>&& X,
                                      const RowNames& names);

/// Prepared rows, and what they are called.
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

/// to = scale from, a column of finite entries in single precision. Throws InputError where one is
/// beyond 3.4e38; `x`, `z`: what its row and column are called.
void to_single(const double* from, Index n, double scale, float* to, const RowNames& x, Index i0,
               const RowNames& z, Index j);

/// Sums of |value| over entries as they are and as they are kept in single precision: of the
/// diagonal, which has the largest, or of the whole of a matrix that has none.
struct SingleSums {
  double exact = 0, kept = 0;
  void add(double value, float as_kept);
};
/// Throws InputError where the matrix is so small that it vanishes in single precision: sums that
/// differ by more than rounding. Of all ranks.
void require_kept(const SingleSums& sums);

}  // namespace mercer::gram
