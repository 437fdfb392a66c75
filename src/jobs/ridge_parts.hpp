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
/// Bytes a rank of k vectors by rows. Local.
double vectors_bytes(const gram::Sizes& sizes, Index k);
/// Whether conjugate gradients estimate scores: to choose a ridge, or to compare several. Local.
bool estimated(const RidgeOptions& options);
/// Number of eigenpairs that the direct strategy computes; 0: none. Local.
Index direct_pairs(const RidgeOptions& options, Index n);
/// Bytes a rank of training times: coefficients and fitted values of the n rows, and of predictions
/// for `rows`. Local.
double times_bytes(const RidgeOptions& options, const gram::Sizes& sizes, Index rows);

// ridge_stages.cpp: stages of the plan. Local.

/// Those of the direct strategy, or of a transductive job, without reading and predictions.
/// `given`: number of pairs in options.spectrum; `method`: the eigensolver.
void plan_direct(plan::Plan& stages, const RidgeOptions& options, const gram::Sizes& sizes,
                 const plan::Machine& machine, Index given, spectral::Method method);
/// Those of conjugate gradients, likewise.
void plan_iterative(plan::Plan& stages, const RidgeOptions& options, const RidgeStrategy& strategy,
                    const gram::Sizes& sizes, const plan::Machine& machine);
/// Covariances: matrices of n^2, m n and m^2 numbers beside the pairs, and a result for each time.
void plan_covariance(RidgePlan& plan, const plan::Machine& machine);
/// A learning curve: leave-one-out errors for every n; and fits to subsets, each beside the pairs
/// of all rows.
void plan_curve(RidgePlan& plan, const data::Split& sets, const plan::Machine& machine);

/// The ridges, or the criterion that chooses one, for checkpoints.
std::string ridges_text(const RidgeOptions& options);
/// In words, what leave-one-out, GCV and holdout estimate for a modified kernel or training times;
/// else empty.
std::string what_scores_estimate(const RidgeOptions& options);
/// Whether a learning curve is measured on the test rows. Local.
bool on_test_rows(const data::Split& sets);
/// Block size and options of the fits to n rows of a learning curve, with the ridge gamma. Local.
Index block_of_subset(const RidgePlan& whole, Index n);
RidgeOptions options_of_subset(const RidgeOptions& whole, double gamma);
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
/// The fits of training times from `pairs` of fewer than n eigenvalues (krr::TopFlow), or of the
/// time of least score. K is multiplied once, streamed, and not assembled. Returns for how many
/// times coefficients were computed. Throws as krr::TopFlow, and InputError where K is zero or the choice
/// needs a diagonal that a stored kernel lacks. Collective.
Index fit_top_times(const RidgePlan& plan, const data::Dataset& train,
                    const spectral::TopPairs& pairs, Monitor& monitor, RidgeFit& fit);
/// Notes at which end of the range searched a chosen time is.
void note_edge(const krr::GradientFlow& chosen, bool shortest, bool longest, RidgeFit& fit);

RidgeFit fit_iteratively(const RidgePlan& plan, const data::Dataset& train,
                         const dist::ProcessGrid& grid, Monitor& monitor);

}  // namespace mercer::jobs
