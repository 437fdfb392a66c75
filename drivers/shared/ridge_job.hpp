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

}  // namespace mercer::drivers
