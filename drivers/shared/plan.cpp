#include "shared/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "mercer/base/error.hpp"
#include "mercer/base/memory.hpp"

namespace mercer::drivers {

void Plan::stage(std::string name, double bytes, double flops, std::string method) {
  stages_.push_back({std::move(name), std::move(method), bytes, flops});
}

double Plan::peak() const {
  double most = 0;
  for (const auto& s : stages_) most = std::max(most, s.bytes);
  return baseline_ + most;
}

double Plan::flops() const {
  double sum = 0;
  for (const auto& s : stages_) sum += s.flops;
  return sum;
}

std::string Plan::text() const {
  std::string text =
      fmt::format("  {:<12} {:>14} {:>12}   {}\n", "stage", "memory a rank", "flops", "method");
  for (const auto& s : stages_)
    text += fmt::format("  {:<12} {:>14} {:>12.3g}   {}\n", s.name,
                        format_bytes(s.bytes + baseline_), s.flops, s.method);
  return text + fmt::format("  {:<12} {:>14} {:>12.3g}   of it {} before the start\n", "peak",
                            format_bytes(peak()), flops(), format_bytes(baseline_));
}

void Plan::require(const comm::Communicator& comm, double limit) const {
  const bool asked = limit > 0;
  if (!asked) limit = memory_per_rank(comm);
  if (peak() <= limit) return;
  if (comm.root()) fmt::print(stderr, "{}", text());
  throw MemoryError(
      "the plan needs {} a rank, more than the {} {}: use more ranks, --precision single, fewer "
      "rows or a "
      "smaller --top",
      format_bytes(peak()), format_bytes(limit),
      asked ? "of --memory-limit" : "that this machine has for each of its ranks");
}

double memory_per_rank(const comm::Communicator& comm) {
  double total = 0;
  std::ifstream info("/proc/meminfo");
  std::string name;
  double kilobytes = 0;
  while (info >> name >> kilobytes) {
    if (name == "MemAvailable:") total = kilobytes * 1024;
    info.ignore(256, '\n');
  }
  MPI_Comm node = MPI_COMM_NULL;
  MPI_Comm_split_type(comm.handle(), MPI_COMM_TYPE_SHARED, comm.rank(), MPI_INFO_NULL, &node);
  int sharing = 1;
  MPI_Comm_size(node, &sharing);
  MPI_Comm_free(&node);
  return comm.all_reduce(total > 0 ? total / sharing : 1e18, comm::Op::min);
}

}  // namespace mercer::drivers
