#pragma once

#include "mercer/base/memory.hpp"
#include "mercer/comm/communicator.hpp"

namespace mercer::plan {

/// What each rank may hold in all, and what sets it: what the machine and the job's control group
/// leave over the ranks that share them, and ulimit -v and -d of each. Collective.
MemoryRoom memory_per_rank(const comm::Communicator& comm);
/// The same for `ranks` ranks on a machine like this one. Collective.
MemoryRoom memory_per_rank(const comm::Communicator& comm, int ranks);

/// Ranks of `comm` that share this rank's node. Collective.
int ranks_here(const comm::Communicator& comm);

}  // namespace mercer::plan
