#pragma once

#include "mercer/gram/cost.hpp"

/// What ridge regression takes, before anything is allocated. Pure and local. Notation:
/// gram/cost.hpp; R ridges; a preconditioner of rank r.
namespace mercer::krr {

/// fit_cholesky(): n^3/3 flops at 0.72 of dgemm's rate, its narrow steps, 16 probes and c
/// right-hand sides, 2 n^2 (270 + 16 + 2 c) skinny flops; half of K sent along rows and columns of
/// the grid. bytes: w n^2/P + 8 n (2 c + 32)/P.
Cost cholesky_cost(const gram::Sizes& sizes);
/// fit_modified(): K assembled again, the rank-k update, 2 n^2 k/P flops, and Cholesky. bytes: w
/// n^2/P, assembling's overhead, and w n k/P.
Cost modified_cholesky_cost(const gram::Sizes& sizes, Index k);
/// SpectralPath for `ridges` ridges, after leave-one-out errors of `scored` others:
/// 2 n^2 ((4 c + 1) R + (c + 1) scored + c) skinny flops. bytes: w n^2/P.
Cost path_cost(const gram::Sizes& sizes, double ridges, double scored);
/// Ridges that SpectralPath::select() scores: a grid of 41, and a golden-section search.
inline constexpr double kSelected = 56;

/// LowRankPreconditioner::pivoted_cholesky() of rank r: 1.3 r columns of K, (1.3 + 6) n r^2 flops
/// of tall blocks, and dense problems of 10 r^3 flops. bytes: the operator's and sketch_bytes().
Cost sketch_cost(const gram::Sizes& sizes, const gram::OperatorCost& op, Index rank);
/// conjugate_gradients() for c columns with a preconditioner of rank r, a measured residual every
/// 50 iterations and at the end: 1.02 iterations + 1 products, and in each iteration 4 n r c + 12 n
/// c^2 flops at a product's rate, 128 n c bytes through memory, and four sums of (r + 4 c) c
/// numbers. bytes: the operator's and 8 n (r + 6 c)/P.
Cost conjugate_gradients_cost(const gram::Sizes& sizes, const gram::OperatorCost& op, Index rank,
                              double iterations);
/// Bytes a rank beside data and operator of both, the larger.
double conjugate_gradients_bytes(const gram::Sizes& sizes, Index rank);
/// Bytes a rank of RidgeEstimates with `probes` probes beside those: blocks of probes and targets.
double estimates_bytes(const gram::Sizes& sizes, Index probes);

}  // namespace mercer::krr
