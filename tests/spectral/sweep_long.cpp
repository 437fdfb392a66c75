// The exhaustive sweep: every eigensolver on every grid, n from 1 to 300 in awkward steps, blocks 8
// to 64, three oracles, three k. Label `long`.
#include <gtest/gtest.h>

#include "sweep.hpp"

namespace mercer {
namespace {

TEST(EigenpairsExhaustively, AreRightForEverySizeBlockGridAndMethod) {
  const Index solved =
      test::sweep(1, {1, 2, 3, 5, 8, 13, 16, 31, 33, 63, 64, 65, 97, 128, 150, 199, 257, 300},
                  {8, 16, 24, 32, 48, 64});
  EXPECT_GE(solved, 18 * 6 * 5 * 3 * 3);
}

}  // namespace
}  // namespace mercer
