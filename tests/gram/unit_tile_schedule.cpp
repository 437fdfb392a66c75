#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

#include "tile_schedule.hpp"

namespace mercer::gram {
namespace {

std::vector<Index> every(const TileList& list) {
  std::vector<Index> parts(static_cast<std::size_t>(list.size()));
  std::iota(parts.begin(), parts.end(), 0);
  return parts;
}

const double kSteps[] = {1, 100, 4e4, 6e7};

TEST(TileList, CoversEveryEntryOfTheTriangleOrOfTheMatrixOnce) {
  for (const double steps : kSteps)
    for (const auto& [m, n] : {std::pair<Index, Index>{0, 0},
                               {1, 1},
                               {8, 8},
                               {9, 9},
                               {700, 700},
                               {100, 37},
                               {37, 600},
                               {3, 0}}) {
      for (const bool lower : {true, false}) {
        if (lower && m != n) continue;
        const TileList list(m, n, lower, steps);
        std::vector<int> times(static_cast<std::size_t>(m * n), 0);
        for (const Tile& t : list.tiles) {
          EXPECT_TRUE(list.height(t) > 0 && list.width(t) > 0);
          for (Index j = 0; j < list.width(t); ++j)
            for (Index i = 0; i < list.height(t); ++i)
              ++times[static_cast<std::size_t>(t.I * list.tile + i + (t.J * list.tile + j) * m)];
        }
        Index wrong = 0;
        for (Index j = 0; j < n; ++j)
          for (Index i = 0; i < m; ++i) {
            const int expected = !lower || i / list.tile >= j / list.tile ? 1 : 0;
            wrong += times[static_cast<std::size_t>(i + j * m)] != expected;
          }
        EXPECT_EQ(wrong, 0) << m << " x " << n;
      }
    }
}

TEST(TileList, EvaluatesFewEntriesAboveTheDiagonal) {
  for (const double steps : kSteps)
    for (const Index n : {500, 2000, 4000}) {
      const TileList list(n, n, true, steps);
      double sum = 0;
      for (const Tile& t : list.tiles) sum += static_cast<double>(list.evaluated(t));
      const double wanted = 0.5 * static_cast<double>(n) * static_cast<double>(n + 1);
      EXPECT_GE(sum, wanted);
      EXPECT_LE(sum, 1.01 * wanted) << n;
    }
}

TEST(TileList, HasTilesAndStripsOfAboutASecondAndAThird) {
  for (const double steps : kSteps)
    for (const Index n : {64, 2000, 60000}) {
      const TileList list(n, n, true, steps);
      const auto t = static_cast<double>(list.tile);
      EXPECT_TRUE(list.tile <= 30 || 5e-9 * steps * t * t <= 1.0) << list.tile;
      EXPECT_TRUE(list.strip == 1 || 5e-9 * steps * t * static_cast<double>(list.strip) <= 0.3);
      EXPECT_LE(list.size(), 2'200'000);
    }
}

TEST(TileSchedule, GivesEachTileToOneRankInOneRound) {
  for (const Index n : {0, 5, 100, 700}) {
    const TileList list(n, n, true, 1e4);
    auto parts = every(list);
    std::erase_if(parts, [](Index part) { return part % 7 == 3; });  // as after a resumption
    for (const int ranks : {1, 2, 3, 6, 50})
      for (const Index most_rows : {100000, 64, 1}) {
        const TileSchedule schedule(list, parts, ranks, most_rows, 1000);
        std::vector<Index> all;
        for (int rank = 0; rank < ranks; ++rank)
          for (Index round = 0; round < schedule.rounds(); ++round) {
            const auto of = schedule.of(rank, round);
            all.insert(all.end(), of.begin(), of.end());
            Index entries = 0;
            for (const Index part : of) entries += list.entries(list[part]);
            if (of.size() > 1) {
              EXPECT_LE(entries, 1000);
              EXPECT_LE(std::ssize(touched(list, of, true, true)) * list.tile - list.tile,
                        most_rows);
            }
          }
        EXPECT_EQ(all, parts);
      }
  }
}

TEST(TileSchedule, GivesEachRankTheSameNumberOfEntriesWithinThreePercent) {
  for (const double steps : kSteps)
    for (const Index n : {500, 2000, 4001}) {
      const TileList list(n, n, true, steps);
      for (const int ranks : {1, 2, 3, 4, 6, 16}) {
        const TileSchedule schedule(list, every(list), ranks, 100000, 1 << 22);
        double sum = 0, most = 0;
        for (int rank = 0; rank < ranks; ++rank) {
          sum += schedule.evaluated(rank);
          most = std::max(most, schedule.evaluated(rank));
        }
        EXPECT_LE(most * ranks, 1.03 * sum) << ranks << " ranks, n = " << n;
      }
    }
}

TEST(TileSchedule, TakesConsecutiveTilesThatShareRows) {
  const Index n = 4096;
  const TileList list(n, n, true, 4e4);
  const TileSchedule schedule(list, every(list), 16, 100000, 1 << 22);
  ASSERT_EQ(schedule.rounds(), 1);
  // n^2/32 entries: of a square, 2 n/sqrt(32) = 0.35 n rows; Morton's runs are a few squares.
  EXPECT_LE(schedule.most_rows(), 6 * n / 10);
}

}  // namespace
}  // namespace mercer::gram
