#pragma once

#include <string>
#include <vector>

#include "mercer/net/network.hpp"
#include "mercer/train/checkpoint.hpp"
#include "mercer/train/descend.hpp"
#include "shared/session.hpp"

namespace mercer::drivers {

/// What mercer-train is asked for.
struct TrainJob {
  CommonOptions common;
  std::string train, test;
  data::Options preparation;

  Index width = 0;  ///< of the hidden layers of --depth; 0: --arch has the widths
  std::string parametrization = "ntk", init = "antisymmetric", init_parameters;

  std::string precondition;  ///< none, kernel or empirical
  Index top = -1;            ///< -1: all
  std::string g = "flat", solver = "auto", spectrum;
  std::vector<Index> directions;  ///< traced eigen-directions, from 1
  bool trace_kernel = false, operator_spectrum = false;
  std::string csv;  ///< the records as a table

  train::Options options;
  std::string checkpoint;
  bool resume = false;

  bool preconditioned() const { return precondition != "none"; }
  bool empirical() const { return precondition == "empirical"; }
  /// Steps of `block` are made of blocks of rows that each have an S of their own.
  bool blocks() const {
    return options.batch > 0 && options.stochastic == train::Stochastic::block;
  }

  /// What S is, for the log.
  std::string description() const;

  /// Registers the options of training.
  void add(CommandLine& line);
  /// Checks what was typed, and chooses what was left out. Throws InputError. Local.
  void settle(const CommandLine& line);
  /// The same for what depends on the data. Throws InputError. Local.
  void settle(const data::Split& sets);

  /// The network of --arch, or of --depth and --width with one output for each column of the
  /// targets. Throws InputError: widths that are missing, outputs that are not the targets'
  /// columns. Local.
  net::Network network(const CommandLine& line, const data::Dataset& train) const;
  /// w_0: drawn, or those of --init-parameters. Equal on all ranks. Collective.
  template <class T>
  std::vector<T> start(const net::Network& network, const comm::Communicator& comm) const;

  /// All that changes the steps of a run and its records, for checkpoints. `start_hash`: of w_0.
  /// Collective.
  train::Identity identity(const net::Network& network, const gram::Source& kernel,
                           const data::Split& sets, std::uint64_t start_hash,
                           const comm::Communicator& comm) const;
  /// What a run that goes on may have otherwise.
  train::Identity settings(int ranks) const;

 private:
  std::string rate_ = "auto", safeguard_ = "on", stochastic_ = "rows", directions_;
};

/// What the job will take. Collective.
template <class T>
Plan plan(const TrainJob& job, const net::Network& network, const gram::Source& kernel,
          const data::Split& sets, Index nb, Session& session);
/// Of one step, all ranks together.
double step_flops(const TrainJob& job, const net::Network& network, const data::Dataset& train);
/// Test rows go through in batches whose activations fit into this.
inline constexpr double kTestMemory = 64.0 * 1024 * 1024;
/// Bytes a rank for the activations of training.
double activation_memory(const TrainJob& job);

}  // namespace mercer::drivers
