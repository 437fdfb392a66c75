#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "operator_plan.hpp"

namespace mercer::gram {
namespace {

TEST(TileGrid, GivesEveryTileOfTheTriangleToOneRank) {
  for (const dist::GridShape shape : {dist::GridShape{1, 1}, {1, 2}, {2, 3}, {3, 2}, {4, 4}})
    for (const Index n : {0, 1, 7, 8, 9, 40, 123}) {
      const TileGrid grid{n, 8, shape};
      std::map<std::pair<Index, Index>, int> times;
      for (int r = 0; r < grid.active() + 2; ++r) {
        std::vector<Index> touched;
        for (const Tile& t : grid.tiles_of(r)) {
          ++times[{t.I, t.J}];
          touched.insert(touched.end(), {t.I, t.J});
        }
        std::ranges::sort(touched);
        touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
        EXPECT_EQ(grid.touched_by(r), touched);
        EXPECT_TRUE(r < grid.active() || touched.empty());
      }
      const Index N = (n + 7) / 8;
      EXPECT_EQ(std::ssize(times), N * (N + 1) / 2);
      for (const auto& [tile, count] : times) {
        EXPECT_EQ(count, 1);
        EXPECT_GE(tile.first, tile.second);
      }
    }
}

TEST(TileGrid, CountsEntriesAndStoredTilesAsTheirListDoes) {
  for (const dist::GridShape shape : {dist::GridShape{1, 1}, {1, 2}, {2, 3}, {3, 2}})
    for (const Index n : {0, 1, 7, 8, 40, 123}) {
      const TileGrid grid{n, 8, shape};
      for (int r = 0; r < grid.active() + 1; ++r) {
        const auto tiles = grid.tiles_of(r);
        double entries = 0;
        for (const Tile& t : tiles) entries += static_cast<double>(grid.entries(t));
        EXPECT_EQ(grid.entries_of(r), entries);
        EXPECT_EQ(stored_tiles(grid, r, Storage::in_double, 0).count, std::ssize(tiles));
        EXPECT_EQ(stored_tiles(grid, r, Storage::none, 1e9).count, 0);
        const auto half = stored_tiles(grid, r, Storage::mixed, 2 * entries);  // of 4 bytes each
        EXPECT_LE(half.entries, entries / 2);
        if (half.count < std::ssize(tiles)) {
          const Tile next = tiles[static_cast<std::size_t>(half.count)];
          EXPECT_EQ(half.next, next);
          EXPECT_GT(half.entries + static_cast<double>(grid.entries(next)), entries / 2);
        }
      }
    }
}

/// Steps as they are meant, one after the other from all tiles.
TEST(Steps, HoldWhatTheirTilesNeedAndTheRowsOfTheirGroup) {
  for (const dist::GridShape shape : {dist::GridShape{1, 1}, {1, 2}, {2, 3}, {3, 2}})
    for (const Index n : {1, 40, 123, 203})
      for (const auto& [row_cycles, col_cycles] :
           {std::pair<Index, Index>{1, 1}, {3, 1}, {2, 5}, {100, 100}}) {
        const TileGrid grid{n, 8, shape};
        for (int r = 0; r < grid.active(); ++r)
          for (const std::ptrdiff_t kept : {0, 1, 5, 17}) {
            auto tiles = grid.tiles_of(r);
            Tile first{grid.tiles(), grid.tiles()};
            if (kept < std::ssize(tiles)) first = tiles[static_cast<std::size_t>(kept)];
            tiles.erase(tiles.begin(), tiles.begin() + std::min(std::ssize(tiles), kept));
            std::vector<std::vector<Index>> holds;
            for_holds(grid, r, first, row_cycles, col_cycles,
                      [&](const auto& hold) { holds.push_back(hold); });
            const auto all = steps(grid, tiles, row_cycles, col_cycles);
            ASSERT_EQ(holds.size(), all.size());
            std::size_t s = 0, visited = 0;
            const Index rows = row_cycles * shape.rows, cols = col_cycles * shape.cols;
            for (Index top = 0; top < grid.tiles(); top += rows)
              for (Index left = 0; left < std::min(grid.tiles(), top + rows); left += cols, ++s) {
                std::set<Index> hold;
                std::vector<Tile> own;
                for (const Tile& t : tiles) {
                  if (t.I < top || t.I >= top + rows) continue;
                  hold.insert(t.I);
                  if (t.J < left || t.J >= left + cols) continue;
                  hold.insert(t.J);
                  own.push_back(t);
                }
                EXPECT_EQ(all[s].tiles, own);
                EXPECT_EQ(all[s].hold, std::vector<Index>(hold.begin(), hold.end()));
                EXPECT_EQ(holds[s], all[s].hold) << n << " rank " << r << " kept " << kept;
                visited += own.size();
              }
            EXPECT_EQ(s, all.size());
            EXPECT_EQ(visited, tiles.size());
          }
      }
}

TEST(TileGrid, IsEvenAtWholeDoubleCycles) {
  for (const dist::GridShape shape : {dist::GridShape{1, 2}, {2, 2}, {1, 5}, {3, 3}, {4, 4}}) {
    const Index N = 4 * std::max(shape.rows, shape.cols);
    const TileGrid grid{N * 10, 10, shape};
    Index most = 0, sum = 0;  // products: two a tile, one on the diagonal
    for (int r = 0; r < grid.active(); ++r) {
      Index products = 0;
      for (const Tile& t : grid.tiles_of(r)) products += t.I == t.J ? 1 : 2;
      most = std::max(most, products);
      sum += products;
    }
    EXPECT_EQ(sum, N * N);
    EXPECT_EQ(most * grid.active(), N * N) << shape.rows << "x" << shape.cols;
  }
}

}  // namespace
}  // namespace mercer::gram
