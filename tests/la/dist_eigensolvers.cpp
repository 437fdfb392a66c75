#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <memory>

#include "mercer/blas/blas.hpp"
#include "mercer/comm/environment.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/la/elpa.hpp"
#include "mercer/la/scalapack.hpp"
#include "support/compare.hpp"
#include "support/grids.hpp"
#include "support/oracles.hpp"

namespace mercer::la {
namespace {

using comm::Communicator;
using dist::DistMatrix;
using dist::ProcessGrid;
using test::HouseholderMatrix;
using test::MinMatrix;

std::vector<double> spread(Index n) {
  std::vector<double> lambda(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i)
    lambda[static_cast<std::size_t>(i)] = 1.0 / static_cast<double>(i + 1);
  std::sort(lambda.begin(), lambda.end());
  return lambda;
}

/// max |A V - V Lambda| over the first `count` columns, by an independent GEMM.
void expect_pairs(const HouseholderMatrix& A, const std::vector<double>& values,
                  const DistMatrix<double>& V, double tolerance) {
  const Index n = V.rows(), count = static_cast<Index>(values.size());
  DistMatrix<double> K(V.grid(), n, n, V.nb()), R(V.grid(), n, n, V.nb());
  K.fill(A);
  // Columns beyond `count` are the solver's own business, and may hold anything.
  DistMatrix<double> W = V.copy();
  for (Index j = 0; j < W.local_cols(); ++j)
    if (W.col_map().global({j}).value >= count)
      std::fill_n(W.local().column(j), W.local_rows(), 0.0);
  gemm(Trans::no, Trans::no, 1.0, K, W, 0.0, R);
  std::vector<double> lambda = values;
  lambda.resize(static_cast<std::size_t>(n), 0.0);
  DistMatrix<double> L = W.copy();
  scale_columns<double>(L, lambda);
  double worst = 0;
  for (Index j = 0; j < L.local_cols(); ++j)
    for (Index i = 0; i < L.local_rows(); ++i) {
      const double e = std::abs(L.local()(i, j) - R.local()(i, j));
      worst = e <= worst ? worst : e;
    }
  EXPECT_TRUE(worst <= tolerance) << "residual " << worst;
  gemm(Trans::yes, Trans::no, 1.0, W, W, 0.0, R);
  test::expect_equal(
      R, [&](Index i, Index j) { return i == j && i < count ? 1.0 : 0.0; }, tolerance);
}

TEST(Eigensolvers, GiveTheSmallestPairsOfAPrescribedSpectrum) {
  const auto world = Communicator::world();
  for (const auto shape : test::grid_shapes(world.size())) {
    const ProcessGrid grid(world, shape);
    for (const Index n : {1, 2, 3, 7, 8, 9, 16, 17, 40, 100})
      for (const Index nb : {8, 16}) {
        const HouseholderMatrix A(spread(n));
        for (const int method : {0, 1, 2, 3}) {
          if (method >= 2 && !elpa_accepts(n, nb, shape)) continue;
          DistMatrix<double> K(grid, n, n, nb), V(grid, n, n, nb);
          K.fill(A);
          test::poison(V);
          const Index count = method == 0 ? n : (n + 1) / 2;
          const auto stage = method == 2 ? ElpaStage::one : ElpaStage::two;
          const auto w = method == 0   ? syevd(std::move(K), V)
                         : method == 1 ? syevx(std::move(K), 1, count, V)
                                       : elpa(std::move(K), V, count, stage);
          SCOPED_TRACE(fmt::format("method {} n {} nb {} grid {}x{}", method, n, nb, shape.rows,
                                   shape.cols));
          EXPECT_EQ(static_cast<Index>(w.size()), count);
          for (std::size_t i = 0; i < w.size(); ++i)
            EXPECT_NEAR(w[i], A.eigenvalue(static_cast<Index>(i)), 1e-14 * static_cast<double>(n));
          expect_pairs(A, w, V, 1e-12 * static_cast<double>(n));
        }
      }
  }
}

/// The error of all pairs of factor * A by p?syevd, relative to the factor, where the upper
/// triangle of the matrix is NaN: solved in T, compared on all ranks.
template <class T>
void expect_all_pairs(double factor, double tolerance) {
  const auto world = Communicator::world();
  for (const auto shape : test::grid_shapes(world.size())) {
    const ProcessGrid grid(world, shape);
    for (const Index n : {1, 8, 9, 130}) {
      SCOPED_TRACE(fmt::format("n {} grid {}x{} factor {}", n, shape.rows, shape.cols, factor));
      const HouseholderMatrix A(spread(n));
      DistMatrix<T> K(grid, n, n, 8), V(grid, n, n, 8);
      K.fill([&](Index i, Index j) { return i >= j ? factor * A(i, j) : test::kNaN; });
      test::poison(V);
      auto w = syevd(std::move(K), V);
      EXPECT_EQ(static_cast<Index>(w.size()), n);
      for (std::size_t i = 0; i < w.size(); ++i) {
        w[i] /= factor;
        EXPECT_NEAR(w[i], A.eigenvalue(static_cast<Index>(i)), tolerance);
      }
      DistMatrix<double> U(grid, n, n, 8);
      std::copy_n(V.data(), V.local_rows() * V.local_cols(), U.data());
      expect_pairs(A, w, U, 10 * tolerance);
    }
  }
}

TEST(Syevd, ReadsTheLowerTriangleOnlyInBothPrecisions) {
  expect_all_pairs<double>(1, 1e-13);
  expect_all_pairs<float>(1, 2e-5);
}

TEST(Syevd, IsRightForEntriesWhoseSquaresOverflowOrVanish) {
  for (const double factor : {1e-290, 1e300}) expect_all_pairs<double>(factor, 1e-13);
  for (const double factor : {1e-30, 1e30}) expect_all_pairs<float>(factor, 2e-5);
}

TEST(Syevd, GivesTheTrivialPairsOfZero) {
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  DistMatrix<double> none(grid, 0, 0, 8), no_vectors(grid, 0, 0, 8);
  EXPECT_TRUE(syevd(std::move(none), no_vectors).empty());
  DistMatrix<double> zero(grid, 40, 40, 8), V(grid, 40, 40, 8), G(grid, 40, 40, 8);
  zero.fill([](Index, Index) { return 0.0; });
  test::poison(V);
  EXPECT_EQ(syevd(std::move(zero), V), std::vector<double>(40, 0.0));
  gemm(Trans::yes, Trans::no, 1.0, V, V, 0.0, G);
  test::expect_equal(
      G, [](Index i, Index j) { return i == j ? 1.0 : 0.0; }, 1e-13);
}

TEST(Libraries, TellTheirVersions) {
  const auto number = [](const std::string& text) {
    return !text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) != 0 &&
           text.find('.') != std::string::npos;
  };
  EXPECT_TRUE(number(blas::lapack_version())) << blas::lapack_version();
  EXPECT_TRUE(number(scalapack_version())) << scalapack_version();
  EXPECT_TRUE(number(io::hdf5_version())) << io::hdf5_version();
  EXPECT_EQ(comm::mpi_library().find_first_of(",\n"), std::string::npos);
  EXPECT_GE(comm::mpi_library().size(), 5u);
  const blas::Build build = blas::build();
  if (build.library.starts_with("OpenBLAS")) {
    EXPECT_TRUE(number(build.library.substr(9))) << build.library;
    EXPECT_NE(build.kernel, "unknown");
  } else {
    EXPECT_FALSE(build.library.empty());
  }
}

TEST(Eigensolvers, TellWhatTheElpaBuildCanDo) {
  const ElpaBuild& build = elpa_build();
  EXPECT_FALSE(build.version.empty());
  EXPECT_NE(build.default_kernel.find("2STAGE_REAL"), std::string::npos) << build.default_kernel;
  EXPECT_NE(build.version.find("20"), std::string::npos) << build.version;  // a year, an interface
  EXPECT_EQ(build.generic_kernels, build.default_kernel.find("GENERIC") != std::string::npos);
}

}  // namespace
}  // namespace mercer::la
