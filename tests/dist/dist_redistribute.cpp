#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "mercer/dist/redistribute.hpp"
#include "support/compare.hpp"
#include "support/grids.hpp"

namespace mercer {
namespace {

using dist::DistMatrix;
using dist::GridShape;
using dist::ProcessGrid;
using dist::RowBlock;

/// Different for every entry, exact in float.
double entry(Index i, Index j) {
  return static_cast<double>(i * 1009 + j + 1);
}

template <class T>
void poison(RowBlock<T>& rows) {
  std::fill(rows.values().begin(), rows.values().end(), static_cast<T>(test::kNaN));
}

template <class T>
void expect_rows(const RowBlock<T>& rows) {
  Index compared = 0;
  for (Index i = 0; i < rows.local_rows(); ++i)
    for (Index j = 0; j < rows.cols(); ++j, ++compared)
      EXPECT_EQ(rows.row(i)[static_cast<std::size_t>(j)], entry(rows.first_row() + i, j))
          << "row " << rows.first_row() + i << ", column " << j;
  EXPECT_EQ(rows.comm().all_reduce(compared, comm::Op::sum), rows.rows() * rows.cols());
}

template <class T>
RowBlock<T> row_block(const comm::Communicator& comm, Index rows, Index cols) {
  RowBlock<T> result(comm, rows, cols);
  for (Index i = 0; i < result.local_rows(); ++i)
    for (Index j = 0; j < cols; ++j)
      result.row(i)[static_cast<std::size_t>(j)] = static_cast<T>(entry(result.first_row() + i, j));
  return result;
}

template <class T>
class Redistribute : public testing::Test {
 protected:
  comm::Communicator world = comm::Communicator::world();
};
using Types = testing::Types<double, float>;
TYPED_TEST_SUITE(Redistribute, Types);

TYPED_TEST(Redistribute, CopiesBetweenEveryPairOfGridsAndBlockSizes) {
  std::vector<ProcessGrid> grids;
  for (const GridShape shape : test::grid_shapes(this->world.size()))
    grids.emplace_back(this->world, shape);
  for (const auto& from : grids)
    for (const auto& to : grids)
      for (const Index n : test::awkward_sizes(5))
        for (const auto& [nb_from, nb_to] : {std::pair<Index, Index>{5, 5}, {5, 3}, {2, 64}}) {
          const Index m = n / 2 + 3;
          DistMatrix<TypeParam> A(from, n, m, nb_from), B(to, n, m, nb_to);
          A.fill(entry);
          test::poison(B);
          dist::copy(A, B);
          test::expect_equal(B, entry, 0);
        }
}

TYPED_TEST(Redistribute, CopiesToRowsAndBack) {
  for (const GridShape shape : test::grid_shapes(this->world.size())) {
    const ProcessGrid grid(this->world, shape);
    for (const Index n : test::awkward_sizes(4))
      for (const Index m : {Index{0}, Index{1}, Index{4}, Index{13}}) {
        DistMatrix<TypeParam> A(grid, n, m, 4), B(grid, n, m, 4);
        A.fill(entry);
        RowBlock<TypeParam> rows(this->world, n, m);
        poison(rows);
        dist::copy(A, rows);
        expect_rows(rows);
        test::poison(B);
        dist::copy(rows, B);
        test::expect_equal(B, entry, 0);
      }
  }
}

TYPED_TEST(Redistribute, GoesByPanelsWhereTheMatrixExceedsTheBuffers) {
  const ProcessGrid tall(this->world, {this->world.size(), 1}),
      wide(this->world, {1, this->world.size()});
  const Index n = 2300, m = 1700;  // 31 MB in double precision
  DistMatrix<TypeParam> A(tall, n, m, 48), B(wide, n, m, 64);
  const auto small = [](Index i, Index j) { return static_cast<double>(i * 1709 + j); };
  A.fill(small);
  test::poison(B);
  dist::copy(A, B);
  test::expect_equal(B, small, 0);
  RowBlock<TypeParam> rows(this->world, n, m);
  poison(rows);
  dist::copy(B, rows);
  test::poison(A);
  dist::copy(rows, A);
  test::expect_equal(A, small, 0);
}

TYPED_TEST(Redistribute, RefusesDifferentExtents) {
  const ProcessGrid grid(this->world);
  DistMatrix<TypeParam> A(grid, 4, 3, 2), B(grid, 3, 4, 2);
  EXPECT_THROW(dist::copy(A, B), RunError);
  EXPECT_THROW(dist::mirror_lower(A), RunError);
}

TYPED_TEST(Redistribute, FetchesAnyRowsInAnyOrderWithRepeats) {
  for (const Index n : {Index{1}, Index{2}, Index{7}, Index{40}})
    for (const Index m : {Index{1}, Index{6}}) {
      const auto rows = row_block<TypeParam>(this->world, n, m);
      std::vector<Index> wanted;  // different on every rank; none on the last of several
      if (this->world.rank() + 1 < this->world.size() || this->world.size() == 1)
        for (Index k = 0; k < 2 * n; ++k) wanted.push_back((k * 7 + this->world.rank()) * 3 % n);
      const auto fetched = dist::fetch_rows(rows, std::span<const Index>(wanted));
      EXPECT_EQ(fetched.rows(), m);
      EXPECT_EQ(fetched.cols(), static_cast<Index>(wanted.size()));
      for (std::size_t k = 0; k < wanted.size(); ++k)
        for (Index j = 0; j < m; ++j)
          EXPECT_EQ(fetched(j, static_cast<Index>(k)), entry(wanted[k], j));
    }
}

TYPED_TEST(Redistribute, FetchesNothingFromNoRows) {
  const auto rows = row_block<TypeParam>(this->world, 0, 3);
  EXPECT_EQ(dist::fetch_rows(rows, std::span<const Index>()).cols(), 0);
  EXPECT_EQ(dist::all_rows(rows).cols(), 0);
}

TYPED_TEST(Redistribute, GivesAllRowsToAll) {
  for (const Index n : {Index{1}, Index{5}, Index{23}}) {
    const auto all = dist::all_rows(row_block<TypeParam>(this->world, n, 3));
    ASSERT_EQ(all.rows(), 3);
    ASSERT_EQ(all.cols(), n);
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < 3; ++j) EXPECT_EQ(all(j, i), entry(i, j));
  }
}

TYPED_TEST(Redistribute, MirrorsTheLowerTriangleOnEveryGrid) {
  for (const GridShape shape : test::grid_shapes(this->world.size())) {
    const ProcessGrid grid(this->world, shape);
    for (const Index nb : {Index{1}, Index{5}, Index{19}})
      for (const Index n : test::awkward_sizes(nb)) {
        DistMatrix<TypeParam> A(grid, n, n, nb);
        A.fill([](Index i, Index j) { return i >= j ? entry(i, j) : test::kNaN; });
        dist::mirror_lower(A);
        test::expect_equal(
            A, [](Index i, Index j) { return entry(std::max(i, j), std::min(i, j)); }, 0);
      }
  }
}

TYPED_TEST(Redistribute, MirrorsByPanelsWhereTheMatrixExceedsTheBuffers) {
  for (const GridShape shape : test::grid_shapes(this->world.size())) {
    const ProcessGrid grid(this->world, shape);
    const Index n = 2111;  // 36 MB in double precision
    DistMatrix<TypeParam> A(grid, n, n, 32);
    const auto small = [](Index i, Index j) { return static_cast<double>(i * 2113 + j); };
    A.fill([&](Index i, Index j) { return i >= j ? small(i, j) : test::kNaN; });
    dist::mirror_lower(A);
    test::expect_equal(
        A, [&](Index i, Index j) { return small(std::max(i, j), std::min(i, j)); }, 0);
  }
}

}  // namespace
}  // namespace mercer
