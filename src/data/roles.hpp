#pragma once

#include <vector>

#include "read_set.hpp"

namespace mercer::data {

constexpr Index kPanelBytes = Index{1} << 23;
constexpr char kUnused = -1;

/// For each row of the file, up to the last one needed, the part that it belongs to, or kUnused;
/// and the parts' sizes.
struct Roles {
  std::vector<char> of_row;
  std::vector<Index> sizes;
};

/// Collective. Throws InputError: no mask for these rows, no rows for a part, limits beyond it.
Roles assign_roles(const Spec& spec, Index rows, const Choice& choice,
                   const comm::Communicator& comm);

/// The rows of `part` that `rank` has, as the file counts them. Local.
std::vector<Index> file_rows(const Roles& roles, std::size_t part, dist::RowPartition partition,
                             int rank);

/// Throws MemoryError where the rows need more than there may be, before any of them is allocated.
/// `extra`: rows that are read beside those of the parts. Local, alike on all ranks.
void expect_memory(const Spec& spec, const Contents& contents, const Roles& roles,
                   const Choice& choice, Index extra, const comm::Communicator& comm);
/// The same before there are roles, which take a byte a row; nothing with a mask, which has one a
/// row itself.
void expect_memory(const Spec& spec, const Contents& contents, const Choice& choice, Index extra,
                   const comm::Communicator& comm);

}  // namespace mercer::data
