// The memory of a rank where not all ranks of the node take part in a job.
#include <gtest/gtest.h>

#include "mercer/comm/environment.hpp"
#include "mercer/plan/memory.hpp"

namespace mercer::plan {
namespace {

TEST(MemoryOfARank, IsItsShareOfTheNodeWhateverTheCommunicator) {
  const auto world = comm::Communicator::world();
  const auto half = world.split(world.rank() < (world.size() + 1) / 2 ? 0 : 1, world.rank());
  EXPECT_EQ(comm::ranks_on_node(), ranks_here(world));
  EXPECT_LE(ranks_here(half), half.size());
  // Free memory changes while this runs: of some attempts one must agree. By the half's ranks alone
  // a rank would have 1.5 times its share (of three ranks) or more.
  bool agree = false;
  for (int attempt = 0; attempt < 10 && !agree; ++attempt) {
    const double of_world = memory_per_rank(world).bytes;
    const double of_half = memory_per_rank(half).bytes;
    agree = world.all_reduce(of_half / of_world, comm::Op::max) <= 1.2;
  }
  EXPECT_TRUE(agree);
}

}  // namespace
}  // namespace mercer::plan
