#pragma once

#include <optional>

#include "mercer/jobs/ridge.hpp"
#include "mercer/net/parameters.hpp"
#include "shared/spectrum_options.hpp"

namespace mercer::drivers {

/// What mercer-krr is asked for.
struct RidgeLine {
  CommonOptions common;
  std::string train, test;
  std::string model;       ///< a stored result to predict from
  bool reference = false;  ///< the model refers to its rows
  data::Options preparation;
  jobs::RidgeOptions options;
  std::optional<net::StoredNetwork> network;  ///< of --kernel empirical

  void add(CommandLine& line);
  /// Checks what was typed and fills `options`. Throws InputError. Local.
  void read(const CommandLine& line, const gram::Source& kernel);
  /// Of a prediction from `model`: what was typed beside it has an effect. Throws InputError.
  /// Local.
  void expect_no_fit(const CommandLine& line) const;

 private:
  void read_ridges();
  void read_solver();
  std::string ridge_, ridge_relative_, predict_ = "inductive", solver_ = "auto",
                                       preconditioner_ = "auto", rows_ = "stored";
  CheckpointLine checkpoints_;
  StorageLine storage_;
};

}  // namespace mercer::drivers
