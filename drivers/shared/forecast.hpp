#pragma once

#include "mercer/gram/kernel_operator.hpp"
#include "mercer/gram/source.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "mercer/spectral/krylov.hpp"
#include "shared/machine.hpp"
#include "shared/plan.hpp"

/// Time and memory a rank of Mercer's stages, for any n, d, c, k and P, from a machine's
/// coefficients (Machine). Pure and local: nothing is allocated or measured here.
///
/// Notation: P ranks on a Pr x Pc grid; K n x n; rows of d inputs and c targets; m rows to predict;
/// w bytes an element of K (8, single precision 4). Of the machine: g = gemm, s = skinny, e = 2
/// d/gram + element, t(b) = product_seconds(b), M = memory, B = exchange, L = latency. Seconds are
/// of the slowest rank, `bytes` of the rank that holds most, the data included and what a process
/// takes before its start (Plan's baseline) left out, `flops` of all ranks together, `sent` by one
/// rank. Every stage: bytes >= data = 8 (n + m)(d + c)/P + Sizes::held.
namespace mercer::drivers::forecast {

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

  double ranks() const { return static_cast<double>(shape.rows) * shape.cols; }
  double data_bytes() const;   ///< the line above
  double share_bytes() const;  ///< w n^2/P
};

/// The kernel of Sizes: null where K is a file's.
inline const kernel::Kernel* kernel_of(const gram::Source& source) {
  return source.is_stored() ? nullptr : &source.kernel();
}

/// The data twice. `seconds`: as it took, because reading comes before the plan.
Stage load(const Sizes& sizes, double seconds);

/// gram::assemble: n^2/(2 P) entries at e; n^2/P numbers written for the first time and the half
/// that is mirrored packed, sent and unpacked:
///   seconds = n^2/(2 P) (e + w kMirror/M) + w n^2/P/touch + w n^2/(2 P) (1 - 1/P)/B + (n/Pr +
///             n/Pc)(row + 8 d (1/B + 2/touch + kPanelCopies/M))
///   bytes   = data + w n^2/P + gram::assemble_overhead        sent = as divided by B
Stage assemble(const Machine& machine, const Sizes& sizes);
/// gram::assemble_cross, m x n: m n/P entries, each written once.
Stage assemble_cross(const Machine& machine, const Sizes& sizes);

/// spectral::eigenpairs for k pairs: the model of spectral/cost.hpp times (75 GFLOP/s)/g, the dgemm
/// rate of the machine it was fitted to over this one's, and the checks:
///   seconds = predicted_seconds 75e9/g + (2 n^2 32 + 4 n 16 k)/(P s) + n k^2 2/(P g)
/// With a network of stated bandwidth 4 n^2/sqrt(P) numbers more are sent (the reduction's panels
/// and the vectors', ScaLAPACK Users' Guide, ch. 5). bytes: spectral::plan.
Stage eigensolve(const Machine& machine, const Sizes& sizes, spectral::Method method, Index k,
                 bool vectors = true);

/// krr::fit_cholesky: n^3/3 flops at kCholesky of gemm's rate, its narrow steps, 16 probes and c
/// right-hand sides:
///   seconds = n^3/(3 P kCholesky g) + 2 n^2 (kPanels + 16 + 2 c)/(P s) + w n^2 (1/Pr + 1/Pc)/(2 B)
///   bytes   = data + w n^2/P + 8 n (2 c + 32)/P
Stage cholesky(const Machine& machine, const Sizes& sizes);
/// krr::fit_modified: K assembled again, the rank-k update and Cholesky: the two above and 2 n^2
/// k/(P g); bytes: + w n k/P and assembling's overhead.
Stage modified_cholesky(const Machine& machine, const Sizes& sizes, Index k);
/// krr::SpectralPath for R ridges, after leave-one-out errors of `scored` others: 2 n^2 ((4 c + 1)
/// R
/// + (c + 1) scored + c) flops at s; bytes: data + w n^2/P.
Stage ridge_path(const Machine& machine, const Sizes& sizes, double ridges, double scored);
/// gram::apply_cross: m n/P entries and their products with c columns; X and the coefficients come
/// to every rank:
///   seconds = m n/P (e + t(c)/2) + n row + 8 n (d + c)(1 - 1/P)/B     bytes = data + panels
Stage predict(const Machine& machine, const Sizes& sizes);

/// gram::KernelOperator for products with `block` columns, as gram::plan_operator lays it out.
struct Operator {
  gram::Storage storage = gram::Storage::none;  ///< never automatic
  double stored_share = 0;                      ///< of the entries
  double entries = 0;  ///< of the rank that has most: n^2/(2 P) and the diagonal tiles' other half
  double bytes = 0;    ///< tiles, panels and vectors
  double set_up = 0;   ///< seconds: the stored entries at e, X's panels fetched
  double set_up_sent = 0;
  Index block = 1;
  double product = 0;  ///< seconds of one product with `block` columns
  double sent = 0;     ///< by a rank in one product
};
/// Half of K's tiles, each used for both of its products, stored (share f) or computed again:
///   seconds = entries (t(b) + (1 - f) e) + sent/B + 4 P L,    flops = 2 n^2 b + (1 - f) n^2 d
/// with sent = O(n b/sqrt(P)) numbers. Throws MemoryError as plan_operator does.
Operator kernel_operator(const Machine& machine, const Sizes& sizes,
                         const gram::OperatorOptions& options, Index block);
/// Seconds of a product with other than op.block columns: time grows with t(b), what is sent with
/// b.
double product_seconds(const Machine& machine, const Sizes& sizes, const Operator& op,
                       double columns);
/// Storing the tiles; nothing where none is kept.
Stage store(const Machine& machine, const Sizes& sizes, const Operator& op);
/// One product with op.block columns.
Stage product(const Machine& machine, const Sizes& sizes, const Operator& op);

/// Columns that would cost as much as what a product costs whatever its width:
/// KrylovOptions::fixed_columns.
double fixed_columns(const Machine& machine, const Sizes& sizes, const Operator& op);

/// A block Krylov run for k pairs as spectral::krylov_sizes lays it out, and the products of K with
/// one vector that it is expected to take, N = 4 k + 8 b.
struct Krylov {
  Index k = 1;
  spectral::KrylovSizes sizes{};  ///< block b, basis m
  double products = 0;
};
Krylov krylov_run(const Sizes& sizes, const spectral::KrylovOptions& options);
/// spectral::krylov: N/b products; every block made orthonormal to the m' columns before it (on
/// average N/2 before the first restart, (k + m)/2 after it), m' <= m; Rayleigh-Ritz at growing
/// sizes, 30 min(N, m)^3 flops on R ranks (spectral/replicated.hpp) at kSmallGemm of gemm's rate;
/// the vectors and |V^T V - I|; K times 16 probes:
///   seconds = N/b product(b) + 4 n m' N/(P s) + 30 min(N, m)^3/(R kSmallGemm g) + 2 n (m + k) k/(P
///   g)
///             + N/b sums of m' b numbers
///   bytes   = data + operator + spectral::krylov_bytes
Stage krylov(const Machine& machine, const Sizes& sizes, const Operator& op, const Krylov& run);

/// krr::LowRankPreconditioner::pivoted_cholesky of rank r: kProposals r columns of K at e, 2 n r^2
/// flops a proposal's share, 6 n r^2 and 10 r^3 flops for U; bytes: data + operator + 8 n (r +
/// 128)/P + 32 r^2.
Stage sketch(const Machine& machine, const Sizes& sizes, const Operator& op, Index rank);
/// krr::conjugate_gradients for c columns with a preconditioner of rank r, a measured residual
/// every 50 iterations and at the end:
///   seconds = (1.02 iterations + 1) product(c) + iterations ((4 n r c + 12 n c^2)/P at the rate of
///   c
///             columns + 16 n c 8/(P M) + four sums of (r + 4 c) c numbers)
///   bytes   = data + operator + 8 n (r + 6 c)/P
Stage conjugate_gradients(const Machine& machine, const Sizes& sizes, const Operator& op,
                          Index rank, double iterations);
/// Bytes a rank beside data and operator of sketch and conjugate_gradients, the larger of the two.
double conjugate_gradients_bytes(const Sizes& sizes, Index rank);

/// Gradient descent, `steps` of `flops` a step over all ranks: at kStep of gemm's rate, and a sum
/// of p weights over the ranks. bytes: the caller's.
Stage descent(const Machine& machine, const Sizes& sizes, double steps, double flops,
              double parameters);

}  // namespace mercer::drivers::forecast
