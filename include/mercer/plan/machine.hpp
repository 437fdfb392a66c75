#pragma once

#include <nlohmann/json_fwd.hpp>

#include <algorithm>
#include <string>

#include "mercer/base/cost.hpp"
#include "mercer/comm/communicator.hpp"
#include "mercer/kernel/kernel.hpp"

namespace mercer::plan {

/// The rates from which times are predicted: of one rank while all ranks do the same, in flops,
/// bytes and seconds. The default values were measured by `mercer-bench plan` on the machine that
/// spectral/cost.cpp was fitted to, 2 ranks on 2 cores with AVX-512 and OpenBLAS 0.3.21; its kernel
/// entries are those of a three-layer ReLU NTK of 784 inputs.
struct Machine {
  std::string source = "the reference machine";
  int ranks = 2, nodes = 1;  ///< ranks that measured, and how many nodes they were on
  bool network = false;      ///< messages go over a network that was stated, not measured

  double gemm = 75e9, gemm_single = 158e9;     ///< 1024 cubed
  double skinny = 55e9, skinny_single = 97e9;  ///< 512 x 512 tiles from memory times 64 columns
  double product = 65e9, narrow = 27e9;        ///< K stored in double times 64 and times 8 columns
  double convert = 1e-12;  ///< seconds that an entry of K takes more where it is stored in single
  double memory = 16e9;    ///< bytes a second copied; reading and writing both count
  double touch = 10e9;     ///< bytes a second of memory touched first; a tenth of that or less
                           ///< where a virtual machine has to get it from its host

  double latency = 0.3e-6;  ///< seconds of a message of 8 bytes between two ranks
  double bandwidth = 12e9;  ///< bytes a second from one rank to one other
  double exchange = 7.5e9;  ///< bytes a second that a rank sends while all send to all

  std::string kernel;       ///< whose entries these are
  double gram = 70e9;       ///< flops a second of a tile's dot products
  double element = 8.3e-9;  ///< seconds an entry takes besides its dot product
  double row = 1.3e-6;      ///< seconds to prepare a row

  /// One entry of a tile of K times b columns, for both products that it serves (with K_IJ and
  /// K_IJ^T): max(b, 8) column_seconds() + pass_seconds(), the line through the measured rates at
  /// 64 and 8 columns; + convert where the tile is stored in single. Fewer than 8 columns take as
  /// long as 8.
  double product_seconds(double b, bool kept_in_single) const {
    return std::max(b, 8.0) * column_seconds() + pass_seconds(kept_in_single);
  }
  double column_seconds() const;
  double pass_seconds(bool kept_in_single) const;
  /// The sum of every count of `cost` divided by its rate: no overlap is assumed.
  double seconds(const Cost& cost) const;
  /// The same machine with a network of stated latency and bandwidth a rank.
  Machine with_network(double seconds, double bytes_per_second) const;

  /// The coefficients, for the log: two lines.
  std::string text() const;
  nlohmann::ordered_json json() const;
};

/// Assumed for a network that was neither measured nor stated: seconds of a message, and bytes a
/// second of a node (200 Gbit/s), shared by its ranks.
inline constexpr double kNetworkLatency = 2e-6, kNodeBandwidth = 25e9;

/// Measures every coefficient on all ranks at once, in about two seconds: the slowest rank's time
/// counts, and of two rounds the shorter time, because other jobs on a shared machine only add to
/// it. `kernel`, for rows of d inputs: null where K is read from a file (then the entries are those
/// of the reference machine). Memory: at most 128 MiB a rank. Collective.
Machine measure_machine(const comm::Communicator& comm, const kernel::Kernel* kernel, Index d);
/// Measures gram, element and row of `machine` only, for rows of d inputs. Memory: about 100 MiB a
/// rank. Collective.
void measure_entries(const comm::Communicator& comm, const kernel::Kernel& kernel, Index d,
                     Machine& machine);

/// Reads the object that json() makes, alone or as /result/machine of a record that mercer-bench
/// plan wrote. Throws InputError: no such file, no JSON object, a coefficient that is missing or
/// not positive. Collective.
Machine read_machine(const comm::Communicator& comm, const std::string& path);

}  // namespace mercer::plan
