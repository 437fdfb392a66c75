#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <vector>

#include "operators.hpp"
#include "support/errors.hpp"
#include "support/grids.hpp"

namespace mercer::test {
namespace {

using gram::KernelOperator;
using gram::MatrixOperator;
using gram::OperatorOptions;
using gram::Storage;

/// Where everything that a product needs beside tiles fits, but no tile: room for more is room for
/// tiles.
OperatorOptions with_room(const kernel::Kernel& kernel, Index n, Index tile, Index block,
                          dist::GridShape shape, double panels, double tiles) {
  OperatorOptions options{.storage = Storage::in_single, .block = block, .tile = tile};
  options.memory_bytes = 1e9;
  const auto plan = gram::plan_operator(kernel, n, kDimension, block, shape, options,
                                        comm::Communicator::world().size());
  options.storage = Storage::mixed;
  options.memory_bytes =
      plan.scratch_bytes + plan.vector_bytes + panels * plan.panel_bytes + tiles * plan.tile_bytes;
  return options;
}

TEST(KernelOperator, GivesTheDenseProductWithEveryStorageOnEveryGridAndTile) {
  const auto world = comm::Communicator::world();
  const auto kernel = ntk();
  struct Case {
    Index n, tile;
  };
  for (const auto& [n, tile] : {Case{0, 0}, {1, 0}, {2, 7}, {23, 7}, {23, 100}, {61, 0}, {61, 7}}) {
    const auto K = dense(*kernel, n);
    const auto X = inputs(world, n);
    for (const auto shape : grid_shapes(world.size())) {
      const dist::ProcessGrid grid(world, shape);
      for (const Storage storage :
           {Storage::in_double, Storage::in_single, Storage::none, Storage::mixed}) {
        SCOPED_TRACE(fmt::format("n={} grid={}x{} tile={} {}", n, shape.rows, shape.cols, tile,
                                 gram::name(storage)));
        const KernelOperator A(*kernel, X, grid, {.storage = storage, .tile = tile});
        EXPECT_EQ(A.storage(), storage);
        const bool single = storage == Storage::in_single || storage == Storage::mixed;
        for (const Index b : {1, 64}) {
          if (b == 64 && n == 23) continue;
          const double error = product_error(A, K, b);
          EXPECT_TRUE(n == 0 || error <= (single ? 1e-7 : 1e-13)) << error;
        }
      }
    }
  }
}

TEST(KernelOperator, GivesTheDenseProductWhereTilesAndPanelsFitTheMemoryInPart) {
  const auto world = comm::Communicator::world();
  const auto kernel = gaussian();
  constexpr Index n = 331, tile = 16, b = 3;
  const auto K = dense(*kernel, n);
  const auto X = inputs(world, n);
  for (const auto shape : grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    struct Case {
      double panels, tiles;
      bool panels_kept;
    };
    for (const Case& c : {Case{2, 0.1, true}, {0.9, 0, false}, {0.5, 0, false}}) {
      auto options = with_room(*kernel, n, tile, b, shape, c.panels, c.tiles);
      for (const Storage storage : {Storage::mixed, Storage::none}) {
        options.storage = storage;
        const KernelOperator A(*kernel, X, grid, options);
        SCOPED_TRACE(fmt::format("grid={}x{} panels {} tiles {}: {}", shape.rows, shape.cols,
                                 c.panels, c.tiles, A.text()));
        EXPECT_LE(A.plan().bytes(), options.memory_bytes * (1 + 1e-12));
        if (storage == Storage::mixed) {
          EXPECT_EQ(A.plan().panels_kept, c.panels_kept);
          EXPECT_GT(A.stored_share(), 0);
          EXPECT_LT(A.stored_share(), 1);
        } else {
          EXPECT_EQ(A.plan().panels_kept, c.panels >= 1);
          EXPECT_EQ(A.stored_share(), 0);
        }
        const double error = product_error(A, K, b);
        EXPECT_TRUE(error <= (storage == Storage::mixed ? 1e-7 : 1e-13)) << error;
        const double again = product_error(A, K, b);
        EXPECT_EQ(error, again);
      }
    }
  }
}

TEST(KernelOperator, TakesTheStorageThatFitsAndKeepsToTheMemory) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const auto kernel = gaussian();
  constexpr Index n = 203;
  const auto X = inputs(world, n);
  OperatorOptions options{.block = 2, .tile = 8};
  std::vector<Storage> taken;
  double share = 1;
  bool refused = false;
  const double all = gram::plan_operator(*kernel, n, kDimension, 2, grid.shape(), options).bytes();
  for (double memory = 1.1 * all; share > 0 && !refused; memory -= all / 40) {
    options.memory_bytes = memory;
    try {
      const KernelOperator A(*kernel, X, grid, options);
      EXPECT_LE(A.plan().bytes(), memory * (1 + 1e-12));
      EXPECT_EQ(A.stored_share() == 1,
                A.storage() != Storage::mixed && A.storage() != Storage::none);
      share = A.stored_share();
      if (taken.empty() || taken.back() != A.storage()) taken.push_back(A.storage());
    } catch (const MemoryError&) {
      refused = true;  // on every rank
    }
  }
  ASSERT_GE(taken.size(), 3u);
  EXPECT_EQ(taken[0], Storage::in_double);
  EXPECT_EQ(taken[1], Storage::in_single);
  EXPECT_EQ(taken[2], Storage::mixed);
}

TEST(KernelOperator, SaysWhatWouldFitWhereTheMemoryIsTooSmall) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const auto X = inputs(world, 2000);  // a triangle in double takes 16 MB over all ranks
  const auto refused = [&](Storage storage, double memory) {
    return error<MemoryError>([&] {
      const KernelOperator A(*gaussian(), X, grid,
                             {.storage = storage, .memory_bytes = memory, .block = 2, .tile = 24});
    });
  };
  EXPECT_NE(refused(Storage::automatic, 1000).find("the limit is"), std::string::npos);
  EXPECT_NE(refused(Storage::none, 1000).find("fewer vectors at a time"), std::string::npos);
  const std::string stored = refused(Storage::in_double, 1000);
  EXPECT_NE(stored.find("kept in double takes"), std::string::npos);
  EXPECT_EQ(stored.find("`storage`"), std::string::npos) << stored;  // no other fits either
  const std::string fitting = refused(Storage::in_double, 1e6);
  EXPECT_NE(fitting.find("or `storage` mixed or none (from"), std::string::npos) << fitting;
  EXPECT_EQ(refused(Storage::none, 1e6), "");
  EXPECT_EQ(refused(Storage::automatic, 1e9), "");
  EXPECT_NE(error<InputError>([&] { gram::parse_storage("half"); }).find("\"half\""),
            std::string::npos);
  for (const Storage s :
       {Storage::automatic, Storage::in_double, Storage::in_single, Storage::none, Storage::mixed})
    EXPECT_EQ(gram::parse_storage(gram::name(s)), s);
}

TEST(KernelOperator, GivesTheSameBitsTwiceAndForWideBlocksInPieces) {
  const auto world = comm::Communicator::world();
  const auto kernel = ntk();
  const auto X = inputs(world, 61);
  for (const auto shape : grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    for (const Storage storage : {Storage::in_double, Storage::in_single, Storage::none}) {
      const OperatorOptions options{.storage = storage, .block = 8, .tile = 9};
      const KernelOperator A(*kernel, X, grid, options), B(*kernel, X, grid, options);
      constexpr Index b = 20;
      const auto V = vectors(A, b);
      Matrix<double> first(V.rows(), b, kNaN), again(V.rows(), b, kNaN), other(V.rows(), b, kNaN),
          pieces(V.rows(), b, kNaN);
      A.apply(V.view(), first.view());
      A.apply(V.view(), again.view());
      B.apply(V.view(), other.view());
      for (Index c = 0; c < b; c += 8) {
        const Index w = std::min<Index>(8, b - c);
        A.apply(V.view().block(0, c, V.rows(), w), pieces.view().block(0, c, V.rows(), w));
      }
      const auto bytes = static_cast<std::size_t>(first.size()) * sizeof(double);
      for (const auto* result : {&again, &other, &pieces})
        EXPECT_TRUE(bytes == 0 || std::memcmp(first.data(), result->data(), bytes) == 0);
    }
  }
}

TEST(KernelOperator, IsSymmetric) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const auto X = inputs(world, 117);
  for (const Storage storage : {Storage::in_double, Storage::in_single, Storage::none}) {
    const KernelOperator A(*ntk(), X, grid, {.storage = storage, .tile = 20});
    const auto V = vectors(A, 2);
    Matrix<double> Y(V.rows(), 2, kNaN);
    A.apply(V.view(), Y.view());
    double products[2] = {0, 0};  // x.Ky, y.Kx
    for (Index i = 0; i < V.rows(); ++i) {
      products[0] += V(i, 0) * Y(i, 1);
      products[1] += V(i, 1) * Y(i, 0);
    }
    world.all_reduce(std::span<double>(products), comm::Op::sum);
    EXPECT_NE(products[0], 0);
    EXPECT_TRUE(std::abs(products[0] - products[1]) <= 1e-13 * 117);
  }
}

/// Counts the entries that are asked for.
class Counting : public kernel::Kernel {
 public:
  explicit Counting(std::shared_ptr<const kernel::Kernel> of) : of_(std::move(of)) {}
  std::string text() const override { return of_->text(); }
  std::unique_ptr<kernel::Rows> prepare(Matrix<double>&& X) const override {
    rows += X.cols();
    return of_->prepare(std::move(X));
  }
  void tile(const kernel::Rows& x, Index i0, const kernel::Rows& z, Index j0,
            MatrixView<double> out) const override {
    entries += out.rows * out.cols;
    of_->tile(x, i0, z, j0, out);
  }
  void diagonal(const kernel::Rows& x, Index i0, Index count, double* out) const override {
    of_->diagonal(x, i0, count, out);
  }
  Index bytes_per_row(Index d) const override { return of_->bytes_per_row(d); }
  mutable Index entries = 0, rows = 0;

 private:
  std::shared_ptr<const kernel::Kernel> of_;
};

TEST(KernelOperator, ComputesEachPairOnceAndPreparesRowsOnce) {
  const auto world = comm::Communicator::world();
  constexpr Index n = 530, tile = 33;
  const auto X = inputs(world, n);
  for (const auto shape : grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    for (const Storage storage : {Storage::in_double, Storage::none}) {
      const Counting kernel(gaussian());
      const KernelOperator A(kernel, X, grid, {.storage = storage, .tile = tile});
      const auto V = vectors(A, 1);
      Matrix<double> Y(V.rows(), 1);
      const Index prepared = world.all_reduce(kernel.rows, comm::Op::max);
      EXPECT_LE(prepared, n);
      kernel.entries = storage == Storage::none ? 0 : kernel.entries;
      A.apply(V.view(), Y.view());
      EXPECT_EQ(world.all_reduce(kernel.rows, comm::Op::max), prepared);
      const Index entries = world.all_reduce(kernel.entries, comm::Op::sum);
      EXPECT_GE(entries, n * (n + 1) / 2);
      EXPECT_LE(entries, n * (n + 1) / 2 + n * tile / 2);
    }
  }
}

TEST(KernelOperator, SendsWhatThePlanSays) {
  const auto world = comm::Communicator::world();
  const auto kernel = gaussian();
  constexpr Index n = 401, tile = 32;
  const auto X = inputs(world, n);
  for (const Index b : {1, 16})
    for (const auto shape : grid_shapes(world.size())) {
      const dist::ProcessGrid grid(world, shape);
      for (const double panels : {2.0, 0.6}) {
        auto options = with_room(*kernel, n, tile, b, shape, panels, 0);
        options.storage = Storage::none;
        const KernelOperator A(*kernel, X, grid, options);
        EXPECT_EQ(A.plan().panels_kept, panels > 1);
        const auto V = vectors(A, b);
        Matrix<double> Y(V.rows(), b);
        for (int product = 0; product < 2; ++product) {
          const auto before = comm::bytes_sent();
          A.apply(V.view(), Y.view());
          const auto sent =
              static_cast<double>(world.all_reduce(comm::bytes_sent() - before, comm::Op::max));
          // Beside the rows: agreement on errors, a few bytes a product, a step and a panel.
          const auto& plan = A.plan();
          const Index N = ceil_div(n, tile);
          const Index steps = plan.panels_kept ? 1
                                               : ceil_div(N, plan.row_cycles * shape.rows) *
                                                     ceil_div(N, plan.col_cycles * shape.cols);
          const auto agreement = static_cast<double>(
              16 + steps * (12 + 4 * (plan.panels_kept ? 0 : plan.row_cycles + plan.col_cycles)));
          EXPECT_GE(sent, A.plan().bytes_sent);
          EXPECT_LE(sent, A.plan().bytes_sent + (world.size() > 1 ? agreement : 0));
          EXPECT_TRUE(world.size() > 1 || sent == 0);
        }
      }
    }
}

TEST(KernelOperator, GivesColumnsAndTheDiagonalInDoubleWhateverItKeeps) {
  const auto world = comm::Communicator::world();
  for (const auto& kernel : {gaussian(), ntk()})
    for (const Index n : {1, 2, 40}) {
      const auto K = dense(*kernel, n);
      const auto X = inputs(world, n);
      for (const auto shape : grid_shapes(world.size())) {
        const dist::ProcessGrid grid(world, shape);
        const KernelOperator A(*kernel, X, grid, {.storage = Storage::in_single, .tile = 6});
        std::vector<Index> which;
        for (Index c = 0; c < 15; ++c) which.push_back((7 * c + 3) % n);
        const Index m = A.local_rows();
        Matrix<double> columns(m, std::ssize(which), kNaN);
        A.columns(which, columns.view());
        std::vector<double> diagonal(static_cast<std::size_t>(m), kNaN);
        A.diagonal(diagonal);
        Index compared = 0;
        for (Index i = 0; i < m; ++i) {
          for (Index c = 0; c < columns.cols(); ++c, ++compared)
            EXPECT_TRUE(std::abs(columns(i, c) - K(A.first_row() + i,
                                                   which[static_cast<std::size_t>(c)])) <= 1e-13);
          EXPECT_TRUE(std::abs(diagonal[static_cast<std::size_t>(i)] -
                               K(A.first_row() + i, A.first_row() + i)) <= 1e-14);
        }
        EXPECT_EQ(world.all_reduce(compared, comm::Op::sum), n * 15);
      }
    }
}

TEST(KernelOperator, LeavesOutTheDivisionByNWhereAsked) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const auto X = inputs(world, 30);
  const KernelOperator A(*gaussian(), X, grid, {.over_n = false});
  std::vector<double> diagonal(static_cast<std::size_t>(A.local_rows()), kNaN);
  A.diagonal(diagonal);
  for (const double d : diagonal) EXPECT_EQ(d, 1.0);
  auto K = dense(*gaussian(), 30);
  for (Index k = 0; k < K.size(); ++k) K.data()[k] *= 30;
  EXPECT_TRUE(product_error(A, K, 2) <= 1e-13);
}

TEST(KernelOperator, TellsTheShareOfTheTilesThatAreStored) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const auto X = inputs(world, 100);
  double last = 0;
  bool rising = true;
  const KernelOperator A(*gaussian(), X, grid, {.tile = 8, .progress = [&](double share) {
                                                  rising = rising && share >= last && share <= 1.0;
                                                  last = share;
                                                }});
  EXPECT_TRUE(rising);
  EXPECT_EQ(last, 1.0);
}

template <class T>
void check_matrix_operator(double tolerance) {
  const auto world = comm::Communicator::world();
  const auto kernel = gaussian();
  for (const Index n : {0, 1, 5, 61}) {
    const auto dense_k = dense(*kernel, n);
    for (const auto shape : grid_shapes(world.size())) {
      const dist::ProcessGrid grid(world, shape);
      for (const Index nb : {4, 9}) {
        SCOPED_TRACE(fmt::format("n={} grid={}x{} nb={}", n, shape.rows, shape.cols, nb));
        dist::DistMatrix<T> K(grid, n, n, nb);
        K.fill([&](Index i, Index j) { return dense_k(i, j); });
        const MatrixOperator<T> A(K);
        for (const Index b : {1, 64}) {
          const double error = product_error(A, dense_k, b);
          EXPECT_TRUE(n == 0 || error <= tolerance) << error;
        }
        if (n == 0) continue;
        const Index m = A.local_rows();
        const std::vector<Index> which{n - 1, 0, n / 2, 0};
        Matrix<double> columns(m, 4, kNaN), by_products(m, 4, kNaN);
        A.columns(which, columns.view());
        A.gram::Operator::columns(which, by_products.view());
        std::vector<double> diagonal(static_cast<std::size_t>(m), kNaN);
        A.diagonal(diagonal);
        for (Index i = 0; i < m; ++i) {
          const Index g = A.first_row() + i;
          for (Index c = 0; c < 4; ++c) {
            const auto expected =
                static_cast<double>(static_cast<T>(dense_k(g, which[static_cast<std::size_t>(c)])));
            EXPECT_EQ(columns(i, c), expected);
            EXPECT_EQ(by_products(i, c), expected);
          }
          EXPECT_EQ(diagonal[static_cast<std::size_t>(i)],
                    static_cast<double>(static_cast<T>(dense_k(g, g))));
        }
      }
    }
  }
}

TEST(MatrixOperator, GivesTheDenseProductOfABlockCyclicMatrixInDouble) {
  check_matrix_operator<double>(1e-13);
}
TEST(MatrixOperator, GivesTheDenseProductOfABlockCyclicMatrixInSingle) {
  check_matrix_operator<float>(1e-7);
}

}  // namespace
}  // namespace mercer::test
