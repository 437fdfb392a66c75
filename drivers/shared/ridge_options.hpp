#pragma once

#include "mercer/jobs/ridge.hpp"
#include "shared/spectrum_options.hpp"

namespace mercer::drivers {

/// The options of mercer-krr.
struct RidgeLine {
  CommonOptions common;
  std::string train, test;
  std::string model;       ///< a stored result to predict from
  bool reference = false;  ///< --out refers to the training rows instead of holding them
  data::Options preparation;
  jobs::RidgeOptions options;

  void add(CommandLine& line);
  /// Checks what was typed and fills `options`. Throws InputError. Local.
  void read(const CommandLine& line, const gram::Source& kernel);
  /// Throws InputError for options that a prediction from the stored `model` would ignore. Local.
  void expect_no_fit(CommandLine& line) const;

 private:
  void read_times();
  void read_curve(const CommandLine& line);
  void read_ridges();
  void read_solver();
  std::string ridge_, ridge_relative_, times_, curve_, predict_ = "inductive", solver_ = "auto",
                                                       preconditioner_ = "auto", rows_ = "stored";
  CheckpointLine checkpoints_;
  StorageLine storage_;
};

}  // namespace mercer::drivers
