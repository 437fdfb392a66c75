#pragma once

#include <functional>
#include <string>

#include "mercer/dist/dist_matrix.hpp"
#include "mercer/dist/row_block.hpp"
#include "mercer/io/identity.hpp"
#include "mercer/kernel/kernel.hpp"

namespace mercer::gram {

using dist::DistMatrix;
using dist::ProcessGrid;
using dist::RowBlock;

/// Where assemble() and assemble_cross() keep finished tiles, so that a run that ends early can go
/// on.
///
/// The file (io::PartsFile) has a place for every tile, which each rank writes itself, without the
/// other ranks: those that it has finished, after `seconds` and at the end. The tiles are the same
/// for every number of ranks, grid and block size, and so is each of their bits: a resumed run may
/// change these, and gives what an uninterrupted one gives to the bit.
struct AssemblyCheckpoint {
  std::string path{};  ///< empty: none
  /// Go on from the file at `path`. Otherwise it is created, and one that is there is replaced
  /// (jobs::require_new_checkpoint() refuses that).
  bool resume = false;
  double seconds = 600;    ///< between a rank's writings; 0: after every tile
  io::Identity problem{};  ///< kernel and rows: must be the same in the run that resumes
  /// What was found in the file, once, on all ranks.
  std::function<void(const std::string&)> log = {};
  /// The file could not be written; called on the rank where that happens, which goes on.
  std::function<void(const std::string&)> warn = {};

  bool asked() const { return !path.empty(); }
};

struct Options {
  /// Memory a rank for panels of prepared rows, scratch tiles and message buffers. Panels shrink to
  /// fit, down to one block of rows.
  double panel_bytes = 512.0 * 1024 * 1024;
  Index nb = 64;       ///< block size of the result
  bool over_n = true;  ///< assemble(): K = k/n; false: k itself
  /// Called now and then on every rank with the share done, 0 ... 1; may be empty. Must not
  /// communicate.
  std::function<void(double)> progress = {};
  AssemblyCheckpoint checkpoint{};  ///< of assemble() and assemble_cross()
  /// With a checkpoint: asked on every rank after each strip of a tile, at least three times a
  /// second or once in 8 entries. Where it returns true, the finished tiles are written and all
  /// ranks throw an Error with the code `interrupted`, once each has been interrupted or has
  /// finished its round (assemble()). Must not communicate.
  std::function<bool()> interrupted = {};
};

/// Whether assemble() evaluates K tile by tile, see there. Local.
bool by_tiles(const kernel::Kernel& kernel, const Options& options);

/// K = (1/n) [k(x_i, x_j)] ([G] sec. 2, arXiv 2307.14531), n x n block-cyclic over `grid`, both
/// triangles equal to the bit: each pair is computed once, in the lower triangle, and mirrored.
/// X is n x d by rows over the grid's all() ranks. T = float stores values computed in double.
///
/// A kernel whose entries are cheap is evaluated where its entries lie, in panels. One with costly
/// entries (images: more than 64 steps each), and any with a checkpoint, is evaluated by tiles:
/// these are shared out evenly over all ranks, whatever the grid and the block size, with entries
/// above the diagonal left out, and then sent to where they lie. This goes in rounds of up to 32
/// MiB of tiles a rank, at whose ends the ranks meet.
///
/// Collective. Cost a rank: n^2/(2 P) entries (2 d flops and the element pass each); sent: panels
/// of X to the rows and columns of the grid, and half of K; by tiles: the rows of its tiles, and K.
/// Memory: K's share and assemble_overhead(). A checkpoint takes w n^2/2 bytes on disk, and places
/// a multiple of 4096 bytes for each tile. Throws on all ranks: MemoryError where K's share does
/// not fit on one, and InputError where an entry is not finite or too large for T (it names the
/// row, and the layer where the kernel knows it) or where the entries vanish in T.
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

/// k(x_i, x_i) of this rank's rows, not divided by n. Prepares every row once. Collective. Throws
/// InputError as assemble().
std::vector<double> diagonal(const kernel::Kernel& kernel, const RowBlock<double>& X);

/// The largest Rows::error_estimate() over the data set: the relative error of the kernel's entries
/// beyond rounding (series of tanh, softplus, sigmoid; images in single precision). Prepares every
/// row once. Collective.
double kernel_error_estimate(const kernel::Kernel& kernel, const RowBlock<double>& X);

/// Throws InputError where all of K underflows: some input is not zero, but every k(x, x) is below
/// the smallest normal double, so that no entry has full precision. Returns
/// kernel_error_estimate(). Prepares every row once, and n/P diagonal entries a rank. Collective.
double require_normal(const kernel::Kernel& kernel, const RowBlock<double>& X);

/// What assemble() (lower) and assemble_cross() take by tiles, on the rank with most.
struct TilesCost {
  double bytes = 0;     ///< besides K itself
  double entries = 0;   ///< evaluated
  double prepared = 0;  ///< rows
};
/// For an m x n matrix of elements of `element_bytes` on P = `ranks` ranks, from rows of d inputs.
/// Local. Cost: a few times as many steps as there are tiles.
TilesCost tiles_cost(const kernel::Kernel& kernel, Index m, Index n, Index d, bool lower, int ranks,
                     double panel_bytes, double element_bytes);

/// Bytes a rank that assemble() takes besides K itself, of elements of `element_bytes`, for the
/// memory plan. Local.
double assemble_overhead(const kernel::Kernel& kernel, Index n, Index d, dist::GridShape shape,
                         const Options& options, double element_bytes = 8);

/// Size in bytes of the checkpoint of an m x n matrix (lower: of one triangle, m = n). Local.
double checkpoint_bytes(const kernel::Kernel& kernel, Index m, Index n, bool lower,
                        double element_bytes);

}  // namespace mercer::gram
