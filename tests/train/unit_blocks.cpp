#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/train/row_set.hpp"

namespace mercer::train {
namespace {

TEST(RandomBlocks, HoldEveryRowOnceInSortedBlocksOfNearlyOneSize) {
  Index cases = 0;
  for (const Index n : {1, 2, 7, 64, 100, 1001})
    for (const Index batch : {1, 2, 3, 10, 64, 5000}) {
      const auto blocks = random_blocks(n, batch, 3);
      EXPECT_EQ(static_cast<Index>(blocks.size()), ceil_div(n, batch));
      std::vector<Index> all;
      std::size_t smallest = blocks[0].size(), largest = 0;
      for (const auto& block : blocks) {
        EXPECT_TRUE(std::ranges::is_sorted(block));
        smallest = std::min(smallest, block.size());
        largest = std::max(largest, block.size());
        all.insert(all.end(), block.begin(), block.end());
      }
      EXPECT_LE(largest, smallest + 1);
      EXPECT_LE(static_cast<Index>(largest), batch);
      std::ranges::sort(all);
      ASSERT_EQ(static_cast<Index>(all.size()), n);
      for (Index i = 0; i < n; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)], i);
      ++cases;
    }
  EXPECT_EQ(cases, 36);
}

TEST(RandomBlocks, AreEmptyWithoutRowsAndRefuseAnEmptyBatch) {
  EXPECT_TRUE(random_blocks(0, 4, 1).empty());
  EXPECT_THROW(random_blocks(10, 0, 1), InputError);
  EXPECT_THROW(random_blocks(10, -3, 1), InputError);
}

TEST(RandomBlocks, DependOnTheSeedAlone) {
  EXPECT_EQ(random_blocks(100, 10, 5), random_blocks(100, 10, 5));
  EXPECT_NE(random_blocks(100, 10, 5), random_blocks(100, 10, 6));
}

/// Any two rows meet in one block with probability (batch - 1)/(n - 1), wherever they lie.
TEST(RandomBlocks, PutEveryPairOfRowsTogetherEquallyOften) {
  const Index n = 12, batch = 4;
  const int draws = 4000;
  std::vector<int> together(static_cast<std::size_t>(n * n), 0);
  for (int seed = 0; seed < draws; ++seed)
    for (const auto& block : random_blocks(n, batch, static_cast<std::uint64_t>(seed)))
      for (const Index i : block)
        for (const Index j : block) ++together[static_cast<std::size_t>(i * n + j)];
  const double p = 3.0 / 11, deviation = std::sqrt(draws * p * (1 - p));
  Index compared = 0;
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < i; ++j, ++compared)
      EXPECT_NEAR(together[static_cast<std::size_t>(i * n + j)], draws * p, 4.5 * deviation);
  EXPECT_EQ(compared, 66);
}

}  // namespace
}  // namespace mercer::train
