#pragma once

#include "mercer/gram/cost.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "mercer/spectral/estimates.hpp"
#include "mercer/spectral/krylov.hpp"

/// What eigenpairs take, before anything is allocated. Pure and local, but for the probe of the
/// ELPA build. Notation: gram/cost.hpp.
namespace mercer::spectral {

/// Seconds of the direct solve alone (no checks, no redistribution) for k of n pairs, or for the
/// values only, on ranks = rows x cols of `shape`, on the machine that the model was fitted to:
/// what choose() compares. `generic_kernels` as ElpaBuild says.
double predicted_seconds(Method method, Index n, Index k, bool vectors, dist::GridShape shape,
                         bool generic_kernels, bool single_precision);

/// eigenpairs() for k pairs by a direct solver: the model of predicted_seconds() as flops of dgemm,
/// and the checks: 64 n^2/P and 64 n k/P skinny flops, 2 n k^2/P of gemm. bytes: plan(). Over a
/// network of stated bandwidth 4 n^2/sqrt(P) numbers more are sent (the reduction's panels and the
/// vectors', ScaLAPACK Users' Guide, ch. 5).
Cost eigensolve_cost(const gram::Sizes& sizes, Method method, Index k, bool vectors = true);

/// A block Krylov run for k pairs as krylov_sizes() lays it out, and the products of K with one
/// vector that it is expected to take, N = min(n, 4 k + 8 b).
struct KrylovRun {
  Index k = 1;
  KrylovSizes sizes{};  ///< block b, basis m
  double products = 0;
};
KrylovRun krylov_run(const gram::Sizes& sizes, const KrylovOptions& options);

/// krylov(): N/b products; every block made orthonormal to the columns before it (on average N/2
/// before the first restart, (k + m)/2 after it), 4 n mean N flops; Rayleigh-Ritz at growing sizes,
/// 30 min(N, m)^3 flops on R ranks (replicated.hpp); the vectors and |V^T V - I|, 2 n (m + k) k
/// flops; K times 16 probes; sums of mean b numbers. bytes: the operator's and krylov_bytes().
Cost krylov_cost(const gram::Sizes& sizes, const gram::OperatorCost& op, const KrylovRun& run);

/// trace() and lanczos_quadrature(): `steps` products with `probes` columns. bytes: the operator's
/// and estimates_bytes().
Cost estimates_cost(const gram::Sizes& sizes, const gram::OperatorCost& op,
                    const EstimateOptions& options);
/// Bytes a rank of the probes' Krylov bases: 8 n/P probes (steps + 3).
double estimates_bytes(const gram::Sizes& sizes, const EstimateOptions& options);

/// `flops` of a dense symmetric eigenproblem of order m that every rank has, as replicated_ranks()
/// divides it among them.
Cost replicated_cost(const gram::Sizes& sizes, double flops, double m);

}  // namespace mercer::spectral
