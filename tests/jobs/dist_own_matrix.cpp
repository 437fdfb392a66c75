// The matrix job with a kernel class of a program's own, on halves of the ranks: one set and two,
// written and read again, checked, and refused where it does not fit.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "data/files.hpp"
#include "mercer/base/error.hpp"
#include "mercer/jobs/matrix.hpp"
#include "support/grids.hpp"

namespace mercer::jobs {
namespace {

template <class T>
T dot(std::span<const double> x, std::span<const double> z) {
  T sum = 0;
  for (std::size_t a = 0; a < x.size(); ++a) sum += static_cast<T>(x[a]) * static_cast<T>(z[a]);
  return sum;
}

/// k(x, z) = scale (1 + <x, z>)^2. A scale other than 1 is an error of the tiles that the scalar
/// formula does not have.
class Quadratic : public kernel::Kernel {
 public:
  explicit Quadratic(double scale = 1) : scale_(scale) {}

  std::string text() const override { return "quadratic(1)"; }
  std::unique_ptr<kernel::Rows> prepare(Matrix<double>&& X) const override {
    return std::make_unique<Prepared>(std::move(X));
  }
  void tile(const kernel::Rows& x, Index i0, const kernel::Rows& z, Index j0,
            MatrixView<double> out) const override {
    for (Index j = 0; j < out.cols; ++j)
      for (Index i = 0; i < out.rows; ++i) out(i, j) = entry(row(x, i0 + i), row(z, j0 + j));
  }
  void diagonal(const kernel::Rows& x, Index i0, Index count, double* out) const override {
    for (Index i = 0; i < count; ++i) out[i] = entry(row(x, i0 + i), row(x, i0 + i));
  }
  std::optional<long double> reference(std::span<const double> x,
                                       std::span<const double> z) const override {
    const auto s = 1 + dot<long double>(x, z);
    return s * s;
  }
  Index bytes_per_row(Index d) const override { return 8 * d; }

 private:
  struct Prepared : kernel::Rows {
    explicit Prepared(Matrix<double>&& X) : x(std::move(X)) {}
    Index size() const override { return x.cols(); }
    Index bytes() const override { return 8 * x.size(); }
    Matrix<double> x;  ///< d x m
  };
  static std::span<const double> row(const kernel::Rows& rows, Index i) {
    const auto& x = static_cast<const Prepared&>(rows).x;
    return {x.column(i), static_cast<std::size_t>(x.rows())};
  }
  double entry(std::span<const double> x, std::span<const double> z) const {
    const double s = 1 + dot<double>(x, z);
    return scale_ * s * s;
  }
  double scale_;
};

constexpr Index kN = 23, kM = 9, kD = 3;
/// Of an entry: d + 3 roundings of values up to 16, times an order of magnitude.
constexpr double kRounding = 1e-13;

std::vector<double> point(Index i) {
  std::vector<double> x(kD);
  for (Index a = 0; a < kD; ++a)
    x[static_cast<std::size_t>(a)] = std::sin(static_cast<double>(5 * i + 3 * a + 1));
  return x;
}
double entry(Index i, Index j) {
  const double s = 1 + dot<double>(point(i), point(j));
  return s * s;
}
data::Dataset points(const comm::Communicator& comm, Index count, Index first = 0) {
  dist::RowBlock<double> X(comm, count, kD);
  for (Index i = 0; i < X.local_rows(); ++i)
    std::ranges::copy(point(first + X.first_row() + i), X.row(i).begin());
  return data::of_rows(std::move(X));
}

/// A(i, j) = f(i, j) on this rank's elements. Returns how many were compared, on all ranks.
template <class T, class F>
Index expect_entries(const dist::DistMatrix<T>& A, F&& f, double tolerance) {
  Index compared = 0;
  for (Index j = 0; j < A.local_cols(); ++j)
    for (Index i = 0; i < A.local_rows(); ++i, ++compared)
      EXPECT_NEAR(A(LocalIndex{i}, LocalIndex{j}),
                  f(A.row_map().global({i}).value, A.col_map().global({j}).value), tolerance);
  return A.grid().all().all_reduce(compared, comm::Op::sum);
}

/// The first half of the ranks, and the others, each with a job of its own at the same time.
struct OwnMatrix : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  int half = world.rank() < (world.size() + 1) / 2 ? 0 : 1;
  comm::Communicator comm = world.split(half, world.rank());
  Quadratic kernel;
  Monitor silent;

  data::Split sets() const { return data::split_of(points(comm, kN), points(comm, kM, kN)); }
  static Resources resources_of(const dist::ProcessGrid& grid) {
    auto resources = Resources::of(grid);
    resources.nb = 4;
    return resources;
  }
  template <class T = double>
  KernelMatrix<T> matrix(const data::Split& split, const dist::ProcessGrid& grid, bool cross) {
    const MatrixOptions options{.cross = cross, .single = std::is_same_v<T, float>, .check = true};
    const auto plan = jobs::plan(options, kernel, split, resources_of(grid));
    EXPECT_GT(plan.stages.peak(), 0);
    return assemble<T>(plan, kernel, split, grid, silent);
  }
};

TEST_F(OwnMatrix, HasTheEntriesOfOneSetAndOfTwoOnEveryGrid) {
  for (const auto shape : test::grid_shapes(comm.size())) {
    const dist::ProcessGrid grid(comm, shape);
    const auto split = sets();
    const auto K = matrix(split, grid, false);
    EXPECT_EQ(expect_entries(K.K, entry, kRounding), kN * kN);
    const auto C = matrix(split, grid, true);
    const auto cross = [](Index i, Index j) { return entry(i, kN + j); };
    EXPECT_EQ(expect_entries(C.K, cross, kRounding), kN * kM);
    const auto single = matrix<float>(split, grid, false);
    EXPECT_EQ(expect_entries(single.K, entry, 16 * 6e-8), kN * kN);
    EXPECT_TRUE(check(K, kernel, split, silent).good());
    EXPECT_TRUE(check(C, kernel, split, silent).good());
    EXPECT_TRUE(check(single, kernel, split, silent).good());
  }
}

TEST_F(OwnMatrix, CanBeCheckedAfterItsRowsHaveMoved) {
  const dist::ProcessGrid grid(comm);
  auto split = sets();
  const auto K = matrix(split, grid, true);
  const auto moved = std::make_unique<data::Split>(std::move(split));
  EXPECT_TRUE(check(K, kernel, *moved, silent).good());
}

TEST_F(OwnMatrix, FailsTheCheckThatItsErrorIsFor) {
  const dist::ProcessGrid grid(comm);
  const auto split = sets();
  auto K = matrix(split, grid, false);
  if (K.K.local_rows() > 0 && K.K.local_cols() > 0 && comm.root())
    K.K(LocalIndex{0}, LocalIndex{0}) *= 1.001;
  const auto stored = check(K, kernel, split, silent);
  EXPECT_FALSE(stored.product_good());
  ASSERT_TRUE(stored.entries.has_value());
  EXPECT_FALSE(stored.entries->good());  // the diagonal is compared as a whole
  EXPECT_EQ(stored.entries->row, 0);

  const Quadratic wrong(1.000001);
  const auto plan = jobs::plan({}, wrong, split, resources_of(grid));
  const auto of_wrong =
      check(assemble<double>(plan, wrong, split, grid, silent), wrong, split, silent);
  EXPECT_TRUE(of_wrong.product_good());
  ASSERT_TRUE(of_wrong.entries.has_value());
  EXPECT_FALSE(of_wrong.entries->good());
  EXPECT_FALSE(of_wrong.good());

  const auto tiles = [&](std::shared_ptr<const kernel::Kernel> one) {
    return check_entries(gram::Source::function(std::move(one)), split.train.inputs, 0, silent);
  };
  EXPECT_TRUE(tiles(std::make_shared<Quadratic>())->good());
  EXPECT_FALSE(tiles(std::make_shared<Quadratic>(1.000001))->good());
  EXPECT_FALSE(tiles(kernel::radial("none()", [](double r) { return std::exp(-r); })).has_value());
}

TEST_F(OwnMatrix, IsReadAgainAsAKernelOfItsRows) {
  const test::TemporaryFolder folder;
  const dist::ProcessGrid grid(comm);
  const auto split = sets();
  const auto path = [&](const char* name) { return folder / fmt::format("{}{}.h5", name, half); };
  for (const bool cross : {false, true}) {
    auto file = io::Hdf5File::create(comm, path(cross ? "C" : "K"));
    write(file, matrix(split, grid, cross));
    file.finish();
  }
  auto stored = gram::Source::stored(path("K") + "," + path("C"));
  EXPECT_EQ(stored.stored_size(comm), kN);
  const gram::RowIdentity train{"the training rows", split.train.hash, kN};
  const gram::RowIdentity test{"the test rows", split.test->hash, kM};
  EXPECT_TRUE(stored.verify(comm, train).empty());
  EXPECT_TRUE(stored.verify_cross(comm, test, train).empty());
  EXPECT_THROW(stored.verify(comm, {"other rows", split.train.hash + 1, kN}), InputError);
  const auto& X = split.train.inputs;
  const auto K = gram::assemble<double>(stored, X, grid, {.nb = 4});
  const auto scaled = [](Index i, Index j) { return entry(i, j) / kN; };
  EXPECT_EQ(expect_entries(K, scaled, kRounding), kN * kN);

  dist::RowBlock<double> ones(comm, kN, 1);
  for (double& one : ones.values()) one = 1;
  const auto f = gram::apply_cross(stored, split.test->inputs, X, ones);
  ASSERT_EQ(f.rows(), kM);
  for (Index i = 0; i < f.local_rows(); ++i) {
    double sum = 0;
    for (Index j = 0; j < kN; ++j) sum += entry(kN + f.first_row() + i, j) / kN;
    EXPECT_NEAR(f.row(i)[0], sum, kRounding);
  }
}

TEST_F(OwnMatrix, IsRefusedWhereThePlanIsForSomethingElse) {
  const dist::ProcessGrid grid(comm);
  const auto split = sets();
  const auto plan = jobs::plan({}, kernel, split, resources_of(grid));
  EXPECT_THROW(assemble<float>(plan, kernel, split, grid, silent), InputError);
  EXPECT_THROW(
      jobs::plan({.cross = true}, kernel, data::split_of(points(comm, kN)), resources_of(grid)),
      InputError);
}

TEST_F(OwnMatrix, IsRefusedForImagesOfAnotherShape) {
  const dist::ProcessGrid grid(comm);
  const auto of_images = [](const arch::Image& image) {
    return kernel::make({.architecture = arch::parse("conv(1) relu flatten dense").on(image)});
  };
  auto split = sets();
  split.train.image = data::ImageShape{3, 1, 1};
  for (const arch::Image& image : {arch::Image{1, 3, 1}, arch::Image{3, 1, 1}}) {
    const auto k = of_images(image);
    const auto made = [&] {
      return assemble<double>(jobs::plan({}, *k, split, resources_of(grid)), *k, split, grid,
                              silent);
    };
    if (image.height == 3)
      EXPECT_NO_THROW((void)made());
    else
      EXPECT_THROW((void)made(), InputError);
  }
}

TEST_F(OwnMatrix, NeverReplacesAFileByItsCheckpoint) {
  const test::TemporaryFolder folder;
  const dist::ProcessGrid grid(comm);
  const auto split = sets();
  const std::string path = folder / fmt::format("C{}", half);
  const auto made = [&](bool resume) {
    const MatrixOptions options{.checkpoints = {.path = path, .resume = resume, .seconds = 0}};
    return assemble<double>(jobs::plan(options, kernel, split, resources_of(grid)), kernel, split,
                            grid, silent);
  };
  EXPECT_EQ(expect_entries(made(false).K, entry, kRounding), kN * kN);
  EXPECT_THROW((void)made(false), InputError);
  EXPECT_EQ(expect_entries(made(true).K, entry, kRounding), kN * kN);
}

TEST_F(OwnMatrix, IsRefusedWhereTheLimitIsTooSmall) {
  const dist::ProcessGrid grid(comm);
  const auto split = sets();
  auto resources = resources_of(grid);
  resources.memory_limit = resources.baseline + 100;
  const auto plan = jobs::plan({}, kernel, split, resources);  // a plan can be looked at
  EXPECT_GT(plan.stages.peak(), resources.memory_limit);
  try {
    assemble<double>(plan, kernel, split, grid, silent);
    ADD_FAILURE() << "accepted";
  } catch (const MemoryError& error) {
    EXPECT_NE(std::string(error.what()).find("of `memory_limit`"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("stage 'assemble'"), std::string::npos);
  }
}

}  // namespace
}  // namespace mercer::jobs
