#pragma once

#include <string>
#include <vector>

#include "mercer/comm/communicator.hpp"

namespace mercer::drivers {

/// What a job will take, stage by stage, before anything is allocated: the memory of the rank that
/// needs most while the stage runs, and the floating-point operations of all ranks together.
class Plan {
 public:
  /// `baseline`: what a rank holds before it starts (MPI, libraries), measured.
  explicit Plan(double baseline) : baseline_(baseline) {}
  void stage(std::string name, double bytes, double flops, std::string method = {});

  double peak() const;  ///< bytes a rank, baseline included
  double flops() const;
  /// The table: one line a stage, and the peak.
  std::string text() const;
  /// Throws MemoryError, with the table in the line before it, when the peak exceeds `limit` (bytes
  /// a rank; 0: this machine's memory shared by its ranks). Collective.
  void require(const comm::Communicator& comm, double limit) const;

 private:
  struct Stage {
    std::string name, method;
    double bytes, flops;
  };
  double baseline_;
  std::vector<Stage> stages_;
};

/// Memory of this machine over the ranks that share it, in bytes a rank. Collective.
double memory_per_rank(const comm::Communicator& comm);

}  // namespace mercer::drivers
