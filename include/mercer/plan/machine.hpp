#pragma once

#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>

#include "mercer/base/cost.hpp"
#include "mercer/comm/communicator.hpp"
#include "mercer/kernel/kernel.hpp"

namespace mercer::plan {

/// What predicted times are made of: rates of one rank while all ranks do the same,
/// in flops, bytes and seconds. The values here stand for the machine that spectral/cost.cpp was
/// fitted to, 2 ranks on 2 cores with AVX-512 and OpenBLAS 0.3.21: by `mercer-bench plan`
/// there; entries are those of a three-layer ReLU NTK of 784 inputs.
struct Machine {
  std::string source = "the reference machine";
  int ranks = 2, nodes = 1;  ///< that were measured, and where they lay
  bool network = false;      ///< messages go over a network that was stated, not measured

  double gemm = 75e9, gemm_single = 158e9;     ///< 1024 cubed
  double skinny = 55e9, skinny_single = 97e9;  ///< 512 x 512 tiles out of memory times 64 columns
  double product = 65e9, narrow = 27e9;        ///< K kept in double times 64 and times 8 columns
  double convert = 1e-12;  ///< seconds that an entry of K kept in single takes more
  double memory = 16e9;    ///< bytes a second copied, read and written counted
  double touch = 10e9;     ///< bytes a second of memory touched first; a tenth of that or less
                           ///< where a virtual machine has to get it from its host

  double latency = 0.3e-6;  ///< seconds of a message of 8 bytes between two ranks
  double bandwidth = 12e9;  ///< bytes a second of one rank, to one other
  double exchange = 7.5e9;  ///< bytes a second that a rank sends while all send to all

  std::string kernel;       ///< whose entries these are
  double gram = 70e9;       ///< flops a second of a tile's dot products
  double element = 8.3e-9;  ///< seconds an entry takes beside them
  double row = 1.3e-6;      ///< seconds a row takes to be prepared

  /// One entry of K for rows of d numbers: 2 d/gram + element.
  double entry_seconds(double d) const { return 2 * d / gram + element; }
  /// One entry of a tile of K times b columns, for both products that it serves: max(b, 8)
  /// column_seconds() + pass_seconds(), the line through the measured rates at 64 and 8 columns,
  /// fewer cost as much; + convert where the tile is kept in single.
  double product_seconds(double b, bool kept_in_single) const {
    return std::max(b, 8.0) * column_seconds() + pass_seconds(kept_in_single);
  }
  double column_seconds() const;
  double pass_seconds(bool kept_in_single) const;
  /// Every count of `cost` over its rate, added up: nothing goes on beside anything else.
  double seconds(const Cost& cost) const;
  /// The same machine with a network of stated latency and bandwidth a rank.
  Machine with_network(double seconds, double bytes_per_second) const;

  /// The coefficients, for the log: two lines.
  std::string text() const;
  nlohmann::ordered_json json() const;
};

/// What is assumed of a network that was neither measured nor stated: seconds of a message, and
/// bytes a second of a node (200 Gbit/s), shared by its ranks.
inline constexpr double kNetworkLatency = 2e-6, kNodeBandwidth = 25e9;

/// Every coefficient, in about two seconds, by all ranks at once: the least of the slowest rank's
/// times over two rounds, as others on a shared machine only add to them.
/// `kernel`: null where K is read from a file (then the reference's entries). Memory: at most 128
/// MiB a rank. Collective.
Machine measure_machine(const comm::Communicator& comm, const kernel::Kernel* kernel, Index d);
/// gram, element and row of `machine` alone.
void measure_entries(const comm::Communicator& comm, const kernel::Kernel& kernel, Index d,
                     Machine& machine);

/// What json() holds, alone or as /result/machine of a record that mercer-bench plan
/// wrote. Throws InputError: no such file, a coefficient that is missing or not positive.
/// Collective.
Machine read_machine(const comm::Communicator& comm, const std::string& path);

}  // namespace mercer::plan
