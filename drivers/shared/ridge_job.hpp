#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mercer/krr/fit.hpp"
#include "mercer/krr/ridge_estimates.hpp"
#include "shared/checkpoints.hpp"
#include "shared/products.hpp"
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
  std::optional<krr::RidgeCriterion> score;  ///< what chooses the ridge

  Index top = -1;
  std::string g;  ///< "": plain ridge regression
  std::string predict = "inductive";
  std::string solver = "auto";  ///< auto, cholesky, cg or an eigensolver
  std::string spectrum;         ///< stored pairs
  std::string model;            ///< a stored result to predict from

  StorageJob storage;
  std::string preconditioner = "auto";
  Index rank = 0;  ///< of the preconditioner; 0: chosen
  double cg_tolerance = 1e-8;
  Index max_iterations = 1000;
  CheckpointJob checkpoints;

  bool modified() const { return !g.empty(); }
  bool transductive() const { return predict == "transductive"; }
  /// All eigenpairs serve any number of ridges; one ridge of the plain kernel costs a Cholesky
  /// factor.
  bool by_eigenpairs() const {
    return score.has_value() || modified() || !spectrum.empty() || ridges.size() > 1;
  }
  /// Asks for something that only conjugate gradients have.
  bool iterative_asked() const { return !iterative_asked_by_.empty(); }
  /// The first option that asks for it; empty where none does.
  const std::string& iterative_asked_by() const { return iterative_asked_by_; }
  /// The ridges that are given, for a kernel matrix of this trace(K)/n. Throws InputError where
  /// ridges that follow it, relative ones or those of a choice, have no scale: K = 0. Local.
  std::vector<double> gammas(double mean_diagonal) const;
  bool direct_asked() const { return solver != "auto" && solver != "cg"; }
  /// Of the direct path's eigenpairs.
  spectral::Method eigensolver() const;

  /// Registers the options of ridge regression.
  void add(CommandLine& line);
  /// Checks what was typed, and reads the ridges. Throws InputError. Local.
  void settle(const CommandLine& line);
  /// The same for what depends on the kernel.
  void settle(const gram::Source& kernel);

 private:
  /// Reads --ridge and --ridge-relative. Throws InputError.
  void parse_ridges();
  std::string iterative_asked_by_;
};

}  // namespace mercer::drivers
