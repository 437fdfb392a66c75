#pragma once

#include <functional>

#include "mercer/dist/dist_matrix.hpp"
#include "mercer/dist/row_block.hpp"
#include "mercer/kernel/kernel.hpp"

namespace mercer::gram {

using dist::DistMatrix;
using dist::ProcessGrid;
using dist::RowBlock;

struct Options {
  /// Memory a rank for panels of prepared rows, scratch tiles and message buffers. Panels shrink to
  /// fit, down to one block of rows.
  double panel_bytes = 512.0 * 1024 * 1024;
  Index nb = 64;       ///< block size of the result
  bool over_n = true;  ///< assemble(): K = k/n; false: k itself
  /// Called now and then on every rank with the share done, 0 ... 1; may be empty. Must not
  /// communicate.
  std::function<void(double)> progress = {};
};

/// K = (1/n) [k(x_i, x_j)] ([G] sec. 2, arXiv 2307.14531), n x n block-cyclic over `grid`, both
/// triangles equal to the bit: each pair is computed once, in the lower triangle, and mirrored.
/// X is n x d by rows over the grid's all() ranks. T = float stores values computed in double.
/// Collective. Cost a rank: n^2/(2 P) entries (2 d flops and the element pass each); sent: panels
/// of X to the rows and columns of the grid, and half of K. Memory: K's share and
/// options.panel_bytes. Throws on all ranks: MemoryError where K's share does not fit on one, and
/// InputError where an entry is not finite or too large for T (it names the row, and the layer
/// where the kernel knows it) or where the entries vanish in T.
template <class T>
DistMatrix<T> assemble(const kernel::Kernel& kernel, const RowBlock<double>& X,
                       const ProcessGrid& grid, const Options& options = {});

/// [k(z_i, x_j)], m x n block-cyclic, not divided by n; Z is m x d by rows over the same ranks as
/// X. As assemble() but without symmetry: m n/P entries a rank, no exchange of K. Throws as
/// assemble(), and InputError where Z and X have different numbers of columns. Collective.
template <class T>
DistMatrix<T> assemble_cross(const kernel::Kernel& kernel, const RowBlock<double>& Z,
                             const RowBlock<double>& X, const ProcessGrid& grid,
                             const Options& options = {});

/// F = (1/n) k(Z, X) A, m x c by rows, without storing the m x n kernel: every rank keeps its rows
/// of Z (m x d) and receives X (n x d) and A (n x c) in panels. All by rows over the same ranks.
/// Collective. Cost a rank: m n/P entries and 2 c flops each; sent: X and A to every rank, once for
/// each panel of Z's rows (one where they fit). Memory: options.panel_bytes. Throws InputError as
/// assemble(), and where Z and X have different numbers of columns, or X and A of rows.
RowBlock<double> apply_cross(const kernel::Kernel& kernel, const RowBlock<double>& Z,
                             const RowBlock<double>& X, const RowBlock<double>& A,
                             const Options& options = {});

/// trace(K) of K = k/n, from the n entries of its diagonal (Kernel::diagonal()), without assembling
/// it. Equal to the trace of the assembled K to rounding: the entries of a tile are rounded in
/// another order, and so is their sum. Prepares every row once. Collective.
double trace(const kernel::Kernel& kernel, const RowBlock<double>& X);

/// The largest Rows::error_estimate() over the data set: the relative error of the kernel's entries
/// beyond rounding (series of tanh, softplus, sigmoid). Prepares every row once. Collective.
double kernel_error_estimate(const kernel::Kernel& kernel, const RowBlock<double>& X);

/// Throws InputError where all of K underflows: some input is not zero, but every k(x, x) is below
/// the smallest normal double, so that no entry has full precision. Prepares every row once, and
/// n/P diagonal entries a rank. Collective.
void require_normal(const kernel::Kernel& kernel, const RowBlock<double>& X);

/// Bytes a rank that assemble() takes besides K itself, for the memory plan. Local.
double assemble_overhead(const kernel::Kernel& kernel, Index n, Index d, dist::GridShape shape,
                         const Options& options);

}  // namespace mercer::gram
