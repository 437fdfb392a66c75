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

/// What predictions of rows with targets are worth. All empty where no row has any.
struct Scores {
  Index rows = 0;  ///< that have targets, and are scored
  Index predicted = 0;
  std::optional<double> mse, rmse, r2;      ///< in the targets' own units; r2 has none
  std::optional<double> rmse_standardized;  ///< over the training deviations, where standardised
  std::optional<double> accuracy;           ///< where targets are classes
  std::optional<double> log_loss;           ///< where there are class probabilities
  std::optional<krr::Confusion> confusion;  ///< where targets are classes
  bool known() const { return mse.has_value(); }
};

/// Predictions of new rows: all that is written, printed and drawn of them.
struct Predictions {
  dist::RowBlock<double> values;         ///< m x c, in the targets' own units
  dist::RowBlock<double> probabilities;  ///< m x classes, or empty
  Scores scores;
};

/// `values`: predictions in prepared units, m x c, by rows like those of `rows`. `temperature`: of
/// class probabilities (krr::probabilities()), if there is one. Rows with targets are scored.
/// Collective, O(m c).
Predictions evaluate(dist::RowBlock<double> values, const data::Dataset& rows,
                     const data::Preparation& preparation,
                     std::optional<double> temperature = std::nullopt);

/// The unit that errors are told in, for headers and axes: "the target's own unit", "y's own unit",
/// "one-hot outputs". Local.
std::string unit_of(const data::Preparation& preparation);

/// The unit of targets as they were prepared, which losses and estimated scores are told in: where
/// they were standardised "deviations of the training targets", else unit_of(). Local.
std::string prepared_unit(const data::Preparation& preparation);

/// Errors of one ridge, in the targets' own units; what there is of them. Where only the mean over
/// standardised outputs of different deviations is known (estimates of conjugate gradients),
/// leave-one-out and GCV stay standardised.
struct RidgeErrors {
  double ridge = 0;
  Scores scores{};  ///< of the test rows
  std::optional<double> loo_rmse{}, gcv{};
  bool standardized_only = false;
  std::optional<double> loo_rmse_standardized{}, gcv_standardized{};  ///< where targets were
};
/// Leave-one-out and GCV of the fit, converted. Local.
RidgeErrors errors_of(const krr::Fit& fit, const data::Preparation& preparation);

/// Are errors of all these ridges told in standardised units, for some are known in no other?
/// Local.
bool standardized_only(const std::vector<RidgeErrors>& errors);

/// What RidgeErrors has, by the names of files and records, with the units that it is told in (""
/// of what has none). Local.
struct Figure {
  const char* name;
  std::string unit;
  std::function<std::optional<double>(const RidgeErrors&)> value;
};
std::vector<Figure> figures(const data::Preparation& preparation, bool standardized_only);

/// GROUP/rmse, mse, r2, ..., loo_rmse, gcv: one number a ridge; the attribute `unit` names what
/// they are told in. Collective.
void write_errors(io::Hdf5File& file, const std::string& group,
                  const std::vector<RidgeErrors>& errors, const data::Preparation& preparation);
/// /predictions, /rows (places in the file, from 0), /targets where they are known; with classes
/// /classes, /labels (places in /classes), and /probabilities, /score/accuracy_by_class and
/// /score/confusion (true, predicted) where there are such. /targets of classes are the labels as
/// the file has them, where these are numbers; where they are names, /labels again. Of a row
/// without targets, beside others that have them, /targets are NaN and its label is -1. Collective.
void write_predictions(io::Hdf5File& file, const data::Dataset& rows,
                       const data::Preparation& preparation, const Predictions& predictions);

}  // namespace mercer::jobs
