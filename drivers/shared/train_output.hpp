#pragma once

#include <span>
#include <vector>

#include "mercer/jobs/training.hpp"
#include "shared/score_output.hpp"

namespace mercer::drivers {

/// About twenty of the records, as a table.
void print_history(Session& session, const std::vector<train::Record>& history,
                   const data::Preparation& preparation);
/// Errors of the test rows in the targets' own units and, where they were standardised, over their
/// training deviations; what there is by class. Or how many rows without targets were predicted.
void print_test(Session& session, const data::Split& sets, const jobs::Predictions& predictions);

}  // namespace mercer::drivers
