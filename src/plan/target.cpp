#include "mercer/plan/target.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <thread>

#include "mercer/base/text.hpp"
#include "mercer/plan/memory.hpp"

namespace mercer::plan {

void TargetOptions::validate() const {
  for (const auto& [name, value] :
       {std::pair{"ranks", ranks}, {"nodes", nodes}, {"ranks_per_node", ranks_per_node}})
    if (value < 0 || value > 100'000'000)
      throw InputError("`{}` {}: give a whole number of at least 1", name, value);
  for (const auto& [name, value, unit] :
       {std::tuple{"latency", latency, "seconds of a message"},
        {"network_bandwidth", network_bandwidth, "bytes a second of a node"}})
    if (!(value >= 0 && std::isfinite(value)))
      throw InputError("`{}` {}: give {}, a positive number", name, value, unit);
  if (ranks > 0 && nodes > 0) {
    if (nodes > ranks) throw InputError("`nodes` {}: is more than `ranks` {}", nodes, ranks);
    if (ranks_per_node > 0 && ceil_div(ranks, ranks_per_node) != nodes)
      throw InputError("`nodes` {}: `ranks` {} with `ranks_per_node` {} take {}", nodes, ranks,
                       ranks_per_node, ceil_div(ranks, ranks_per_node));
  }
}

Target target_of(const TargetOptions& options, const std::string& grid, int threads,
                 const comm::Communicator& comm) {
  options.validate();
  const int sharing = comm.all_reduce(ranks_here(comm), comm::Op::max);
  Target target;
  target.other = options.ranks > 0 || options.nodes > 0;
  if (!target.other) {
    target.ranks = comm.size();
    target.ranks_per_node = sharing;
  } else {
    const int cores = static_cast<int>(std::thread::hardware_concurrency()) / std::max(1, threads);
    Index each = options.ranks_per_node;
    if (each == 0 && options.ranks > 0 && options.nodes > 0)
      each = ceil_div(options.ranks, options.nodes);
    if (each == 0) each = comm.all_reduce(std::max(cores, sharing), comm::Op::min);
    target.ranks_per_node = to_int(each, "ranks a node");
    target.ranks =
        to_int(options.ranks > 0 ? options.ranks : options.nodes * each, "the plan's ranks");
    target.ranks_per_node = std::min(target.ranks_per_node, target.ranks);
  }
  target.nodes = to_int(ceil_div(target.ranks, target.ranks_per_node), "nodes");
  target.shape =
      grid.empty() ? dist::default_shape(target.ranks) : dist::parse_shape(grid, target.ranks);
  return target;
}

TargetMachine machine_of(const Machine& measured, const Target& target,
                         const TargetOptions& options) {
  TargetMachine result{measured, {}};
  const auto assume = [&](std::string line) { result.assumptions.push_back(std::move(line)); };
  if (target.other && target.ranks != measured.ranks)
    assume(fmt::format("each rank computes as fast as one here ({})", measured.source));
  const bool stated = options.latency > 0 || options.network_bandwidth > 0;
  if (stated || (target.nodes > 1 && measured.nodes <= 1)) {
    const bool known = measured.nodes > 1;  // what is not stated was measured then
    const double sharing = static_cast<double>(measured.ranks) / measured.nodes;
    const double latency = options.latency > 0 ? options.latency
                           : known             ? measured.latency
                                               : kNetworkLatency;
    const double node = options.network_bandwidth > 0 ? options.network_bandwidth
                        : known                       ? measured.exchange * sharing
                                                      : kNodeBandwidth;
    result.machine = measured.with_network(latency, node / target.ranks_per_node);
    if (options.latency <= 0 && !known)
      assume(
          fmt::format("`latency` {:g} s, of a usual network: none was given or measured", latency));
    if (options.network_bandwidth <= 0 && !known)
      assume(
          fmt::format("`network_bandwidth` {:g} bytes/s a node, of a usual network (200 Gbit/s): "
                      "none was given or measured",
                      node));
    if (target.nodes > 1) assume("every message goes to another node");
  } else if (target.ranks > 1 && measured.ranks == 1) {
    assume("messages within a node as on Mercer's reference machine: 1 rank has none to measure");
  } else if (target.other && target.nodes > 1) {
    assume(fmt::format("messages as measured on {}", counted(measured.nodes, "node")));
  }
  return result;
}

std::string text(const Target& target) {
  return fmt::format("{} on {}, {} a node, grid {}x{}", counted(target.ranks, "rank"),
                     counted(target.nodes, "node"), target.ranks_per_node, target.shape.rows,
                     target.shape.cols);
}

nlohmann::ordered_json json(const Target& target, const TargetMachine& machine) {
  return {{"ranks", target.ranks},
          {"nodes", target.nodes},
          {"ranks_per_node", target.ranks_per_node},
          {"grid", fmt::format("{}x{}", target.shape.rows, target.shape.cols)},
          {"latency", machine.machine.latency},
          {"bandwidth", machine.machine.exchange},
          {"assumptions", machine.assumptions}};
}

}  // namespace mercer::plan
