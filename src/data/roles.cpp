#include "roles.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "mercer/base/memory.hpp"
#include "mercer/comm/together.hpp"

namespace mercer::data {
namespace {

constexpr double kMostBytes = 0x1p60;  // a rank, where no limit is given: sizes fit in 64 bits

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

/// Cuts a set into its parts. `mask`: 1 for test rows; empty where there is no split. Local.
Roles roles_of(const Spec& spec, Index rows, const Choice& choice, const std::vector<char>& mask) {
  const bool split = !mask.empty();
  Roles roles;
  roles.sizes.assign(split ? 2 : 1, 0);
  const std::array<Index, 2> limits{choice.limit, choice.limit_test};
  std::array<Index, 2> seen{0, 0};
  for (Index i = 0; i < rows; ++i) {
    const std::size_t part = split && mask[at(i)] == 1 ? 1 : 0;
    ++seen[part];
    const bool taken = limits[part] < 0 || seen[part] <= limits[part];
    if (taken) ++roles.sizes[part];
    roles.of_row.push_back(taken ? static_cast<char>(part) : kUnused);
  }
  while (!roles.of_row.empty() && roles.of_row.back() == kUnused) roles.of_row.pop_back();
  for (std::size_t part = 0; part < roles.sizes.size(); ++part) {
    if (seen[part] == 0)
      throw InputError("`split`: the mask leaves no {} rows", part == 0 ? "training" : "test");
    if (limits[part] > seen[part])
      throw InputError("`{}` {}: {} has only {} {}rows",
                       part == 0 ? choice.limit_name : "limit_test", limits[part], spec.text,
                       seen[part],
                       !split      ? ""
                       : part == 0 ? "training "
                                   : "test ");
  }
  return roles;
}

}  // namespace

Roles assign_roles(const Spec& spec, Index rows, const Choice& choice,
                   const comm::Communicator& comm) {
  std::vector<char> mask;
  if (!choice.split.empty()) mask = read_mask(choice.split, spec, rows, comm);
  return comm::together(comm, [&] { return roles_of(spec, rows, choice, mask); });
}

double bytes_of_rows(Index rows, double width, const comm::Communicator& comm) {
  return 8.0 * std::ceil(static_cast<double>(rows) / comm.size()) * width;
}

std::vector<Index> file_rows(const Roles& roles, std::size_t part, dist::RowPartition partition,
                             int rank) {
  std::vector<Index> rows;
  Index position = 0;
  for (std::size_t i = 0; i < roles.of_row.size(); ++i) {
    if (roles.of_row[i] != static_cast<char>(part)) continue;
    const Index row = position++;
    if (row >= partition.begin(rank) && row < partition.end(rank))
      rows.push_back(static_cast<Index>(i));
  }
  return rows;
}

void expect_memory(const Spec& spec, const Contents& contents, const Roles& roles,
                   const Choice& choice, Index extra, const comm::Communicator& comm) {
  const double width =
      static_cast<double>(contents.dimension) + static_cast<double>(contents.outputs);
  Index rows = 0;
  double bytes = choice.memory_held + bytes_of_rows(extra, width, comm);
  for (Index size : roles.sizes) {
    rows += size;
    bytes += bytes_of_rows(size, width, comm);
  }
  const double row = 8.0 * width;  // panels of one row, three on rank 0
  if (!contents.everywhere && row > static_cast<double>(kPanelBytes)) bytes += 3 * row;
  const double limit = choice.memory_limit > 0 ? choice.memory_limit : kMostBytes;
  if (bytes > limit)
    throw MemoryError(
        "{}: {} {} of {} features need {} a rank, more than the {} that each may take "
        "(`memory_limit`, else this machine's): use more ranks, or fewer rows or features",
        spec.text, rows, rows == 1 ? "row" : "rows", contents.dimension, format_bytes(bytes),
        format_bytes(limit));
}

void expect_memory(const Spec& spec, const Contents& contents, const Choice& choice, Index extra,
                   const comm::Communicator& comm) {
  if (!choice.split.empty()) return;
  const Index rows = choice.limit < 0 ? contents.rows : std::min(contents.rows, choice.limit);
  expect_memory(spec, contents, Roles{{}, {rows}}, choice, extra, comm);
}

}  // namespace mercer::data
