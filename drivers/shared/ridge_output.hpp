#pragma once

#include <optional>
#include <string>
#include <vector>

#include "shared/ridge_fit.hpp"
#include "shared/ridge_scores.hpp"

namespace mercer::drivers {

/// Ridge, residual and method of the best fit as lines of the log; false where conjugate gradients
/// did not converge: what to change is then said. `unit`: score_unit().
template <class T>
bool print_solution(const Session& session, const Solution<T>& solution, const std::string& unit);
/// Into the JSON record.
template <class T>
void note_solution(Session& session, const Solution<T>& solution, const std::string& unit);
/// What the estimated score that chose the ridge is told in: GCV is a mean square. Local.
std::string score_unit(const RidgeJob& job, const data::Preparation& preparation);
/// What check() may give: rounding, or what the solver and the storage of K leave.
template <class T>
double accepted_error(const RidgeJob& job, const Solution<T>& solution);
/// /ridge, /score/..., /path/... of several ridges, /search/... of a ridge that was chosen by
/// estimates. `errors`: one a ridge. Collective.
template <class T>
void write_solution(dist::Hdf5File& file, const Solution<T>& solution,
                    const std::vector<RidgeErrors>& errors, const data::Preparation& preparation);

/// The temperature of class probabilities (krr::probabilities()), where there is one, and what to
/// say of it.
struct Calibration {
  std::optional<double> temperature;
  std::string text;
};
/// The temperature of largest likelihood for the leave-one-out predictions Y - e of the best fit:
/// where targets are one-hot and all eigenpairs are there. Collective, 2 n^2 (2 c + 1) flops.
template <class T>
Calibration calibrate(const Solution<T>& solution, const data::Split& sets);

/// The spectrum and g of it, the errors along the ridges, and the predictions against the targets
/// or the confusion matrix: those panels that the job has (`test`: null where there is none).
/// Collective.
template <class T>
void plot(const Session& session, const Solution<T>& solution,
          const std::vector<RidgeErrors>& errors, const Predictions& predictions,
          const data::Dataset* test, const data::Preparation& preparation);

/// What predicting from a stored result takes: the kernel's and the training set's options as the
/// text of a configuration file, the preparation, and the coefficients.
struct StoredModel {
  std::string options;  ///< "name=value" lines
  std::string train;    ///< SPEC
  data::Preparation preparation;
  dist::RowBlock<double> alpha;
  std::optional<double> temperature{};  ///< of class probabilities
  double ridge = 0;                     ///< not written by write_model(), but by write_solution()
};
/// Of the options of a fit those that a model has, a line "name=value" each.
std::string model_options(const CommandLine& line);
/// Makes the model's options those of this run. Throws InputError, naming the file at `path` and
/// the option, for any that a model does not have: a model is data, and cannot name files to write.
void adopt_options(CommandLine& line, const StoredModel& model, const std::string& path);
void write_model(dist::Hdf5File& file, const StoredModel& model);
/// Throws InputError where a part is missing or does not fit the others. Collective.
StoredModel read_model(const dist::Hdf5File& file);

}  // namespace mercer::drivers
