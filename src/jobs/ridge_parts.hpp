#pragma once

#include <type_traits>

#include "mercer/jobs/ridge.hpp"
#include "mercer/spectral/probes.hpp"
#include "row_identity.hpp"

// Shared by the files of ridge regression: strategy, direct and iterative fits.

namespace mercer::jobs {

/// Number of Rademacher probes for the estimates that choose a ridge.
inline constexpr Index kRidgeProbes = 32;

/// Bytes a rank that a direct fit with k pairs takes, without the baseline. Local.
double pairs_bytes(const RidgePlan& plan, Index k);
/// The ridges, or the criterion that chooses one, for checkpoints.
std::string ridges_text(const RidgeOptions& options);
/// In words, what leave-one-out, GCV and holdout estimate for a modified kernel or training times;
/// else empty.
std::string what_scores_estimate(const RidgeOptions& options);
/// Whether a learning curve is measured on the test rows. Local.
bool on_test_rows(const data::Split& sets);
/// Block size of the fits to n rows of a learning curve. Local.
Index block_of_subset(const RidgePlan& whole, Index n);
/// The map in force; the identity for plain ridge regression.
msk::SpectrumMap spectrum_map(const RidgeOptions& options);

/// fit.pairs or fit.pairs_single.
template <class T, class Fit>
auto& pairs_of(Fit& fit) {
  if constexpr (std::is_same_v<T, float>)
    return fit.pairs_single;
  else
    return fit.pairs;
}

template <class T>
RidgeFit fit_directly(const RidgePlan& plan, const data::Dataset& train,
                      const dist::ProcessGrid& grid, Monitor& monitor);
RidgeFit fit_iteratively(const RidgePlan& plan, const data::Dataset& train,
                         const dist::ProcessGrid& grid, Monitor& monitor);

}  // namespace mercer::jobs
