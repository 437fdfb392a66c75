#pragma once

#include <string>
#include <vector>

#include "mercer/jobs/training.hpp"
#include "mercer/net/network.hpp"
#include "shared/session.hpp"
#include "shared/spectrum_options.hpp"

namespace mercer::drivers {

/// The options of mercer-train.
struct TrainLine {
  CommonOptions common;
  std::string train, test;
  std::string model;  ///< a stored network to predict from
  data::Options preparation;
  std::string csv;  ///< file for the records as a table; empty: none
  jobs::TrainingOptions options;
  bool advise = false;  ///< predict the steps and times of several `top` instead of training

  void add(CommandLine& line);
  /// Checks what was typed and fills `options`. Throws InputError. Local.
  void read(const CommandLine& line);
  /// Throws InputError for options that a prediction from `model` would ignore. Local.
  void expect_no_training(CommandLine& line) const;
  /// The network of --arch, or of --depth and --width with one output for each column of the
  /// targets. Throws InputError: missing widths, or a number of outputs that is not the number of
  /// target columns. Local.
  net::Network network(const CommandLine& line, const data::Dataset& train) const;
  /// w_0: drawn from --seed, or read from --init-parameters, with a warning where that file states
  /// another preparation. Equal on all ranks. Throws InputError for a file that does not fit the
  /// network. Collective.
  template <class T>
  std::vector<T> start(const net::Network& network, const data::Preparation& preparation,
                       Session& session) const;

 private:
  void add_network(CommandLine& line);
  void add_preconditioner(CommandLine& line);
  void add_descent(CommandLine& line);
  void add_traces(CommandLine& line);
  void read_preconditioner(const CommandLine& line);
  void read_descent(const CommandLine& line);

  Index width_ = 0;  ///< of the hidden layers of --depth; 0: --arch has the widths
  std::string parametrization_ = "ntk", init_ = "antisymmetric", init_parameters_;
  std::string precondition_, solver_ = "auto";
  std::string rate_ = "auto", safeguard_ = "on", stochastic_, directions_, eigenfunctions_, track_;
  std::string decay_to_ = "start";
  StorageLine storage_;
};

}  // namespace mercer::drivers
