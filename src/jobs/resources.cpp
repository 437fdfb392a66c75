#include "mercer/jobs/resources.hpp"

#include <cmath>
#include <limits>

#include "mercer/base/error.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/base/text.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/plan/memory.hpp"
#include "mercer/spectral/eigenpairs.hpp"

namespace mercer::jobs {

double Resources::baseline_of(const comm::Communicator& comm) {
  constexpr double kStep = 8.0 * (1 << 20);
  const auto most = comm.all_reduce(resident_memory_bytes(), comm::Op::max);
  return kStep * std::ceil(static_cast<double>(most) / kStep);
}

Resources Resources::of(const dist::ProcessGrid& grid) {
  return of(grid.all(), {.shape = grid.shape()});
}

Resources Resources::of(const comm::Communicator& comm, const plan::Target& target) {
  Resources resources{.shape = target.shape};
  if (target.other) {
    resources.available = plan::memory_per_rank(comm, target.ranks_per_node).bytes;
    resources.firm = false;
    resources.whose = fmt::format(
        "that a machine like this one has for each of {} (give `memory_limit` for that machine's)",
        counted(target.ranks_per_node, "rank"));
  } else {
    const auto room = plan::memory_per_rank(comm);
    resources.available = room.bytes;
    resources.firm = room.whose != "this machine";
    resources.whose = fmt::format("that {} leaves to each rank", room.whose);
  }
  resources.baseline = baseline_of(comm);
  return resources;
}

plan::Plan Resources::plan() const {
  if (limit() <= 0) return plan::Plan(baseline, timed);
  return plan::Plan(baseline, timed, {limit(), user_limits() ? "of `memory_limit`" : whose});
}

Index Resources::block_of(Index n) const {
  return nb > 0 ? nb : spectral::recommended_block(n, shape);
}

double Resources::whole_room(const gram::Sizes& sizes) const {
  if (limit() <= 0) return std::numeric_limits<double>::infinity();
  return limit() - baseline - sizes.data_bytes();
}

double Resources::room(const gram::Sizes& sizes) const {
  if (limit() <= 0) return std::numeric_limits<double>::infinity();
  return share() * limit() - baseline - sizes.data_bytes();
}

double Resources::share() const {
  constexpr double kMargin = 0.05;  // not counted: heap fragmentation, buffers of files
  return (1 - kMargin) * (memory_limit > 0 ? 1 : 0.8);  // no limit given: others take memory too
}

void Resources::require_room(double room) const {
  if (room > 0) return;
  throw MemoryError(
      "the rows and the process itself take {} a rank more than {:.0f} % of the {} {}: give a "
      "larger "
      "limit or more ranks",
      format_bytes(-room), 100 * share(), format_bytes(limit()),
      user_limits() ? "of `memory_limit`" : whose);
}

void Resources::expect(double bytes, const std::string& what) const {
  if (limit() > 0 && bytes > limit())
    throw MemoryError("{} take {} a rank, more than the {} {}", what, format_bytes(bytes),
                      format_bytes(limit()), user_limits() ? "of `memory_limit`" : whose);
}

void prepare_process(const comm::Communicator& comm, int threads) {
  constexpr double kBuffers = 132.0 * (1 << 20);  // 128 MiB and what is allocated with them
  blas::set_threads(threads);
  comm::together(comm, [&] {
    const auto room = process_room();
    if (room.bytes < kBuffers)
      throw MemoryError(
          "{} leaves {} to this process, but BLAS needs {} for its buffers: raise the limit",
          room.whose, format_bytes(room.bytes), format_bytes(kBuffers));
    // Large enough to need the buffers on every processor: products up to 100^3 do without them
    // with AVX-512.
    Matrix<double> A(256, 256, 1.0), C(256, 256, 0.0);
    blas::gemm<double>(blas::Trans::no, blas::Trans::no, 1.0, A.view(), A.view(), 0.0, C.view());
  });
}

}  // namespace mercer::jobs
