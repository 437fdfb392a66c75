#pragma once

#include <span>
#include <vector>

#include "mercer/jobs/ridge.hpp"
#include "mercer/jobs/scores.hpp"
#include "mercer/report/plot.hpp"
#include "mercer/train/descend.hpp"

/// What there is to see of a result, as panels for report::write_picture().
namespace mercer::jobs {

/// Eigenvalues and residuals against their number. Local.
std::vector<report::Plot> picture(const std::vector<double>& values,
                                  const std::vector<double>& residuals);

/// The spectrum and g of it (empty: none), the errors along the ridges, and the predictions against
/// the targets or the confusion matrix: those panels that there is something for (`test`: null
/// where there are no test rows). Collective: the predictions come to every rank.
std::vector<report::Plot> picture(const msk::ModifiedSpectrum& spectrum,
                                  const std::vector<RidgeErrors>& errors,
                                  const Predictions& predictions, const data::Dataset* test,
                                  const data::Preparation& preparation);

/// Losses against steps, and residuals along eigen-directions beside what theory predicts. Local.
std::vector<report::Plot> picture(const std::vector<train::Record>& history,
                                  std::span<const Index> directions,
                                  const data::Preparation& preparation);

/// Places of about `count` of `size` records: the first, the last, and between them evenly by
/// place, because the records themselves are dense at first. Local.
std::vector<std::size_t> thinned(std::size_t size, std::size_t count);

}  // namespace mercer::jobs
