#pragma once

#include <string>
#include <vector>

#include "mercer/comm/communicator.hpp"

namespace mercer::comm {

/// A name and a value that must be the same on all ranks: "`seed`" and "1".
struct Fact {
  std::string name, value;
};

/// Whether all ranks have the same facts, in the same order, by a hash. Collective: one all-reduce.
bool same(const Communicator& comm, const std::vector<Fact>& facts);

/// Throws InputError on all ranks unless all have the same facts: with different ones they would
/// compute a mixture of two jobs, or wait for each other for ever. The message has the first fact
/// in which the lowest differing rank differs from rank 0, with both values; `advice` ends it.
/// Collective: one all-reduce where the ranks agree.
void require_same(const Communicator& comm, const std::vector<Fact>& facts,
                  const std::string& advice);

}  // namespace mercer::comm
