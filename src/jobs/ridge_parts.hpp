#pragma once

#include "mercer/jobs/pairs.hpp"
#include "mercer/jobs/ridge.hpp"
#include "mercer/spectral/probes.hpp"

// Shared by the files of ridge regression: strategy, direct and iterative fits.

namespace mercer::jobs {

/// Number of Rademacher probes for the estimates that choose a ridge.
inline constexpr Index kRidgeProbes = 32;

/// Bytes a rank that a direct fit with k pairs takes, without the baseline. Local.
double pairs_bytes(const RidgePlan& plan, Index k);
/// The ridges, or the criterion that chooses one, for checkpoints.
std::string ridges_text(const RidgeOptions& options);
/// In words, what leave-one-out, GCV and holdout estimate for a modified kernel; else empty.
std::string what_scores_estimate(const RidgeOptions& options);

template <class T>
RidgeFit<T> fit_directly(const RidgePlan& plan, const gram::Source& kernel,
                         const data::Dataset& train, const dist::ProcessGrid& grid,
                         Monitor& monitor);
RidgeFit<double> fit_iteratively(const RidgePlan& plan, const gram::Source& kernel,
                                 const data::Dataset& train, const dist::ProcessGrid& grid,
                                 Monitor& monitor);

}  // namespace mercer::jobs
