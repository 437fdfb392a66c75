// krylov() against ELPA at n = 3000, on every grid of the ranks: spheres (clusters), the circle
// (exact double eigenvalues), a prescribed spectrum with a gap of 1e-10, and MNIST. Label `long`.
#include <gtest/gtest.h>

#include <cstdlib>

#include "mercer/blas/blas.hpp"
#include "mercer/data/dataset.hpp"
#include "mercer/gram/kernel_operator.hpp"
#include "mercer/spectral/krylov.hpp"
#include "support/grids.hpp"
#include "support/oracles.hpp"

namespace mercer::spectral {
namespace {

constexpr Index kSize = 3000, kTop = 60;
constexpr double kTolerance = 1e-10;

std::shared_ptr<const kernel::Kernel> network_kernel() {
  kernel::Options options;
  options.architecture = arch::parse("dense relu dense relu dense relu dense");
  return kernel::make(options);
}

/// |sin| of the largest angle between the spaces of the first k columns, both orthonormal, by rows.
double distance(const comm::Communicator& comm, const TopPairs& a, const TopPairs& b, Index k) {
  const Index rows = a.vectors.rows();
  Matrix<double> C(k, k, 0.0), D(rows, k);
  const auto A = a.vectors.view().block(0, 0, rows, k), B = b.vectors.view().block(0, 0, rows, k);
  using enum blas::Trans;
  if (rows > 0) blas::gemm<double>(yes, no, 1, A, B, 0, C.view());
  comm.all_reduce(std::span<double>(C.data(), static_cast<std::size_t>(k * k)), comm::Op::sum);
  for (Index j = 0; j < k; ++j) std::copy_n(B.column(j), rows, D.column(j));
  if (rows > 0) blas::gemm<double>(no, no, -1, A, C.view(), 1, D.view());
  double square = 0;  // the Frobenius norm bounds it
  for (Index j = 0; j < k; ++j)
    for (Index i = 0; i < rows; ++i) square += D(i, j) * D(i, j);
  return std::sqrt(comm.all_reduce(square, comm::Op::sum));
}

void expect_as_elpa(const dist::DistMatrix<double>& K) {
  const auto& comm = K.grid().all();
  auto pairs = krylov(gram::MatrixOperator<double>(K), {.top = kTop, .tolerance = kTolerance});
  auto assembled = K.copy();
  const auto elpa =
      by_rows(eigenpairs(std::move(assembled), {.top = kTop, .method = Method::elpa1}));
  const double lambda1 = elpa.values[0];
  for (std::size_t i = 0; i < static_cast<std::size_t>(kTop); ++i)
    EXPECT_TRUE(std::abs(pairs.values[i] - elpa.values[i]) <= 1e-10 * lambda1)
        << i << ": " << pairs.values[i] << " and " << elpa.values[i];
  EXPECT_TRUE(std::abs(pairs.next - elpa.next) <= 1e-10 * lambda1);
  EXPECT_TRUE(pairs.orthogonality <= 1e-13) << pairs.orthogonality;
  measure_residuals(gram::MatrixOperator<double>(K), pairs);
  for (const double r : pairs.residuals) EXPECT_TRUE(r <= 1.5 * kTolerance) << r;
  // Davis, Kahan: the sine is at most |residuals|/gap, in every space that a gap ends.
  Index compared = 0;
  for (Index k = 1; k <= kTop; ++k) {
    const auto at = static_cast<std::size_t>(k);
    const double below = k < kTop ? elpa.values[at] : elpa.next;
    const double gap = (elpa.values[at - 1] - below) / lambda1;
    if (gap < 1e-5) continue;
    const double bound = (kTolerance + 1e-12) * std::sqrt(static_cast<double>(k)) / gap;
    const double sine = distance(comm, pairs, elpa, k);
    EXPECT_TRUE(sine <= 2 * bound) << k << ": " << sine << " > " << bound;
    ++compared;
  }
  EXPECT_GE(compared, 5);
}

void on_every_grid(const std::function<dist::DistMatrix<double>(const dist::ProcessGrid&)>& make) {
  const auto world = comm::Communicator::world();
  for (const auto shape : test::grid_shapes(world.size())) {
    SCOPED_TRACE(std::to_string(shape.rows) + "x" + std::to_string(shape.cols));
    const dist::ProcessGrid grid(world, shape);
    expect_as_elpa(make(grid));
  }
}

dist::DistMatrix<double> kernel_matrix(const std::string& spec, const data::Options& options,
                                       const dist::ProcessGrid& grid) {
  const auto set = data::load_inputs(spec, options, grid.all());
  return gram::assemble<double>(*network_kernel(), set.inputs, grid, {.nb = 64});
}

TEST(KrylovLong, IsElpaOnTheClustersOfASphere) {
  on_every_grid(
      [](const dist::ProcessGrid& grid) { return kernel_matrix("sphere:n=3000,d=16", {}, grid); });
}

TEST(KrylovLong, IsElpaOnTheDoubleEigenvaluesOfACircle) {
  on_every_grid([](const dist::ProcessGrid& grid) {
    dist::DistMatrix<double> K(grid, kSize, kSize, 64);
    const test::CirculantMatrix A{kSize, [](double c) { return std::exp(4 * (c - 1)) / kSize; }};
    std::vector<double> first;
    for (Index i = 0; i < kSize; ++i) first.push_back(A(i, 0));
    K.fill([&](Index i, Index j) { return first[static_cast<std::size_t>(std::abs(i - j))]; });
    return K;
  });
}

TEST(KrylovLong, IsElpaOnASpectrumWithAGapOfOneInTenToTheTen) {
  std::vector<double> lambda;
  for (Index i = 0; i < kSize; ++i) lambda.push_back(std::pow(static_cast<double>(i + 1), -1.5));
  lambda[20] = lambda[19] - 1e-10;
  lambda[kTop] = lambda[kTop - 1] - 1e-10;
  const test::HouseholderMatrix A(lambda);
  on_every_grid([&](const dist::ProcessGrid& grid) {
    dist::DistMatrix<double> K(grid, kSize, kSize, 64);
    K.fill(A);
    return K;
  });
}

TEST(KrylovLong, IsElpaOnMnist) {
  const char* folder = std::getenv("MERCER_DATA_DIR");
  if (folder == nullptr || *folder == 0) GTEST_SKIP() << "MERCER_DATA_DIR is not set";
  data::Options options;
  options.limit = kSize;
  options.unit_norm = true;
  on_every_grid([&](const dist::ProcessGrid& grid) {
    return kernel_matrix("idx:" + std::string(folder) + "/mnist/train-images-idx3-ubyte.gz",
                         options, grid);
  });
}

}  // namespace
}  // namespace mercer::spectral
