#pragma once

#include <span>
#include <vector>

#include "mercer/jobs/ridge.hpp"
#include "mercer/jobs/scores.hpp"
#include "mercer/jobs/training.hpp"
#include "mercer/report/plot.hpp"

/// Results as panels for report::write_picture().
namespace mercer::jobs {

/// Eigenvalues lambda_i and residuals against i; with `diagnostics` also the law that fits best
/// over its range, and the cumulative alignment of the targets. Local.
std::vector<report::Plot> picture(const std::vector<double>& values,
                                  const std::vector<double>& residuals, bool exact,
                                  const Diagnostics* diagnostics = nullptr);

/// Statistical dimension against the ridge, and for up to seven of the ridges how many rows have a
/// score of at least x. Collective.
std::vector<report::Plot> picture(const msk::LeverageScores& leverage);

/// The panels for which there are data: the spectrum and g on it, the errors against the ridge, and
/// the confusion matrix or the predictions against the targets. `spectrum` may be empty; `test` is
/// null where there are no test rows. Collective: the predictions are gathered on every rank.
std::vector<report::Plot> picture(const msk::ModifiedSpectrum& spectrum,
                                  const std::vector<RidgeErrors>& errors,
                                  const Predictions& predictions, const data::Dataset* test,
                                  const data::Preparation& preparation);

/// Predicted and measured errors against the number of rows. Local.
report::Plot picture(const LearningCurve& curve, const data::Preparation& preparation);

/// Losses against steps, residuals along eigenvectors and of test rows along eigenfunctions beside
/// the predictions of linear theory, and what was tracked of K_t, relative to K_0. Local.
template <class T>
std::vector<report::Plot> picture(const TrainingPlan& plan, const Training<T>& training,
                                  const data::Preparation& preparation);

/// Indices of at most `count` > 1 of `size` records: the first, the last, and evenly spaced ones
/// between them (the records themselves are dense at first). Local.
std::vector<std::size_t> thinned(std::size_t size, std::size_t count);

}  // namespace mercer::jobs
