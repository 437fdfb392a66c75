#pragma once

#include <vector>

#include "read_set.hpp"

namespace mercer::data {

constexpr Index kPanelBytes = Index{1} << 23;  ///< of rows that are read at a time
constexpr char kUnused = -1;

/// Which part each row of a file belongs to.
struct Roles {
  std::vector<char> of_row;  ///< the part, or kUnused; up to the last row that is needed
  std::vector<Index> sizes;  ///< rows of each part
};

/// The same on every rank. Collective. Throws InputError: a mask that does not fit these rows, a
/// part without rows, limits beyond a part.
Roles assign_roles(const Spec& spec, Index rows, const Choice& choice,
                   const comm::Communicator& comm);

/// The rows of `part` that `rank` has, by their places in the file. Local.
std::vector<Index> file_rows(const Roles& roles, std::size_t part, dist::RowPartition partition,
                             int rank);

/// Throws MemoryError where the rows need more than choice.memory_limit, before any of them is
/// allocated. `extra`: rows that are held beside those of the parts. Local, alike on all ranks.
void expect_memory(const Spec& spec, const Contents& contents, const Roles& roles,
                   const Choice& choice, Index extra, const comm::Communicator& comm);
/// The same before there are Roles, which take a byte for each row; does nothing where there is a
/// split, whose mask decides how many rows are needed.
void expect_memory(const Spec& spec, const Contents& contents, const Choice& choice, Index extra,
                   const comm::Communicator& comm);

}  // namespace mercer::data
