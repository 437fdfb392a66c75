// Messages above the 2^30 bytes at which they are cut. Two ranks, about 4 GiB of memory.
#include <gtest/gtest.h>

#include <vector>

#include "mercer/base/matrix.hpp"
#include "mercer/comm/communicator.hpp"

namespace mercer {
namespace {

constexpr Index kCount = (Index{1} << 27) + 12345;  // doubles: 1 GiB and a little more
double value(Index i, int rank) {
  return static_cast<double>(i % 1000003 + rank);
}

TEST(LargeMessages, ArriveWholeFromOneToAll) {
  const auto world = comm::Communicator::world();
  RawVector<double> values(static_cast<std::size_t>(kCount));
  for (Index i = 0; i < kCount; ++i) values[static_cast<std::size_t>(i)] = value(i, world.rank());
  world.broadcast(std::span<double>(values), 1);
  Index wrong = 0;
  for (Index i = 0; i < kCount; ++i) wrong += values[static_cast<std::size_t>(i)] != value(i, 1);
  EXPECT_EQ(wrong, 0);
}

TEST(LargeMessages, ArriveWholeFromAllToAll) {
  const auto world = comm::Communicator::world();
  RawVector<double> values(static_cast<std::size_t>(kCount));
  for (Index i = 0; i < kCount; ++i) values[static_cast<std::size_t>(i)] = value(i, world.rank());
  std::vector<Index> counts(static_cast<std::size_t>(world.size()), 0);
  counts[static_cast<std::size_t>((world.rank() + 1) % world.size())] = kCount;
  const auto received = world.all_to_all<double>(values, counts);
  ASSERT_EQ(static_cast<Index>(received.size()), kCount);
  const int source = (world.rank() + world.size() - 1) % world.size();
  Index wrong = 0;
  for (Index i = 0; i < kCount; ++i)
    wrong += received[static_cast<std::size_t>(i)] != value(i, source);
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace mercer
