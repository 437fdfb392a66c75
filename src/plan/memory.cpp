#include "mercer/plan/memory.hpp"

#include <algorithm>

#include "mercer/comm/environment.hpp"

namespace mercer::plan {

int ranks_here(const comm::Communicator& comm) {
  MPI_Comm node = MPI_COMM_NULL;
  MPI_Comm_split_type(comm.handle(), MPI_COMM_TYPE_SHARED, comm.rank(), MPI_INFO_NULL, &node);
  int sharing = 1;
  MPI_Comm_size(node, &sharing);
  MPI_Comm_free(&node);
  return sharing;
}

MemoryRoom memory_per_rank(const comm::Communicator& comm) {
  // Ranks outside `comm` share the node's memory too.
  const int all = comm::ranks_on_node();
  return memory_per_rank(comm, all > 0 ? all : ranks_here(comm));
}

MemoryRoom memory_per_rank(const comm::Communicator& comm, int ranks) {
  MemoryRoom mine = machine_room();
  mine.bytes /= ranks;
  if (auto own = process_room(); own.bytes < mine.bytes) mine = std::move(own);
  mine.bytes += static_cast<double>(resident_memory_bytes());
  const double least = comm.all_reduce(mine.bytes, comm::Op::min);
  const int speaker =
      comm.all_reduce(mine.bytes <= least ? comm.rank() : comm.size(), comm::Op::min);
  return {least, comm.broadcast(std::move(mine.whose), std::min(speaker, comm.size() - 1))};
}

}  // namespace mercer::plan
