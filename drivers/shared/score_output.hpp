#pragma once

#include "mercer/jobs/scores.hpp"
#include "shared/session.hpp"

namespace mercer::drivers {

/// Prints the table of errors: a line for each ridge, the columns that the job has, and above them
/// their unit.
void print_errors(const Session& session, const data::Preparation& preparation,
                  const std::vector<jobs::RidgeErrors>& errors);
/// Prints how many rows have targets, where some lack them; with at most 50 classes the accuracy of
/// each, with at most 12 the confusion matrix too; and the log loss where there are probabilities.
void print_predictions(const Session& session, const data::Dataset& rows,
                       const jobs::Predictions& predictions);
/// Notes in the JSON record: rmse, mse, r2, ..., accuracies and confusion matrix by class, `units`,
/// and `rows_scored` where some rows have no targets.
void note_errors(Session& session, const jobs::RidgeErrors& errors,
                 const data::Preparation& preparation);

}  // namespace mercer::drivers
