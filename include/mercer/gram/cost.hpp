#pragma once

#include "mercer/base/cost.hpp"
#include "mercer/gram/kernel_operator.hpp"
#include "mercer/gram/source.hpp"

/// What K and its products take, before anything is allocated. Pure and local.
///
/// Notation: P ranks on a Pr x Pc grid; K n x n; rows of d inputs and c targets; m rows to predict;
/// w bytes an element of K (8, single precision 4).
namespace mercer::gram {

/// How large a job is.
struct Sizes {
  Index n = 1, d = 1;
  Index c = 0;  ///< targets
  Index m = 0;  ///< rows to predict
  dist::GridShape shape{1, 1};
  Index nb = 64;
  bool single = false;  ///< K kept and solved in float
  /// Null: K is read from a file, or there is none; its entries then cost nothing.
  const kernel::Kernel* kernel = nullptr;
  double numbers = 0;  ///< that an entry's dot product runs over, for the flops; 0: d
  double held = 0;     ///< bytes a rank beside rows and targets

  int rank_count() const { return shape.rows * shape.cols; }
  double ranks() const { return static_cast<double>(rank_count()); }
  double element_bytes() const { return single ? 4 : 8; }  ///< w
  double data_bytes() const;   ///< 8 (n + m)(d + c)/P + held, of every stage
  double share_bytes() const;  ///< w n^2/P
};
/// The kernel of Sizes: null where K is a file's.
inline const kernel::Kernel* kernel_of(const Source& source) {
  return source.is_stored() ? nullptr : &source.kernel();
}

/// `count` entries of the kernel on each rank. flops are the caller's.
Cost entries_cost(const Sizes& sizes, double count);
/// Flops of one entry, those of its dot product: 2 d; 0 where K is a file's.
double entry_flops(const Sizes& sizes);

/// assemble(): n^2/(2 P) entries; n^2/P numbers written for the first time, and the half that is
/// mirrored packed, sent and unpacked; panels of n/Pr + n/Pc rows of X fetched and prepared.
/// bytes: w n^2/P + assemble_overhead().
Cost assemble_cost(const Sizes& sizes);
/// assemble_cross(), m x n: m n/P entries, each written once.
Cost assemble_cross_cost(const Sizes& sizes);
/// apply_cross(): m n/P entries and their products with c columns; X and the coefficients come to
/// every rank. bytes: panels.
Cost apply_cross_cost(const Sizes& sizes);

/// KernelOperator for products with `block` columns, as plan_operator() lays it out.
struct OperatorCost {
  Storage storage = Storage::none;  ///< never automatic
  double stored_share = 0;          ///< of the entries
  double entries = 0;  ///< of the rank that has most: n^2/(2 P) and the diagonal tiles' other half
  double bytes = 0;    ///< tiles, panels and vectors
  Cost set_up{};       ///< the stored entries, X's panels fetched; bytes as above
  Index block = 1;
  double sent = 0;  ///< by a rank in one product with `block` columns

  bool in_single() const { return storage == Storage::in_single || storage == Storage::mixed; }
};
/// Throws MemoryError as plan_operator() does.
OperatorCost operator_cost(const Sizes& sizes, const OperatorOptions& options, Index block);
/// MatrixOperator of a K that a file holds: both triangles, and the vectors of a product.
OperatorCost matrix_operator_cost(const Sizes& sizes, Index block);
/// A product with `columns` columns: half of K's tiles, each used for both of its products, stored
/// (share f) or computed again; flops 2 n^2 b + (1 - f) n^2 d; what is sent grows with the columns
/// beyond op.block. bytes: op.bytes.
Cost product_cost(const Sizes& sizes, const OperatorCost& op, double columns);

}  // namespace mercer::gram
