#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

#include "mercer/dist/process_grid.hpp"
#include "mercer/plan/machine.hpp"

namespace mercer::plan {

/// The options ranks, nodes, ranks_per_node, latency and network_bandwidth; 0: not given.
struct TargetOptions {
  Index ranks = 0, nodes = 0, ranks_per_node = 0;
  double latency = 0;            ///< seconds of a message between two nodes
  double network_bandwidth = 0;  ///< bytes a second that a node sends, all of its ranks together

  bool given() const { return *this != TargetOptions{}; }
  /// Throws InputError: a count that is negative or above 1e8, a latency or bandwidth that is
  /// negative or not finite, more nodes than ranks, three counts that contradict one another.
  /// Local.
  void validate() const;
  bool operator==(const TargetOptions&) const = default;
};

/// The ranks that a plan is made for.
struct Target {
  int ranks = 1, nodes = 1, ranks_per_node = 1;
  dist::GridShape shape{1, 1};
  bool other = false;  ///< other ranks than those of this run
};

/// The ranks that `options` describe; this run's where neither ranks nor nodes are given. Ranks per
/// node by default: ranks/nodes where both are given, else as many as this machine has cores for,
/// with `threads` each. `grid`: "PxQ" for the target's ranks, or empty. Throws InputError (options,
/// grid). Collective.
Target target_of(const TargetOptions& options, const std::string& grid, int threads,
                 const comm::Communicator& comm);

/// A machine's coefficients for a target, and the assumptions behind them, one line each.
struct TargetMachine {
  Machine machine;
  std::vector<std::string> assumptions;
};
/// The rates of a rank are those of `measured`. Latency and bandwidth of messages are those stated
/// in `options`, a node's bandwidth shared by its ranks. Where neither is stated they are the
/// measured ones, if the target is one node or `measured` was on several. Where only one is stated,
/// or for several nodes none was measured, kNetworkLatency and kNodeBandwidth fill in. Whatever was
/// not stated or measured is listed in the assumptions. Local.
TargetMachine machine_of(const Machine& measured, const Target& target,
                         const TargetOptions& options);

/// "1024 ranks on 16 nodes, 64 a node, grid 32x32".
std::string text(const Target& target);
/// ranks, nodes, ranks_per_node, grid; latency (seconds), bandwidth (bytes/s a rank, while all
/// ranks send) and assumptions.
nlohmann::ordered_json json(const Target& target, const TargetMachine& machine);

}  // namespace mercer::plan
