#pragma once

#include "mercer/jobs/scores.hpp"
#include "shared/session.hpp"

namespace mercer::drivers {

/// The table of errors: one line a ridge, those columns that the job has, one unit, named above.
void print_errors(const Session& session, const data::Preparation& preparation,
                  const std::vector<jobs::RidgeErrors>& errors);
/// How many rows have targets, where not all of them have. Accuracy of each class, and the
/// confusion matrix of a dozen classes at most; nothing without classes.
void print_predictions(const Session& session, const data::Dataset& rows,
                       const jobs::Predictions& predictions);
/// Into the JSON record: rmse, mse, r2, ..., what there is by class, and `units`; `rows_scored`
/// where some rows have no targets.
void note_errors(Session& session, const jobs::RidgeErrors& errors,
                 const data::Preparation& preparation);

}  // namespace mercer::drivers
