#pragma once

#include <span>
#include <vector>

#include "mercer/jobs/training.hpp"
#include "shared/score_output.hpp"

namespace mercer::drivers {

/// Prints about twenty of the records as a table.
void print_history(Session& session, const std::vector<train::Record>& history,
                   const data::Preparation& preparation);
/// Prints what was tracked of K_t and of the path, and notes it in the record.
template <class T>
void print_track(const jobs::TrainingPlan& plan, const jobs::Training<T>& training,
                 Session& session);
/// Prints a table of the spaces of eigenfunctions at the end of the run, with how far the test
/// residual is from linear theory, and notes it in the record.
void print_functions(const jobs::FunctionTrace& trace, const std::vector<train::Record>& history,
                     const data::Preparation& preparation, Session& session);
/// Prints the test scores (jobs::text()), then what print_predictions() prints.
void print_test(Session& session, const data::Dataset& test, const data::Preparation& preparation,
                const jobs::Predictions& predictions);

}  // namespace mercer::drivers
