#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mercer/data/dataset.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/krr/fit.hpp"
#include "mercer/krr/score.hpp"

namespace mercer::jobs {

/// Scores of predictions against targets. All optional ones are empty where no row has targets.
struct Scores {
  Index rows = 0;                           ///< rows that have targets and are scored
  Index predicted = 0;                      ///< rows that were predicted
  std::optional<double> mse, rmse, r2;      ///< in the targets' own units; r2 has none
  std::optional<double> rmse_standardized;  ///< in training deviations, where standardised
  std::optional<double> accuracy;           ///< where targets are classes
  std::optional<double> log_loss;           ///< where there are class probabilities
  std::optional<krr::Confusion> confusion;  ///< where targets are classes
  bool known() const { return mse.has_value(); }
};

/// Predictions of new rows, and their scores.
struct Predictions {
  dist::RowBlock<double> values;         ///< m x c, in the targets' own units
  dist::RowBlock<double> probabilities;  ///< m x classes, or empty
  Scores scores;
};

/// Converts predictions to the targets' own units and scores them on the rows that have targets.
/// `values`: in prepared units, m x c, by rows like those of `rows`. `temperature`: of class
/// probabilities (krr::probabilities()), if there are any. Collective, O(m c).
Predictions evaluate(dist::RowBlock<double> values, const data::Dataset& rows,
                     const data::Preparation& preparation,
                     std::optional<double> temperature = std::nullopt);

/// The unit of errors, for headers and axes: "the target's own unit", "y's own unit", "one-hot
/// outputs". Local.
std::string unit_of(const data::Preparation& preparation);

/// The scores in one line, "rmse 0.12 in the target's own unit, R^2 0.98, accuracy 0.9"; empty
/// where none is known. Local.
std::string text(const Scores& scores, const data::Preparation& preparation);

/// The unit of losses and estimated scores, that of the prepared targets: "deviations of the
/// training targets" where they were standardised, else unit_of(). Local.
std::string prepared_unit(const data::Preparation& preparation);

/// The errors known for one ridge, or training time, in the targets' own units. Leave-one-out and
/// GCV stay in standardised units where only their mean over standardised outputs is known
/// (estimates with conjugate gradients) and the outputs have different deviations.
struct RidgeErrors {
  double ridge = 0;
  std::optional<double> time{};  ///< t, where one was asked for
  Scores scores{};               ///< of the test rows
  std::optional<double> loo_rmse{}, gcv{};
  bool standardized_only = false;  ///< loo_rmse and gcv are in standardised units
  /// The same in standardised units, where targets were standardised.
  std::optional<double> loo_rmse_standardized{}, gcv_standardized{};
};
/// Leave-one-out and GCV of the fit, converted. Local.
RidgeErrors errors_of(const krr::Fit& fit, const data::Preparation& preparation);

/// Whether errors of all these ridges are given in standardised units, because those of some are
/// known in no other. Local.
bool standardized_only(const std::vector<RidgeErrors>& errors);

/// The members of RidgeErrors by their names in files and records, with their units ("" for none).
struct Figure {
  const char* name;
  std::string unit;
  std::function<std::optional<double>(const RidgeErrors&)> value;
};
/// Local.
std::vector<Figure> figures(const data::Preparation& preparation, bool standardized_only);

/// Writes GROUP/rmse, mse, r2, ..., loo_rmse, gcv, those that are known for every ridge: one number
/// a ridge, the attribute `unit` naming their unit. Collective.
void write_errors(io::Hdf5File& file, const std::string& group,
                  const std::vector<RidgeErrors>& errors, const data::Preparation& preparation);
/// Writes /predictions, /rows (the rows' numbers in the file, from 0) and, where they are known,
/// /targets; with classes also /classes, /labels (indices into /classes), and /probabilities,
/// /score/accuracy_by_class and /score/confusion (true, predicted) where they exist. /targets of
/// classes are the labels of the file where these are numbers, and equal /labels where they are
/// names. Where some rows have targets, a row without them has NaN in /targets and the label -1.
/// Collective.
void write_predictions(io::Hdf5File& file, const data::Dataset& rows,
                       const data::Preparation& preparation, const Predictions& predictions);

}  // namespace mercer::jobs
