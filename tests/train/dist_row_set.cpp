#include <gtest/gtest.h>

#include <algorithm>

#include "mercer/base/error.hpp"
#include "mercer/train/row_set.hpp"
#include "support/compare.hpp"

namespace mercer::train {
namespace {

double entry(Index i, Index j) {
  return static_cast<double>(i) + static_cast<double>(j) / 7;
}

dist::RowBlock<double> rows(const comm::Communicator& comm, Index n, Index d) {
  dist::RowBlock<double> X(comm, n, d);
  for (Index i = 0; i < X.local_rows(); ++i)
    for (Index j = 0; j < d; ++j) X.transposed()(j, i) = entry(X.first_row() + i, j);
  return X;
}

TEST(RowSet, HoldsTheRanksRowsInThePrecisionOfTraining) {
  const auto world = comm::Communicator::world();
  for (const Index n : {0, 1, 4, 29}) {
    const auto set = row_set<float>(rows(world, n, 3), rows(world, n, 2));
    const dist::RowPartition parts{n, world.size()};
    ASSERT_EQ(set.n, n);
    EXPECT_EQ(set.first, parts.begin(world.rank()));
    EXPECT_EQ(set.rows(), parts.size(world.rank()));
    EXPECT_TRUE(set.S.identity());
    Index compared = 0;
    for (Index i = 0; i < set.rows(); ++i) {
      for (Index j = 0; j < 3; ++j, ++compared)
        EXPECT_EQ(set.X(j, i), static_cast<float>(entry(set.first + i, j)));
      for (Index j = 0; j < 2; ++j, ++compared)
        EXPECT_EQ(set.Y(j, i), static_cast<float>(entry(set.first + i, j)));
    }
    EXPECT_EQ(world.all_reduce(compared, comm::Op::sum), 5 * n);
  }
  EXPECT_THROW(row_set<double>(rows(world, 4, 3), rows(world, 5, 2)), InputError);
}

TEST(RowSet, SelectedRowsAreSpreadAnewInTheGivenOrder) {
  const auto world = comm::Communicator::world();
  const auto X = rows(world, 29, 3);
  for (const std::vector<Index>& wanted :
       {std::vector<Index>{}, {28}, {3, 4, 5, 6, 7, 8}, {28, 0, 14, 14, 7, 1, 2}}) {
    const auto selected = select_rows(X, wanted);
    ASSERT_EQ(selected.rows(), static_cast<Index>(wanted.size()));
    ASSERT_EQ(selected.cols(), 3);
    Index compared = 0;
    for (Index i = 0; i < selected.local_rows(); ++i)
      for (Index j = 0; j < 3; ++j, ++compared)
        EXPECT_EQ(selected.transposed()(j, i),
                  entry(wanted[static_cast<std::size_t>(selected.first_row() + i)], j));
    EXPECT_EQ(world.all_reduce(compared, comm::Op::sum), 3 * selected.rows());
  }
}

TEST(RowSet, TheBlocksOfADataSetHoldEachOfItsRowsOnce) {
  const auto world = comm::Communicator::world();
  const auto X = rows(world, 50, 1);
  std::vector<Index> seen(50, 0);
  for (const auto& block : random_blocks(50, 12, 1)) {
    const auto part = select_rows(X, block);
    for (Index i = 0; i < part.local_rows(); ++i)
      ++seen[static_cast<std::size_t>(part.transposed()(0, i))];
  }
  world.all_reduce(std::span<Index>(seen), comm::Op::sum);
  EXPECT_EQ(seen, std::vector<Index>(50, 1));
}

}  // namespace
}  // namespace mercer::train
