#pragma once

#include <span>
#include <vector>

#include "mercer/jobs/training.hpp"
#include "shared/score_output.hpp"

namespace mercer::drivers {

/// Prints about twenty of the records as a table.
void print_history(Session& session, const std::vector<train::Record>& history,
                   const data::Preparation& preparation);
/// Prints the test scores (jobs::text()), then what print_predictions() prints.
void print_test(Session& session, const data::Dataset& test, const data::Preparation& preparation,
                const jobs::Predictions& predictions);

}  // namespace mercer::drivers
