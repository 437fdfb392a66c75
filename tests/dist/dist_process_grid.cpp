#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "mercer/base/error.hpp"
#include "mercer/dist/dist_matrix.hpp"
#include "mercer/dist/process_grid.hpp"
#include "support/grids.hpp"

namespace mercer {
namespace {

using dist::DistMatrix;
using dist::GridShape;
using dist::ProcessGrid;

std::string refusal(std::string_view text, int ranks) {
  try {
    dist::parse_shape(text, ranks);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(GridShape, IsAsSquareAsTheRanksAllow) {
  EXPECT_EQ(dist::default_shape(1), (GridShape{1, 1}));
  EXPECT_EQ(dist::default_shape(2), (GridShape{1, 2}));
  EXPECT_EQ(dist::default_shape(6), (GridShape{2, 3}));
  EXPECT_EQ(dist::default_shape(7), (GridShape{1, 7}));
  EXPECT_EQ(dist::default_shape(16), (GridShape{4, 4}));
}

TEST(GridShape, IsReadFromText) {
  EXPECT_EQ(dist::parse_shape("2x3", 6), (GridShape{2, 3}));
  EXPECT_EQ(dist::parse_shape("3x2", 6), (GridShape{3, 2}));
  EXPECT_EQ(dist::parse_shape("12x1", 12), (GridShape{12, 1}));
}

TEST(GridShape, NamesWhatIsWrongWithATextThatIsNoGrid) {
  for (const auto text : {"", "2", "x", "2x", "x3", "2x3x1", "2*3", "2x3 ", " 2x3", "0x6", "-2x-3",
                          "2.0x3", "99999999999x1"})
    EXPECT_NE(refusal(text, 6), "") << "'" << text << "'";
  const std::string product = refusal("2x2", 6);
  EXPECT_NE(product.find("2x2"), std::string::npos) << product;
  EXPECT_NE(product.find("6 ranks"), std::string::npos) << product;
}

TEST(ProcessGrid, SeatsTheRanksRowByRowAndLeavesTheOthersIdle) {
  const auto world = comm::Communicator::world();
  for (const GridShape shape : test::grid_shapes(world.size())) {
    const ProcessGrid grid(world, shape);
    const bool active = world.rank() < shape.rows * shape.cols;
    EXPECT_EQ(grid.shape(), shape);
    EXPECT_EQ(grid.active(), active);
    EXPECT_EQ(grid.all().size(), world.size());
    EXPECT_EQ(grid.active_ranks().valid(), active);
    DistMatrix<double> A(grid, 5, 7, 2);
    if (active) {
      EXPECT_EQ(grid.row(), world.rank() / shape.cols);
      EXPECT_EQ(grid.col(), world.rank() % shape.cols);
      EXPECT_EQ(grid.rank_at(grid.row(), grid.col()), world.rank());
      EXPECT_EQ(grid.row_comm().size(), shape.cols);
      EXPECT_EQ(grid.row_comm().rank(), grid.col());
      EXPECT_EQ(grid.col_comm().size(), shape.rows);
      EXPECT_EQ(grid.col_comm().rank(), grid.row());
      EXPECT_GE(grid.blacs_context(), 0);
      EXPECT_EQ(A.local_rows(), A.row_map().local_size());
    } else {
      EXPECT_EQ(grid.row(), -1);
      EXPECT_EQ(grid.col(), -1);
      EXPECT_EQ(grid.blacs_context(), -1);
      EXPECT_EQ(A.local_rows() * A.local_cols(), 0);
      EXPECT_EQ(A.descriptor()[1], -1);
    }
    EXPECT_GE(A.ld(), 1);
  }
}

TEST(ProcessGrid, RefusesMoreProcessesThanRanks) {
  const auto world = comm::Communicator::world();
  EXPECT_THROW(ProcessGrid(world, {world.size() + 1, 1}), InputError);
  EXPECT_THROW(ProcessGrid(world, {0, 1}), InputError);
}

TEST(ProcessGrid, MovesWithItsContext) {
  const auto world = comm::Communicator::world();
  ProcessGrid first(world, {1, world.size()});
  const int context = first.blacs_context();
  ProcessGrid second(std::move(first));
  EXPECT_EQ(second.blacs_context(), context);
  ProcessGrid third(world, {world.size(), 1});
  third = std::move(second);
  EXPECT_EQ(third.blacs_context(), context);
  EXPECT_EQ(third.rows(), 1);
  EXPECT_EQ(third.cols(), world.size());
}

// Open MPI ends the run after some 16 000 grids that nobody freed.
TEST(ProcessGrid, IsFreedAndCanBeMadeManyTimes) {
  const auto world = comm::Communicator::world();
  const int times =
      world.size() == 1 ? 20000 : 100;  // the limit is the same on any number of ranks
  for (int k = 0; k < times; ++k) ProcessGrid(world, {1, world.size()});
  SUCCEED();
}

}  // namespace
}  // namespace mercer
