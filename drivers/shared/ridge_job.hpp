#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mercer/krr/fit.hpp"
#include "shared/session.hpp"

namespace mercer::drivers {

/// What mercer-krr is asked for.
struct RidgeJob {
  CommonOptions common;
  std::string train, test;
  data::Options preparation;

  std::string ridge, ridge_relative;  ///< as typed
  std::vector<double> ridges;         ///< gamma, or G where `relative`
  bool relative = false;
  std::optional<krr::SpectralPath<double>::Score> score;  ///< loo or gcv choose the ridge

  Index top = -1;
  std::string g;  ///< "": plain ridge regression
  std::string predict = "inductive";
  std::string solver = "auto";
  std::string spectrum;  ///< stored pairs
  std::string model;     ///< a stored result to predict from

  bool modified() const { return !g.empty(); }
  bool transductive() const { return predict == "transductive"; }
  /// All eigenpairs serve any number of ridges; one ridge of the plain kernel costs a Cholesky
  /// factor.
  bool by_eigenpairs() const {
    return score.has_value() || modified() || !spectrum.empty() || ridges.size() > 1;
  }
  /// Reads --ridge and --ridge-relative. Throws InputError.
  void parse_ridges();
};

/// What the predictions are worth, in the targets' own units.
struct Scores {
  double mse = 0, rmse = 0;
  double rmse_standardized = -1;  ///< -1: targets were not standardised
  double accuracy = -1;           ///< -1: targets are no classes
};
/// `predictions` in prepared units; on return in the targets' own. Collective.
Scores evaluate(dist::RowBlock<double>& predictions, const data::Dataset& test,
                const data::Standardization& standardization);

/// /predictions, /alpha, /ridge, /score, and what a stored model needs: the kernel's and the
/// training set's options as the text of a configuration file, and the preparation.
struct StoredModel {
  std::string options;  ///< "name=value" lines
  std::string train;    ///< SPEC
  data::Preparation preparation;
  dist::RowBlock<double> alpha;
};
void write_model(dist::Hdf5File& file, const StoredModel& model);
StoredModel read_model(const dist::Hdf5File& file);

}  // namespace mercer::drivers
