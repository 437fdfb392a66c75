#pragma once

#include <span>
#include <vector>

#include "mercer/jobs/ridge.hpp"
#include "mercer/jobs/scores.hpp"
#include "mercer/report/plot.hpp"
#include "mercer/train/descend.hpp"

/// Results as panels for report::write_picture().
namespace mercer::jobs {

/// Eigenvalues lambda_i and residuals against i; with `diagnostics` also the law that fits best over
/// its range, and the cumulative alignment of the targets. Local.
std::vector<report::Plot> picture(const std::vector<double>& values,
                                  const std::vector<double>& residuals, bool exact,
                                  const Diagnostics* diagnostics = nullptr);

/// The panels for which there are data: the spectrum and g on it, the errors against the ridge, and
/// the confusion matrix or the predictions against the targets. `spectrum` may be empty; `test` is
/// null where there are no test rows. Collective: the predictions are gathered on every rank.
std::vector<report::Plot> picture(const msk::ModifiedSpectrum& spectrum,
                                  const std::vector<RidgeErrors>& errors,
                                  const Predictions& predictions, const data::Dataset* test,
                                  const data::Preparation& preparation);

/// Losses against steps, and residuals along eigenvectors beside the prediction of linear theory.
/// Local.
std::vector<report::Plot> picture(const std::vector<train::Record>& history,
                                  std::span<const Index> directions,
                                  const data::Preparation& preparation);

/// Indices of at most `count` > 1 of `size` records: the first, the last, and evenly spaced ones
/// between them (the records themselves are dense at first). Local.
std::vector<std::size_t> thinned(std::size_t size, std::size_t count);

}  // namespace mercer::jobs
