#include "mercer/jobs/resources.hpp"

#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/plan/memory.hpp"
#include "mercer/spectral/eigenpairs.hpp"

namespace mercer::jobs {
double Resources::baseline_of(const comm::Communicator& comm) {
  constexpr double kStep = 8.0 * (1 << 20);
  const auto most = comm.all_reduce(resident_memory_bytes(), comm::Op::max);
  return kStep * std::ceil(static_cast<double>(most) / kStep);
}

Resources Resources::of(const dist::ProcessGrid& grid) {
  Resources resources{.shape = grid.shape()};
  resources.available = plan::memory_per_rank(grid.all()).bytes;
  resources.baseline = baseline_of(grid.all());
  return resources;
}

Index Resources::block_of(Index n) const {
  return nb > 0 ? nb : spectral::recommended_block(n, shape);
}

double Resources::room(const gram::Sizes& sizes) const {
  constexpr double kMargin = 0.05;  // not counted: heap fragmentation, buffers of files
  const double share = memory_limit > 0 ? 1 : 0.8;  // no limit given: others may take memory too
  return (1 - kMargin) * (share * limit()) - baseline - sizes.data_bytes();
}

void Resources::require_room(double room) const {
  if (room > 0) return;
  throw MemoryError(
      "the rows and the process itself take {} a rank more than 95 % of {}: a larger limit or more "
      "ranks",
      format_bytes(-room),
      memory_limit > 0 ? "the limit, " + format_bytes(memory_limit)
                       : "four fifths of this machine's memory");
}

}  // namespace mercer::jobs
