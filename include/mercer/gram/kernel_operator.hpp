#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "mercer/gram/assemble.hpp"
#include "mercer/gram/operator.hpp"

namespace mercer::gram {

/// What an operator stores of K. K is symmetric: only the tiles of the lower triangle exist, and
/// each serves for K_IJ V_J and K_IJ^T V_I: half the memory and half the entries of a full matrix.
///   in_double   every tile, 8 bytes an entry: n^2/2 entries over the ranks
///   in_single   every tile, values computed in double and stored in 4 bytes (relative error 6e-8)
///   none        no tile: all are computed again in every product
///   mixed       as many tiles (in single) as fit the memory; the others as with `none`
///   automatic   the first of in_double, in_single, mixed that fits
enum class Storage { automatic, in_double, in_single, none, mixed };

struct OperatorOptions {
  Storage storage = Storage::automatic;
  /// Of a rank: tiles, panels of prepared rows and the vectors of a product together.
  double memory_bytes = 1024.0 * 1024 * 1024;
  /// Most vectors of a product; they count towards memory_bytes. apply() takes a wider block in
  /// pieces of this width, and computes the tiles that are not stored again for each piece.
  Index block = 64;
  Index tile = 0;                             ///< rows of a tile; 0: chosen from n and the grid
  bool over_n = true;                         ///< K = k/n; false: k itself
  std::function<void(double)> progress = {};  ///< of storing the tiles; as in gram::Options
  /// Asked on every rank between the tiles of a product, and between strips of a tile. If it
  /// returns true on one rank, apply() gives the product up on all. May be empty; must not
  /// communicate.
  std::function<bool()> interrupted = {};
};

/// The memory and the messages of an operator, before anything is allocated. Bytes are those of the
/// rank that has most.
struct OperatorPlan {
  Storage storage = Storage::none;  ///< never automatic
  Index tile = 0;                   ///< rows of a tile
  double tile_bytes = 0;            ///< of the stored tiles
  double panel_bytes = 0;           ///< prepared rows of X, and the message buffers for them
  double vector_bytes = 0;          ///< of a product of `block` vectors
  double scratch_bytes = 0;         ///< one tile, and Kernel::scratch_bytes()
  double stored_share = 0;          ///< of the triangle's entries, over all ranks
  /// The panels for the tiles that are computed again stay in memory between products; false: every
  /// product fetches them again, in steps.
  bool panels_kept = true;
  /// By a rank in a product of `block` vectors: its rows of V for the ranks that compute with them,
  /// its partial sums of rows that others own, and panels of X that are fetched again. A few bytes
  /// a step for the agreement on errors are not counted.
  double bytes_sent = 0;
  double panel_bytes_sent = 0;  ///< of it the panels of X: the same for any number of vectors
  /// How many tile rows and tile columns of a process are in memory at a time.
  Index row_cycles = 0, col_cycles = 0;

  /// The peak. Where all tiles are stored, the panels are freed before the first product.
  double bytes() const;
};

/// The plan of an operator for K of n rows of d inputs. `ranks`: those of the communicator, where
/// the grid leaves some idle; 0: those of the grid. Local. Cost: O(n^2/tile^2). Throws MemoryError,
/// with a remedy, where the storage asked for (automatic: even `none`) does not fit memory_bytes.
OperatorPlan plan_operator(const kernel::Kernel& kernel, Index n, Index d, Index block,
                           dist::GridShape shape, const OperatorOptions& options, int ranks = 0);

/// K = (1/n) [k(x_i, x_j)] as an operator ([G] sec. 2, arXiv 2307.14531). The tiles of the lower
/// triangle are distributed block-cyclically over the process grid, in a folded order that balances
/// the triangle. In a product every rank receives the rows of V that belong to its tile rows and
/// tile columns, adds Y_I += K_IJ V_J and Y_J += K_IJ^T V_I for each of its tiles, stored or
/// computed again, and sends the partial sums to the ranks that own the rows, which add them in
/// rank order. The rows of X behind the tiles are fetched in panels, once where these fit the
/// memory. Arithmetic is in double whatever the storage.
///
/// Cost of a product with b vectors, for each of P ranks: 2 n^2 b/P flops; for the entries that are
/// not stored, of n^2/(2 P), 2 d flops and the element pass each; sent: 2 to 4 n b/sqrt(P) numbers,
/// and X's panels where they do not fit the memory. Memory: options.memory_bytes. Sizes are 64-bit
/// throughout: a rank's tiles are one array of any length.
class KernelOperator final : public Operator {
 public:
  /// Borrows kernel, X (n x d by rows over grid.all()) and grid: they must outlive it. Collective.
  /// Computes the tiles to be stored: up to n^2/(2 P) entries a rank, as assemble(), but nothing is
  /// mirrored. Throws InputError (options, or entries as in assemble()), MemoryError as
  /// plan_operator(), and on all ranks where one cannot allocate its share.
  KernelOperator(const kernel::Kernel& kernel, const RowBlock<double>& X, const ProcessGrid& grid,
                 const OperatorOptions& options = {});
  ~KernelOperator() override;

  const comm::Communicator& comm() const override;
  Index size() const override;
  void apply(MatrixView<const double> V, MatrixView<double> Y) const override;
  /// From Kernel::diagonal(), in double whatever the storage.
  void diagonal(std::span<double> d) const override;
  /// Computed in double from X whatever the storage: n p/P entries a rank for p columns; the p rows
  /// of X are sent to every rank.
  void columns(std::span<const Index> which, MatrixView<double> out) const override;

  /// Local.
  const OperatorPlan& plan() const;
  Storage storage() const;      ///< the one in use, never automatic
  double stored_share() const;  ///< of the entries, over all ranks
  /// One line for the log: what is stored, in how many bytes a rank, and the memory limit.
  std::string text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class RowExchange;

/// An assembled block-cyclic matrix, both triangles, as an operator: for kernels read from files,
/// and where the direct solvers' K exists already. Borrows K, which must outlive it. T = float:
/// arithmetic in double. A product of b vectors costs a rank 2 n^2 b/P flops; sent: n b (1/rows +
/// 1/cols) numbers, rows x cols the grid; memory: at most twice that. columns() of p columns
/// multiplies nothing and sends n p/rows numbers a rank.
template <class T>
class MatrixOperator final : public Operator {
 public:
  /// `interrupted`: as in OperatorOptions, asked between panels of 504 rows of K. Local. Throws
  /// InputError where K is not square.
  explicit MatrixOperator(const DistMatrix<T>& K, std::function<bool()> interrupted = {});
  const comm::Communicator& comm() const override { return K_.grid().all(); }
  Index size() const override { return K_.rows(); }
  void apply(MatrixView<const double> V, MatrixView<double> Y) const override;
  void diagonal(std::span<double> d) const override;
  void columns(std::span<const Index> which, MatrixView<double> out) const override;

 private:
  const DistMatrix<T>& K_;
  std::function<bool()> interrupted_;
  std::shared_ptr<const RowExchange> of_cols_, of_rows_;
};

std::string name(Storage storage);  ///< "auto", "double", "single", "none", "mixed"
/// Throws InputError.
Storage parse_storage(std::string_view text);

}  // namespace mercer::gram
