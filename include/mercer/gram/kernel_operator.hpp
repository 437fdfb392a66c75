#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "mercer/gram/assemble.hpp"
#include "mercer/gram/operator.hpp"

namespace mercer::gram {

/// What an operator keeps of K. K is symmetric: only the tiles of the lower triangle exist, and
/// each serves for both of its products, so that everything takes half of what a full matrix would.
///   in_double   every tile, 8 bytes an entry: n^2/2 entries over the ranks
///   in_single   every tile, values computed in double and stored in 4 bytes (relative error 6e-8)
///   none        no tile: all are computed again in every product
///   mixed       as many tiles (in single) as the memory allows; the others as with `none`
///   automatic   the first of in_double, in_single, mixed that fits
enum class Storage { automatic, in_double, in_single, none, mixed };

struct OperatorOptions {
  Storage storage = Storage::automatic;
  /// A rank: tiles, panels of prepared rows and the vectors of a product together.
  double memory_bytes = 1024.0 * 1024 * 1024;
  /// Vectors of a product. They count towards memory_bytes; a wider product goes in pieces of as
  /// many, and computes the tiles that are not kept again for each.
  Index block = 64;
  Index tile = 0;                             ///< rows of a tile; 0: chosen from n and the grid
  bool over_n = true;                         ///< K = k/n; false: k itself
  std::function<void(double)> progress = {};  ///< of storing the tiles; as in gram::Options
  /// Asked on every rank between tiles, and pieces of them, of a product. Where it is true on one,
  /// apply() gives the product up on all of them. May be empty; must not communicate.
  std::function<bool()> interrupted = {};
};

/// What an operator takes and sends, before anything is allocated. Bytes are those of the rank that
/// has most.
struct OperatorPlan {
  Storage storage = Storage::none;  ///< never automatic
  Index tile = 0;
  double tile_bytes = 0;     ///< kept
  double panel_bytes = 0;    ///< rows of X, prepared, and their copies under way
  double vector_bytes = 0;   ///< of a product of `block` vectors
  double scratch_bytes = 0;  ///< one tile, and what the kernel takes while it works
  double stored_share = 0;   ///< of the triangle's entries, over all ranks
  /// The tiles that are computed again find their panels where they were left; false: every product
  /// fetches them again, in steps.
  bool panels_kept = true;
  /// By a rank in a product of `block` vectors, panels of X included: of the rows of V that others
  /// compute with, and of the partial sums of rows that others own. Beside it some bytes a step for
  /// agreement on errors.
  double bytes_sent = 0;
  /// Tile rows and columns of a process that are held together.
  Index row_cycles = 0, col_cycles = 0;

  /// At the peak: panels of tiles that are all kept are gone when the first product begins.
  double bytes() const;
};

/// Local. `ranks`: of the communicator, where the grid leaves some idle; 0: those of the grid.
/// Cost: O(n^2/tile^2). Throws MemoryError, with what would do, where not even `none` (or the
/// storage asked for) fits memory_bytes.
OperatorPlan plan_operator(const kernel::Kernel& kernel, Index n, Index d, Index block,
                           dist::GridShape shape, const OperatorOptions& options, int ranks = 0);

/// K = (1/n) [k(x_i, x_j)] as an operator ([G] sec. 2, arXiv 2307.14531). The tiles of the lower
/// triangle lie block-cyclically on the process grid, in a folded order that evens out the
/// triangle. A product brings the rows of V that a rank's tile rows and columns touch, adds
/// Y_I += K_IJ V_J and Y_J += K_IJ^T V_I for each of its tiles, kept or computed again, and sends
/// the partial sums back to the rows' owners, who add them in rank order. X is fetched by panels of
/// what the tiles touch, once where the panels fit the memory. Arithmetic is in double whatever the
/// storage.
///
/// Cost of a product with b vectors, a rank of P: 2 n^2 b/P flops; an entry that is not kept
/// another 2 d flops and the element pass, for n^2/(2 P) of them; sent: 2 to 4 n b/sqrt(P) numbers,
/// and X's panels where they do not fit the memory. Memory: options.memory_bytes. Sizes are 64-bit
/// throughout: a rank's tiles are one array of any length.
class KernelOperator final : public Operator {
 public:
  /// Borrows kernel, X (n x d by rows over grid.all()) and grid: they must outlive it. Collective.
  /// Computes the tiles that are kept: half of what assemble() costs an entry. Throws MemoryError
  /// as plan_operator does, and on all ranks where the memory is not there on one.
  KernelOperator(const kernel::Kernel& kernel, const RowBlock<double>& X, const ProcessGrid& grid,
                 const OperatorOptions& options = {});
  ~KernelOperator() override;

  const comm::Communicator& comm() const override;
  Index size() const override;
  void apply(MatrixView<const double> V, MatrixView<double> Y) const override;
  /// Exact, as Kernel::diagonal gives it, whatever the storage.
  void diagonal(std::span<double> d) const override;
  /// Computed in double from X, whatever the storage: n p/P entries a rank; the p rows of X go to
  /// every rank.
  void columns(std::span<const Index> which, MatrixView<double> out) const override;

  /// Local.
  const OperatorPlan& plan() const;
  Storage storage() const;      ///< the one in use, never automatic
  double stored_share() const;  ///< of the entries, over all ranks
  /// One line for the log: what is kept, in how many bytes a rank, and why.
  std::string text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class RowExchange;

/// A block-cyclic matrix that is there already, both triangles, as an operator: for kernels read
/// from files, and where the direct solvers' K is at hand. Borrows K. T = float: products in
/// double. A product: 2 n^2 b/P flops; sent: n b (1/rows + 1/cols) numbers, rows x cols the grid;
/// memory: twice that. columns() sends what it returns, nothing is multiplied.
template <class T>
class MatrixOperator final : public Operator {
 public:
  /// Local. Throws InputError where K is not square.
  /// `interrupted`: as in OperatorOptions.
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
