#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "mercer/dist/process_grid.hpp"
#include "mercer/gram/cost.hpp"
#include "mercer/plan/machine.hpp"
#include "mercer/plan/stage.hpp"

namespace mercer::jobs {

/// The resources of a job, by which it is planned.
struct Resources {
  double memory_limit = 0;  ///< bytes a rank; 0: what the machine has available
  std::uint64_t seed = 0;   ///< of everything random
  Index nb = 0;             ///< block size; 0: chosen
  /// The grid that is planned for: that of this run, unless a run on another machine is planned.
  dist::GridShape shape{1, 1};
  std::string grid{};  ///< as the user gave it, "2x3"; empty: chosen. Only noted in checkpoints
  /// Rates for the predicted times. Decisions do not use it but the reference machine, so that they
  /// are the same in every run.
  plan::Machine machine{};
  bool timed = false;    ///< `machine` is this machine, and times are shown
  double available = 0;  ///< bytes of the machine's memory for each rank; 0: not known
  double baseline = 0;   ///< bytes that a process holds before the job: MPI, libraries

  /// Grid, available memory and baseline of this run. Collective.
  static Resources of(const dist::ProcessGrid& grid);
  /// Resident memory, in bytes, of the rank that holds most, rounded up to a multiple of 8 MiB:
  /// small differences between runs then change neither decisions nor the last bits of a result.
  /// Collective.
  static double baseline_of(const comm::Communicator& comm);

  /// Bytes a rank that the job may take: the smaller of memory_limit and available, as far as they
  /// are known.
  double limit() const {
    if (memory_limit > 0 && available > 0) return std::min(memory_limit, available);
    return memory_limit > 0 ? memory_limit : available;
  }
  plan::Plan plan() const { return plan::Plan(baseline, timed); }
  Index block_of(Index n) const;  ///< nb, or spectral::recommended_block()

  /// The memory that remains for a solver, in bytes a rank: 95 % of limit() (of 80 % of it where
  /// memory_limit is 0), less baseline and sizes.data_bytes(). Negative where these take more.
  /// Local.
  double room(const gram::Sizes& sizes) const;
  /// Throws MemoryError unless room > 0. Local.
  void require_room(double room) const;
};

}  // namespace mercer::jobs
