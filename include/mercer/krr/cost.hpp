#pragma once

#include "mercer/gram/cost.hpp"

/// What ridge regression takes, known before anything is allocated. Pure and local. Notation:
/// gram/cost.hpp; R ridges; a preconditioner of rank r. "Skinny" flops are those of products with
/// few columns.
namespace mercer::krr {

/// fit_cholesky(): n^3/3 flops at 0.72 of dgemm's rate; 2 n^2 (270 + 16 + 2 c) skinny flops for the
/// factorisation's narrow steps, 16 probes and c right-hand sides; half of K sent along rows and
/// columns of the grid. bytes: w n^2/P + 8 n (2 c + 32)/P.
Cost cholesky_cost(const gram::Sizes& sizes);
/// fit_modified(): K assembled again, the rank-k update (n^2 k flops, in the time of 2 n^2 k/P of
/// dgemm's on each rank) and fit_cholesky(). bytes: w n^2/P, assemble_overhead() and w n k/P.
Cost modified_cholesky_cost(const gram::Sizes& sizes, Index k);
/// SpectralPath::fit() for R = `ridges` ridges, after leave-one-out errors of `scored` others:
/// 2 n^2 ((4 c + 1) R + (c + 1) scored + c) skinny flops. bytes: w n^2/P.
Cost path_cost(const gram::Sizes& sizes, double ridges, double scored);
/// About as many ridges as SpectralPath::select() scores: a grid of 41, then golden section.
inline constexpr double kSelected = 56;

/// LowRankPreconditioner::pivoted_cholesky() of rank r: 1.3 r columns of K, (1.3 + 8) n r^2 flops
/// on n x r blocks, and dense problems of 10 r^3 flops. bytes: the operator's and
/// 8 n (r + 128)/P + 32 r^2.
Cost sketch_cost(const gram::Sizes& sizes, const gram::OperatorCost& op, Index rank);
/// conjugate_gradients() for c columns with a preconditioner of rank r: 1.02 iterations + 1
/// products (a residual is measured every 50 iterations and at the end); in each iteration 4 n r c
/// + 20 n c^2 flops at a product's rate, 128 n c bytes through memory, and four sums of (r + 4 c) c
/// numbers each. bytes: the operator's and 8 n (r + 10 c)/P.
Cost conjugate_gradients_cost(const gram::Sizes& sizes, const gram::OperatorCost& op, Index rank,
                              double iterations);
/// The larger of the bytes a rank that sketch_cost() and conjugate_gradients_cost() state, without
/// the operator's; the latter alone for rank 0.
double conjugate_gradients_bytes(const gram::Sizes& sizes, Index rank);
/// Bytes a rank that RidgeEstimates with `probes` probes holds beside those: blocks of probes and
/// targets, 8 n (9 probes + 8 c)/P.
double estimates_bytes(const gram::Sizes& sizes, Index probes);

}  // namespace mercer::krr
