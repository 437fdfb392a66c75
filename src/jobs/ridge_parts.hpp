#pragma once

#include "mercer/jobs/pairs.hpp"
#include "mercer/jobs/ridge.hpp"
#include "mercer/spectral/probes.hpp"

// What the parts of ridge regression share: strategy, direct and iterative fits.

namespace mercer::jobs {

/// Rademacher probes of the estimates that choose a ridge.
inline constexpr Index kRidgeProbes = 32;

/// Bytes a rank of a direct fit with k pairs, beside the baseline. Local.
double pairs_bytes(const RidgePlan& plan, Index k);
/// The ridges, or what chooses them, for checkpoints.
std::string ridges_text(const RidgeOptions& options);
/// What leave-one-out, GCV and holdout estimate, where the kernel is modified; else empty.
std::string what_scores_estimate(const RidgeOptions& options);

template <class T>
RidgeFit<T> fit_directly(const RidgePlan& plan, const gram::Source& kernel,
                         const data::Dataset& train, const dist::ProcessGrid& grid,
                         Monitor& monitor);
RidgeFit<double> fit_iteratively(const RidgePlan& plan, const gram::Source& kernel,
                                 const data::Dataset& train, const dist::ProcessGrid& grid,
                                 Monitor& monitor);

}  // namespace mercer::jobs
