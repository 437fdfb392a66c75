#pragma once

#include <string>
#include <vector>

#include "shared/ridge_fit.hpp"

namespace mercer::drivers {

/// What the predictions are worth, in the targets' own units; -1: there is no such score.
struct Scores {
  double mse = -1, rmse = -1;
  double rmse_standardized = -1;  ///< where targets were standardised
  double accuracy = -1;           ///< where targets are classes
};
/// `predictions` in prepared units; on return in the targets' own. Collective.
Scores evaluate(dist::RowBlock<double>& predictions, const data::Dataset& test,
                const data::Standardization& standardization);

/// The table of errors: its header, and one line a ridge (-1: no such figure).
void print_header(const Session& session);
void print_scores(const Session& session, double ridge, const Scores& scores, double loo,
                  double gcv);
/// Into the JSON record.
void note_scores(Session& session, const Scores& scores);
/// GROUP/rmse, GROUP/mse, ...: one number a ridge.
void write_scores(dist::Hdf5File& file, const std::string& group,
                  const std::vector<Scores>& scores);

/// Ridge, residual and method of the best fit as lines of the log; false where conjugate gradients
/// did not converge: what to change is then said.
template <class T>
bool print_solution(const Session& session, const Solution<T>& solution);
/// Into the JSON record.
template <class T>
void note_solution(Session& session, const Solution<T>& solution);
/// What check() may give: rounding, or what the solver and the storage of K leave.
template <class T>
double accepted_error(const RidgeJob& job, const Solution<T>& solution);
/// /ridge, /score/..., /path/... of several ridges, /search/... of a ridge that was chosen by
/// estimates. `scores`: one a ridge, or none. Collective.
template <class T>
void write_solution(dist::Hdf5File& file, const Solution<T>& solution,
                    const std::vector<Scores>& scores);

/// The spectrum and g of it, the errors along the ridges, and the predictions against the targets:
/// those panels that the job has (`test`: null where there is none). Collective.
template <class T>
void plot(const Session& session, const Solution<T>& solution, const std::vector<Scores>& scores,
          const dist::RowBlock<double>& predictions, const data::Dataset* test,
          const data::Standardization& standardization);

/// What predicting from a stored result takes: the kernel's and the training set's options as the
/// text of a configuration file, the preparation, and the coefficients.
struct StoredModel {
  std::string options;  ///< "name=value" lines
  std::string train;    ///< SPEC
  data::Preparation preparation;
  dist::RowBlock<double> alpha;
};
std::string model_options(const CommandLine& line);
void write_model(dist::Hdf5File& file, const StoredModel& model);
StoredModel read_model(const dist::Hdf5File& file);

}  // namespace mercer::drivers
