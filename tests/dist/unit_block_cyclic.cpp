#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "mercer/dist/block_cyclic.hpp"
#include "mercer/dist/row_block.hpp"

namespace mercer {
namespace {

using dist::BlockCyclic1D;
using dist::RowPartition;

/// The definition, literally: blocks of nb are dealt out one by one to the processes in turn.
std::vector<std::vector<Index>> deal(Index n, Index nb, int nprocs) {
  std::vector<std::vector<Index>> owned(static_cast<std::size_t>(nprocs));
  std::size_t turn = 0;
  for (Index i = 0; i < n; ++i) {
    if (i > 0 && i % nb == 0) turn = (turn + 1) % owned.size();
    owned[turn].push_back(i);
  }
  return owned;
}

TEST(BlockCyclic1D, IsTheDealOfBlocksForEverySmallCase) {
  Index compared = 0;
  for (Index n = 0; n <= 40; ++n)
    for (Index nb = 1; nb <= 7; ++nb)
      for (int P = 1; P <= 5; ++P) {
        const auto owned = deal(n, nb, P);
        for (int p = 0; p < P; ++p) {
          const BlockCyclic1D map{n, nb, p, P};
          const auto& mine = owned[static_cast<std::size_t>(p)];
          ASSERT_EQ(map.local_size(), static_cast<Index>(mine.size()));
          for (int q = 0; q < P; ++q)
            ASSERT_EQ(map.size_of(q),
                      static_cast<Index>(owned[static_cast<std::size_t>(q)].size()));
          for (std::size_t l = 0; l < mine.size(); ++l, ++compared) {
            const GlobalIndex i{mine[l]};
            const LocalIndex local{static_cast<Index>(l)};
            ASSERT_EQ(map.owner(i), p);
            ASSERT_TRUE(map.mine(i));
            ASSERT_EQ(map.local(i), local);
            ASSERT_EQ(map.global(local), i);
            ASSERT_EQ(map.global_of(p, local), i);
          }
        }
      }
  EXPECT_EQ(compared, 41 * 40 / 2 * 7 * 5);  // every index, once for each nb and P
}

TEST(BlockCyclic1D, FindsTheFirstLocalIndexNotBelow) {
  for (Index n = 0; n <= 40; ++n)
    for (Index nb = 1; nb <= 7; ++nb)
      for (int P = 1; P <= 5; ++P) {
        const auto owned = deal(n, nb, P);
        for (int p = 0; p < P; ++p)
          for (Index i = 0; i <= n + 3; ++i) {
            Index expected = 0;
            for (const Index mine : owned[static_cast<std::size_t>(p)]) expected += mine < i;
            ASSERT_EQ((BlockCyclic1D{n, nb, p, P}.lower_bound({i}).value), expected)
                << n << " " << nb << " " << p << "/" << P << " from " << i;
          }
      }
}

TEST(BlockCyclic1D, CountsBeyond32Bits) {
  const Index n = (Index{1} << 40) + 5;
  const BlockCyclic1D map{n, 64, 1, 3};
  EXPECT_EQ(map.size_of(0) + map.size_of(1) + map.size_of(2), n);
  const LocalIndex last{map.local_size() - 1};
  EXPECT_EQ(map.local(map.global(last)), last);
  EXPECT_TRUE(map.mine(map.global(last)));
}

TEST(RowPartition, DealsContiguousRowsEvenly) {
  for (Index n = 0; n <= 40; ++n)
    for (int P = 1; P <= 7; ++P) {
      const RowPartition rows{n, P};
      Index next = 0;
      for (int r = 0; r < P; ++r) {
        ASSERT_EQ(rows.begin(r), next);
        ASSERT_TRUE(rows.size(r) == n / P || rows.size(r) == n / P + 1);
        ASSERT_LE(rows.size(r), rows.size(std::max(0, r - 1)));
        for (Index i = rows.begin(r); i < rows.end(r); ++i) ASSERT_EQ(rows.owner(i), r);
        next = rows.end(r);
      }
      ASSERT_EQ(next, n);
    }
}

}  // namespace
}  // namespace mercer
