#pragma once

#include <cstdint>
#include <string>

#include "mercer/dist/process_grid.hpp"
#include "mercer/gram/cost.hpp"
#include "mercer/plan/machine.hpp"
#include "mercer/plan/stage.hpp"
#include "mercer/plan/target.hpp"

namespace mercer::jobs {

/// The resources of a job, by which it is planned.
struct Resources {
  double memory_limit = 0;  ///< bytes a rank that the user allows; 0: `available`
  std::uint64_t seed = 0;   ///< of everything random
  Index nb = 0;             ///< block size; 0: chosen
  /// The grid that is planned for: that of this run, unless a run on another machine is planned.
  dist::GridShape shape{1, 1};
  std::string grid{};  ///< as the user gave it, "2x3"; empty: chosen. Only noted in checkpoints
  /// Rates for the predicted times. Decisions do not use it but the reference machine, so that they
  /// are the same in every run.
  plan::Machine machine{};
  bool timed = false;  ///< `machine` is this machine, and times are shown
  /// Bytes of memory for each rank; 0: not known. `firm`: the limit of a control group or ulimit;
  /// otherwise what the machine has free now, which differs from run to run.
  double available = 0;
  bool firm = true;
  std::string whose{};  ///< what sets `available`, in words: "that ulimit -v leaves to each rank"
  double baseline = 0;  ///< bytes that a process holds before the job: MPI, libraries

  /// Grid, available memory (plan::memory_per_rank()) and baseline of this run. Where the data are
  /// loaded already, their rows count twice: in the baseline and in the plan. Collective.
  static Resources of(const dist::ProcessGrid& grid);
  /// The same for the ranks of `target`. Where they are others than those of `comm`, each has the
  /// share of memory that it would have on a machine like this one. Collective.
  static Resources of(const comm::Communicator& comm, const plan::Target& target);
  /// Resident memory, in bytes, of the rank that holds most, rounded up to a multiple of 8 MiB:
  /// small differences between runs then change neither decisions nor the last bits of a result.
  /// Collective.
  static double baseline_of(const comm::Communicator& comm);

  /// Bytes a rank that the job may take; 0: not known. memory_limit where it is given, but no more
  /// than a firm `available`; else `available`. With a memory_limit the free memory does not count,
  /// so that decisions are the same at each start.
  double limit() const { return user_limits() ? memory_limit : available; }
  /// An empty plan for at most limit() bytes a rank.
  plan::Plan plan() const;
  Index block_of(Index n) const;  ///< nb, or spectral::recommended_block()

  /// The memory that remains for a solver, in bytes a rank: 95 % of limit() (of 80 % of it where
  /// memory_limit is 0), less baseline and sizes.data_bytes(). Negative where these take more;
  /// infinite where limit() is not known. Local.
  double room(const gram::Sizes& sizes) const;
  /// The same to the last byte of limit(): what a direct solver's plan may take. Local.
  double whole_room(const gram::Sizes& sizes) const;
  /// Throws MemoryError where `bytes` a rank of `what` exceed limit() by themselves: for what is
  /// allocated before a plan is made. Local.
  void expect(double bytes, const std::string& what) const;
  /// Throws MemoryError unless room > 0. Local.
  void require_room(double room) const;

 private:
  double share() const;  ///< of limit(), that solvers may take
  bool user_limits() const {
    return memory_limit > 0 && (memory_limit <= available || !firm || available <= 0);
  }
};

/// To be called once, before the data are loaded, where a limit (ulimit -v) may leave too little
/// memory: sets the BLAS threads of this process and makes OpenBLAS allocate its buffers. (It
/// otherwise does so at its first product and, where the limit forbids it, tries again for ever.)
/// Throws MemoryError where there is no room for them. Collective.
void prepare_process(const comm::Communicator& comm, int threads = 1);

}  // namespace mercer::jobs
