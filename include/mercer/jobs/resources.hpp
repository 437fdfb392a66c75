#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "mercer/dist/process_grid.hpp"
#include "mercer/gram/cost.hpp"
#include "mercer/plan/machine.hpp"
#include "mercer/plan/stage.hpp"

namespace mercer::jobs {

/// What a job may use, and what its plan is for.
struct Resources {
  double memory_limit = 0;  ///< bytes a rank; 0: as much as the machine leaves to each
  std::uint64_t seed = 0;   ///< of everything random
  Index nb = 0;             ///< block size; 0: chosen
  /// The grid that the plan is for: that of the run, unless another machine's run is planned.
  dist::GridShape shape{1, 1};
  std::string grid{};  ///< as it was asked for, "2x3"; empty: chosen. Only noted in checkpoints
  /// Rates of the plan's times. Decisions are taken by the reference machine, so that they are the
  /// same in every run.
  plan::Machine machine{};
  bool timed = false;    ///< `machine` is this one, and times are to be shown
  double available = 0;  ///< bytes that the machine leaves to each rank; 0: not known
  double baseline = 0;   ///< bytes that a process holds before the job: MPI, libraries

  /// Of this run: its grid, memory and baseline. Collective.
  static Resources of(const dist::ProcessGrid& grid);
  /// What a process holds now, the rank with most, rounded up to 8 MiB, so that decisions and with
  /// them the last bits of a result do not depend on a page more or less. Collective.
  static double baseline_of(const comm::Communicator& comm);

  double limit() const {
    if (memory_limit > 0 && available > 0) return std::min(memory_limit, available);
    return memory_limit > 0 ? memory_limit : available;
  }
  plan::Plan plan() const { return plan::Plan(baseline, timed); }
  Index block_of(Index n) const;  ///< nb, or what is good for n

  /// Bytes a rank that remain for a solver: 95 % of the limit (four fifths of what nobody promised)
  /// less what a process and the rows take; negative where that is more. Local.
  double room(const gram::Sizes& sizes) const;
  /// Throws MemoryError unless there is some. Local.
  void require_room(double room) const;
};

}  // namespace mercer::jobs
