#pragma once

#include <string>
#include <vector>

#include "mercer/comm/communicator.hpp"

namespace mercer::comm {

/// What every rank has to have alike: "`seed`" and "1".
struct Fact {
  std::string name, value;
};

/// Whether all ranks have the same facts, in the same order. Collective: one all-reduce.
bool same(const Communicator& comm, const std::vector<Fact>& facts);

/// Throws InputError on all ranks, with the first fact of rank 0 that the lowest differing rank has
/// otherwise, or has not, unless all ranks have the same facts: with different ones they would
/// compute a mixture of two jobs, or wait for each other for ever. `advice` ends the line.
/// Collective: one all-reduce where they agree.
void require_same(const Communicator& comm, const std::vector<Fact>& facts,
                  const std::string& advice);

}  // namespace mercer::comm
