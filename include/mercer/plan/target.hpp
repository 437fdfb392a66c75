#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "mercer/dist/process_grid.hpp"
#include "mercer/plan/machine.hpp"

namespace mercer::plan {

/// What ranks, nodes, ranks_per_node, latency and network_bandwidth say; 0: not given.
struct TargetOptions {
  Index ranks = 0, nodes = 0, ranks_per_node = 0;
  double latency = 0;    ///< seconds of a message between two nodes
  double bandwidth = 0;  ///< bytes a second that a node sends, all of its ranks together

  bool given() const { return *this != TargetOptions{}; }
  /// Throws InputError: counts below 1, figures that are not positive, three counts that
  /// contradict one another. Local.
  void validate() const;
  bool operator==(const TargetOptions&) const = default;
};

/// The ranks that a plan is for.
struct Target {
  int ranks = 1, nodes = 1, ranks_per_node = 1;
  dist::GridShape shape{1, 1};
  bool other = false;  ///< not those of this run
};

/// The ranks of `options`: by default this run's, or where others are asked for as many to a node
/// as this machine has cores for their threads. `grid`: "PxQ" for the target's ranks, or empty.
/// Throws InputError. Collective.
Target target_of(const TargetOptions& options, const std::string& grid, int threads,
                 const comm::Communicator& comm);

/// A machine's coefficients as they are for a target, and what had to be assumed for that, one line
/// each.
struct TargetMachine {
  Machine machine;
  std::vector<std::string> assumptions;
};
/// Rates of a rank: `measured`'s. Messages: those of latency and network_bandwidth, a node's
/// bandwidth shared by its ranks; else, within one node, those that were measured; else, where
/// `measured`'s ranks lay on several nodes, its own; else kNetworkLatency and kNodeBandwidth.
/// Whatever was not stated or measured is among the assumptions. Local.
TargetMachine machine_of(const Machine& measured, const Target& target,
                         const TargetOptions& options);

/// "1024 ranks on 16 nodes, 64 a node, grid 32x32".
std::string text(const Target& target);
/// ranks, nodes, ranks_per_node, grid; latency (seconds), bandwidth (bytes/s a rank, while all
/// ranks send) and assumptions.
nlohmann::ordered_json json(const Target& target, const TargetMachine& machine);

}  // namespace mercer::plan
