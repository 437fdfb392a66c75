#pragma once

#include <memory>

#include "mercer/base/cost.hpp"
#include "mercer/gram/kernel_operator.hpp"
#include "mercer/gram/source.hpp"

/// What assembling K, and block products of K with vectors, cost: known before anything is
/// allocated. Pure and local.
///
/// Notation: P ranks on a Pr x Pc grid; K n x n; rows of d inputs and c targets; m rows to predict;
/// w bytes an element of K (8, in single precision 4).
namespace mercer::gram {

/// How large a job is.
struct Sizes {
  Index n = 1, d = 1;
  Index c = 0;  ///< targets
  Index m = 0;  ///< rows to predict
  dist::GridShape shape{1, 1};
  Index nb = 64;
  bool single = false;  ///< K kept and solved in float
  bool kept = false;    ///< assemble() and assemble_cross() with a checkpoint
  /// Null: K is read from a file, or there is none; its entries then cost nothing.
  std::shared_ptr<const kernel::Kernel> kernel{};
  double held = 0;  ///< bytes a rank besides rows and targets, in every stage

  int rank_count() const { return shape.rows * shape.cols; }
  double ranks() const { return static_cast<double>(rank_count()); }
  double element_bytes() const { return single ? 4 : 8; }  ///< w
  double data_bytes() const;   ///< 8 (n + m)(d + c)/P + held, in every stage
  double share_bytes() const;  ///< w n^2/P
};
/// The kernel of Sizes: null where K is a file's.
inline std::shared_ptr<const kernel::Kernel> kernel_of(const Source& source) {
  return source.shared_kernel();
}
/// For Sizes that do not outlive the kernel.
inline std::shared_ptr<const kernel::Kernel> borrowed(const kernel::Kernel& kernel) {
  return {std::shared_ptr<const kernel::Kernel>(), &kernel};
}

/// `count` entries of the kernel on each rank. The caller adds `flops`.
Cost entries_cost(const Sizes& sizes, double count);
/// Flops of one entry, those of its dot products (Kernel::entry_length()); 0 where K is read from a
/// file.
double entry_flops(const Sizes& sizes);

/// require_normal(): every rank prepares its rows of X, a few hundred at a time.
Cost prepare_cost(const Sizes& sizes);
/// assemble(): n^2/(2 P) entries; n^2/P elements of memory touched first; half of K packed, sent
/// and unpacked to mirror it; panels of n/Pr + n/Pc rows of X fetched and prepared. By tiles: half
/// of K sent once more, and the rows of a rank's tiles prepared. A checkpoint is written to memory,
/// of which the system writes it to the disk. bytes: w n^2/P + assemble_overhead(), for a file
/// 2 w n^2/P.
Cost assemble_cost(const Sizes& sizes);
/// assemble_cross(), m x n: m n/P entries, each written once.
Cost assemble_cross_cost(const Sizes& sizes);
/// apply_cross(): m n/P entries and their products with c columns; X and the coefficients are sent
/// to every rank. bytes: panels.
Cost apply_cross_cost(const Sizes& sizes);

/// A KernelOperator for products with `block` columns, as plan_operator() lays it out.
struct OperatorCost {
  Storage storage = Storage::none;  ///< never automatic
  double stored_share = 0;          ///< of the entries
  double entries = 0;  ///< of the rank with most: n^2/(2 P), and the diagonal tiles' upper halves
  double bytes = 0;    ///< a rank: tiles, panels and vectors
  Cost set_up{};       ///< computing the stored entries, fetching X's panels; bytes as above
  Index block = 1;
  double sent = 0;         ///< bytes by a rank in one product with `block` columns
  double panels_sent = 0;  ///< of these, panels of X: the same for any number of columns

  bool in_single() const { return storage == Storage::in_single || storage == Storage::mixed; }
};
/// Throws MemoryError as plan_operator().
OperatorCost operator_cost(const Sizes& sizes, const OperatorOptions& options, Index block);
/// A MatrixOperator of a K that was read from a file: both triangles, and the vectors of a product.
OperatorCost matrix_operator_cost(const Sizes& sizes, Index block);
/// One product with b = `columns` columns. Only the lower triangle's tiles exist; each is stored
/// (share f) or computed again, and serves for K_IJ V_J and K_IJ^T V_I. flops: 2 n^2 b +
/// (1 - f) n^2 d. sent: op.panels_sent, and the rest of op.sent in proportion to b. bytes:
/// op.bytes.
Cost product_cost(const Sizes& sizes, const OperatorCost& op, double columns);

}  // namespace mercer::gram
