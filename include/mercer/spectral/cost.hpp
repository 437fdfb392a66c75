#pragma once

#include "mercer/gram/cost.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "mercer/spectral/estimates.hpp"
#include "mercer/spectral/krylov.hpp"

/// What eigenpairs cost, before anything is allocated. Pure and local, except that the ELPA build
/// is probed once. Notation: gram/cost.hpp.
namespace mercer::spectral {

/// Seconds of a direct solve alone (no checks, no redistribution) for k of n pairs, or for the
/// values only, on the rows x cols ranks of `shape`, on the machine that the model was fitted to
/// (cost.cpp): choose() compares these. `generic_kernels`: as in la::ElpaBuild.
double predicted_seconds(Method method, Index n, Index k, bool vectors, dist::GridShape shape,
                         bool generic_kernels, bool single_precision);

/// eigenpairs() for k pairs by a direct solver: predicted_seconds() expressed as flops of dgemm,
/// and the checks as 64 n^2/P and 64 n k/P skinny flops and 2 n k^2/P flops of gemm. bytes: plan().
/// Over a network of stated bandwidth 4 n^2/sqrt(P) more elements are sent (panels of the reduction
/// and of the vectors' transformation: ScaLAPACK Users' Guide, ch. 5).
Cost eigensolve_cost(const gram::Sizes& sizes, Method method, Index k, bool vectors = true);

/// A block Krylov run for k pairs with the sizes of krylov_sizes(), and the matrix-vector products
/// that it is expected to take, N = min(n, 4 k + 8 b).
struct KrylovPlan {
  Index k = 1;
  KrylovSizes sizes{};  ///< block b, basis m
  double products = 0;
};
KrylovPlan krylov_plan(const gram::Sizes& sizes, const KrylovOptions& options);

/// krylov(), with N, b and m of the run: N/b block products; every block made orthonormal to the
/// columns before it, 4 n c N flops, where on average c = N/2 columns without a restart and
/// c = (k + m)/2 with restarts; Rayleigh-Ritz steps at growing sizes, 30 min(N, m)^3 flops on R
/// ranks (replicated.hpp); the vectors and |V^T V - I|, 2 n (m + k) k flops; K times 16 probes;
/// sums of c b numbers over the ranks. bytes: the operator's and krylov_bytes().
Cost krylov_cost(const gram::Sizes& sizes, const gram::OperatorCost& op, const KrylovPlan& run);

/// trace() and lanczos_quadrature(): `steps` products with `probes` columns; reorthogonalisation is
/// not counted. bytes: the operator's and estimates_bytes().
Cost estimates_cost(const gram::Sizes& sizes, const gram::OperatorCost& op,
                    const EstimateOptions& options);
/// Bytes a rank of the probes' Krylov bases: 8 n/P probes (steps + 3).
double estimates_bytes(const gram::Sizes& sizes, const EstimateOptions& options);

/// The cost of `flops` for a dense symmetric eigenproblem of order m whose matrix every rank has,
/// solved on replicated_ranks() ranks at 0.3 of gemm's rate.
Cost replicated_cost(const gram::Sizes& sizes, double flops, double m);

}  // namespace mercer::spectral
