// The long sweep: every eigensolver on every grid, n from 1 to 300 in awkward steps, blocks 8 to
// 64, three oracles, three k: every case. Label `long`.
#include <gtest/gtest.h>

#include "sweep.hpp"

namespace mercer {
namespace {

TEST(EigenpairsExhaustively, AreRightForEverySizeBlockGridAndMethod) {
  const int ranks = comm::Communicator::world().size();
  const Index solved =
      test::sweep(1, {1, 2, 3, 5, 8, 13, 16, 31, 33, 63, 64, 65, 97, 128, 150, 199, 257, 300},
                  {8, 16, 24, 32, 48, 64});
  const auto grids = static_cast<Index>(test::grid_shapes(ranks).size());
  EXPECT_EQ(solved, grids * 18 * 6 * 5 * 3 * 3);
}

}  // namespace
}  // namespace mercer
