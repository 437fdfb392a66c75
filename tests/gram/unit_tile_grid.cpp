#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tile_grid.hpp"

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
