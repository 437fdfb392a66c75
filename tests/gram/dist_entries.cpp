// Entries that are not finite are found where they are made, and the check of entries finds a
// kernel that is wrong, on every number of ranks alike.
#include <gtest/gtest.h>

#include <cmath>

#include "mercer/base/random.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/gram/check.hpp"
#include "mercer/gram/kernel_operator.hpp"
#include "support/errors.hpp"
#include "support/grids.hpp"

namespace mercer::test {
namespace {

constexpr Index kDimension = 3;

/// Normal rows; row `at` times `size`.
dist::RowBlock<double> rows(const comm::Communicator& comm, Index n, Index at = -1, double size = 1,
                            std::uint32_t substream = 3) {
  dist::RowBlock<double> X(comm, n, kDimension);
  const Random random(5, Stream::test, substream);
  for (Index i = 0; i < X.local_rows(); ++i)
    for (Index c = 0; c < kDimension; ++c) {
      const Index row = X.first_row() + i;
      X.row(i)[static_cast<std::size_t>(c)] =
          random.normal(static_cast<std::uint64_t>(row * kDimension + c)) * (row == at ? size : 1);
    }
  return X;
}

std::shared_ptr<const kernel::Kernel> ntk(Index depth, double weight = 1.4) {
  arch::Options options;
  options.weight_std = weight;
  return kernel::make({kernel::Kind::ntk, arch::fully_connected(depth, "relu", options), 1});
}

TEST(Entries, ARowWhoseValueOverflowsIsNamedOnEveryGrid) {
  const auto world = comm::Communicator::world();
  const auto kernel = ntk(2);
  const Index n = 41, bad = 17;
  const auto X = rows(world, n, bad, 1e200);
  const auto A = rows(world, n);
  const std::vector<std::string> words{"row 18:", "dense layer 1 of 3", "`scale`"};
  for (const auto shape : grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    expect_words(
        error<InputError>([&] { (void)gram::assemble<double>(*kernel, X, grid, {.nb = 4}); }),
        words);
    expect_words(error<InputError>([&] {
                   (void)gram::assemble<double>(*kernel, X, grid,
                                                {.panel_bytes = 1, .nb = 4, .over_n = false});
                 }),
                 words);
    expect_words(
        error<InputError>([&] { (void)gram::assemble_cross<double>(*kernel, X, X, grid); }),
        {"18:", "dense layer 1 of 3"});
    for (const auto storage :
         {gram::Storage::in_double, gram::Storage::in_single, gram::Storage::none}) {
      const auto product = [&] {
        const gram::KernelOperator K(*kernel, X, grid, {.storage = storage, .block = 2, .tile = 8});
        Matrix<double> V(K.local_rows(), 2, 1.0), Y(K.local_rows(), 2);
        K.apply(V.view(), Y.view());
      };
      // In single the first of its entries that is beyond 3.4e38, a product with another row.
      expect_words(error<InputError>(product), storage == gram::Storage::in_single
                                                   ? std::vector<std::string>{"18", "3.4e38"}
                                                   : words);
    }
    const gram::KernelOperator K(*kernel, X, grid, {.storage = gram::Storage::none, .tile = 8});
    std::vector<double> d(static_cast<std::size_t>(K.local_rows()));
    expect_words(error<InputError>([&] { K.diagonal(d); }), words);
    const std::vector<Index> which{3, bad};
    Matrix<double> columns(K.local_rows(), 2);
    expect_words(error<InputError>([&] { K.columns(which, columns.view()); }), words);
  }
  expect_words(error<InputError>([&] { (void)gram::apply_cross(*kernel, X, X, A); }), {"18:"});
}

TEST(Entries, ALayerBeyondDoubleIsNamedWithTheRow) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const auto X = rows(world, 9);
  expect_words(error<InputError>([&] { (void)gram::assemble<double>(*ntk(200, 100), X, grid); }),
               {"row 1:", "dense layer 8", "of 201"});
}

TEST(Entries, CrossMatricesHoldWhatExistsThoughADiagonalDoesNot) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const auto kernel = ntk(1);
  const auto large = rows(world, 7, 3, 1e200), ordinary = rows(world, 5, -1, 1, 4);
  const auto K = gram::assemble_cross<double>(*kernel, large, ordinary, grid, {.nb = 2});
  const auto check = gram::check_entries(*kernel, large, ordinary, K);
  ASSERT_TRUE(check.has_value());
  EXPECT_TRUE(check->difference <= 1e-13) << check->difference;
  EXPECT_TRUE(check->entries >= 256);
}

TEST(Entries, SinglePrecisionRefusesWhatItCannotHold) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const auto kernel = ntk(1);
  const auto refused = [&](double size, const std::string& word) {
    auto X = rows(world, 11);
    for (double& x : X.values()) x *= size;
    expect_words(error<InputError>([&] { (void)gram::assemble<float>(*kernel, X, grid); }),
                 {"single", word});
    expect_words(error<InputError>([&] {
                   (void)gram::KernelOperator(*kernel, X, grid,
                                              {.storage = gram::Storage::in_single});
                 }),
                 {"single", word});
    EXPECT_EQ(error<InputError>([&] { (void)gram::assemble<double>(*kernel, X, grid); }), "");
  };
  refused(1e25, "3.4e38");
  refused(1e-25, "vanish");
  auto X = rows(world, 11);  // far apart: entries that vanish beside a diagonal of 1 are none
  for (double& x : X.values()) x *= 1e3;
  const auto gaussian = kernel::make({kernel::Kind::gaussian, {}, 1});
  EXPECT_EQ(error<InputError>([&] { (void)gram::assemble<float>(*gaussian, X, grid); }), "");
}

/// A kernel whose tiles differ from its reference at one pair of rows, or everywhere by a NaN.
class Faulty : public kernel::Kernel {
 public:
  Faulty(std::shared_ptr<const kernel::Kernel> of, double diagonal)
      : of_(std::move(of)), diagonal_(diagonal) {}
  std::string text() const override { return of_->text(); }
  std::unique_ptr<kernel::Rows> prepare(Matrix<double>&& X) const override {
    return of_->prepare(std::move(X));
  }
  void tile(const kernel::Rows& x, Index i0, const kernel::Rows& z, Index j0,
            MatrixView<double> out) const override {
    of_->tile(x, i0, z, j0, out);
    for (Index j = 0; j < out.cols; ++j)
      for (Index i = 0; i < out.rows; ++i)
        if (out(i, j) == 1) out(i, j) = diagonal_;
  }
  void diagonal(const kernel::Rows& x, Index i0, Index count, double* out) const override {
    of_->diagonal(x, i0, count, out);
  }
  std::optional<long double> reference(std::span<const double> x,
                                       std::span<const double> z) const override {
    return of_->reference(x, z);
  }
  Index bytes_per_row(Index d) const override { return of_->bytes_per_row(d); }

 private:
  std::shared_ptr<const kernel::Kernel> of_;
  double diagonal_;
};

TEST(CheckEntries, PassesEveryKernelOnEveryGrid) {
  const auto world = comm::Communicator::world();
  const auto X = rows(world, 33, 4, 1e-3), Z = rows(world, 6, 2, 30, 4);
  const auto network = [](const std::string& text) {
    arch::Options options;
    options.bias_std = 0.2;
    return kernel::make({kernel::Kind::ntk, arch::parse(text, options), 1});
  };
  for (const auto& kernel :
       {ntk(3), network("dense erf dense"), network("dense tanh dense softplus dense"),
        network("dense res(gelu dense) sin(1,1,0.2) dense"), network("dense sigmoid dense"),
        kernel::make({kernel::Kind::gaussian, {}, 2}), kernel::make({kernel::Kind::laplace, {}, 2}),
        kernel::make({kernel::Kind::linear, {}, 1})}) {
    const auto of_tiles = gram::check_entries(*kernel, X);
    ASSERT_TRUE(of_tiles.has_value());
    EXPECT_EQ(of_tiles->entries, 33 + 4 + 4 * 16 + 256);
    EXPECT_TRUE(of_tiles->difference <= 1e-11) << kernel->text() << " " << of_tiles->difference;
  }
  for (const auto shape : grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    const auto K = gram::assemble<double>(*ntk(2), X, grid, {.nb = 4});
    const auto check = gram::check_entries(*ntk(2), X, X, K, 1.0 / 33);
    EXPECT_EQ(check->entries, 33 + 4 + 4 * 16 + 256);
    EXPECT_TRUE(check->difference <= 1e-13) << check->difference;
    const auto S = gram::assemble<float>(*ntk(2), X, grid, {.nb = 4});
    const auto single = gram::check_entries(*ntk(2), X, X, S, 1.0 / 33);
    EXPECT_TRUE(single->difference > 1e-9 && single->difference <= 1.2e-7) << single->difference;
    const auto other = gram::check_entries(*ntk(3), X, X, K, 1.0 / 33);
    EXPECT_TRUE(other->difference > 0.1);
    const auto C = gram::assemble_cross<double>(*ntk(2), X, Z, grid, {.nb = 4});
    EXPECT_TRUE(gram::check_entries(*ntk(2), X, Z, C)->difference <= 1e-13);
  }
}

TEST(CheckEntries, FailsForADiagonalOfZeroAndForNaN) {
  const auto world = comm::Communicator::world();
  const auto X = rows(world, 20);
  const auto gaussian = kernel::make({kernel::Kind::gaussian, {}, 1});
  for (const double wrong : {0.0, 1 - 1e-6, std::nan(""), double{INFINITY}}) {
    const auto check = gram::check_entries(Faulty(gaussian, wrong), X);
    ASSERT_TRUE(check.has_value());
    const double tolerance = gram::entry_tolerance<double>(0);
    EXPECT_FALSE(check->difference <= tolerance) << wrong;
    EXPECT_EQ(check->row, check->column);
    EXPECT_EQ(check->reference, 1);
    EXPECT_NE(gram::text(*check, tolerance).find("failed"), std::string::npos);
  }
}

TEST(Entries, ComparingThoseOfImagesCostsWhatTheFormulasTake) {
  const auto kernel =
      kernel::make({.architecture = arch::parse("conv(3) relu conv(3) relu gap dense")
                                        .on({.height = 8, .width = 8, .channels = 1})});
  const double steps = kernel->reference_steps();
  ASSERT_GE(steps, 1e3);
  const auto few = gram::check_entries_cost(*kernel, 3, 3, true, 1);
  const auto many = gram::check_entries_cost(*kernel, 4000, 4000, true, 1);
  EXPECT_GT(few.seconds, 0);
  EXPECT_GE(many.seconds, few.seconds);
  EXPECT_LT(many.seconds, 20);  // about ten seconds' worth, however many entries there are
  EXPECT_GT(many.bytes, 100 * steps);
  const auto dense = gram::check_entries_cost(*ntk(3), 4000, 4000, true, 1);
  EXPECT_EQ(dense.seconds, 0);
  EXPECT_EQ(dense.bytes, 0);
}

}  // namespace
}  // namespace mercer::test
