#include <gtest/gtest.h>

#include "mercer/la/elpa.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "spectral/time_backends.hpp"
#include "sweep.hpp"

namespace mercer::spectral {
namespace {

using comm::Communicator;
using dist::DistMatrix;
using dist::ProcessGrid;

const std::vector<Method> kSolvers{Method::elpa1, Method::elpa2, Method::scalapack, Method::lapack};

TEST(Eigenpairs, AreRightOnEveryGridForAwkwardSizesAndBlocks) {
  // 113 is prime to every factor of the product, so that each size meets each method and oracle.
  const Index solved =
      test::sweep(113, {1, 2, 3, 7, 13, 31, 63, 64, 65, 97, 150, 300}, {8, 16, 24, 32, 64});
  EXPECT_GE(solved, 20);
}

TEST(Eigenpairs, AreRightWhereTheOwnWorkspaceQueryOfPdsyevdIsTooSmall) {
  // On a 2 x 3 grid, blocks of 16 and n = 40, p?syevd hangs or gives wrong vectors with INFO = 0.
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  for (const Index n : {17, 40, 130})
    for (const Index nb : {8, 16, 64})
      test::expect_right(test::min_oracle(n), grid, n, nb, n, Method::scalapack);
}

TEST(Eigenpairs, AreRightWhereElpaRefusesEmptyProcessColumns) {
  const auto world = Communicator::world();
  for (const auto shape : test::grid_shapes(world.size())) {
    const ProcessGrid grid(world, shape);
    for (const Method method : {Method::elpa1, Method::elpa2}) {
      const auto pairs = test::expect_right(test::min_oracle(70), grid, 70, 64, 5, method);
      EXPECT_EQ(pairs.method, method);
      EXPECT_EQ(la::elpa_accepts(70, 64, shape), pairs.reason.find(';') == std::string::npos)
          << pairs.reason;
    }
  }
}

TEST(Eigenpairs, AreTheTopOnesForEverySmallK) {
  // p?syevr returns orthonormal garbage with INFO = 0 for k below about the block size.
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  for (const Index k : {1, 2, 9, 20, 30})
    for (const Method method : kSolvers)
      test::expect_right(test::circulant_oracle(160), grid, 160, 32, k, method);
}

TEST(Eigenpairs, AreRightForProportionalColumns) {
  // ELPA's 2-stage solver returned OK and values wrong by up to 0.1 lambda_1: min(i, j) has
  // proportional columns in its first panel, as a kernel has for equal points.
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  for (const Index n : {90, 150, 300})
    for (const Method method : {Method::elpa1, Method::elpa2})
      test::expect_right(test::min_oracle(n), grid, n, 32, n, method);
  for (const Method method : kSolvers) {  // 40 copies of each of 5 points: rank 5
    DistMatrix<double> K(grid, 200, 200, 16);
    K.fill([](Index i, Index j) {
      return i / 40 == j / 40 ? 1.0 : std::exp(-std::abs(i / 40 - j / 40));
    });
    const auto pairs = eigenpairs(std::move(K), {.method = method});
    for (std::size_t i = 5; i < 200; ++i) EXPECT_NEAR(pairs.values[i], 0, 1e-12 * pairs.values[0]);
  }
}

TEST(Eigenpairs, OfOneTriangleAloneAreRefused) {
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  const Index n = 80;
  for (const Method method : kSolvers)
    for (const bool lower : {true, false})
      for (const bool vectors : {true, false}) {
        DistMatrix<double> K(grid, n, n, 8);
        K.fill([&](Index i, Index j) {
          return i == j || (i > j) == lower ? test::MinMatrix{n}(i, j) : 0.0;
        });
        Options options;
        options.method = method;
        options.vectors = vectors;
        EXPECT_THROW(eigenpairs(std::move(K), options), RunError)
            << name(method) << (lower ? " lower" : " upper");
      }
}

TEST(Eigenpairs, OfMatricesThatAreNotFiniteAreRefused) {
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  for (const double bad : {test::kNaN, std::numeric_limits<double>::infinity()}) {
    DistMatrix<double> K(grid, 50, 50, 8);
    K.fill([&](Index i, Index j) { return i == 3 && j == 4 ? bad : test::MinMatrix{50}(i, j); });
    EXPECT_THROW(eigenpairs(std::move(K)), RunError);
  }
}

TEST(Eigenpairs, RefuseATopThatIsNotBetweenOneAndN) {
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  for (const Index top : {0, 11}) {
    DistMatrix<double> K(grid, 10, 10, 4);
    K.fill(test::MinMatrix{10});
    EXPECT_THROW(eigenpairs(std::move(K), {.top = top}), InputError);
  }
  DistMatrix<double> wide(grid, 10, 11, 4);
  EXPECT_THROW(eigenpairs(std::move(wide)), InputError);
}

TEST(Eigenpairs, OfAnEmptyMatrixAreNone) {
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  const auto pairs = eigenpairs(DistMatrix<double>(grid, 0, 0, 16));
  EXPECT_EQ(pairs.k(), 0);
  EXPECT_EQ(pairs.n(), 0);
}

TEST(Eigenpairs, OfTheZeroMatrixAreZero) {
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  for (const Method method : kSolvers) {
    DistMatrix<double> K(grid, 70, 70, 8);
    K.fill([](Index, Index) { return 0.0; });
    const auto pairs = eigenpairs(std::move(K), {.method = method});
    for (const double v : pairs.values) EXPECT_EQ(v, 0.0);
    EXPECT_TRUE(pairs.orthogonality <= 1e-12);
  }
}

TEST(Eigenpairs, WithoutVectorsHaveTheSameValues) {
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  for (const Index n : {5, 90})
    for (const Method method : kSolvers) {
      const auto oracle = test::min_oracle(n);
      DistMatrix<double> K(grid, n, n, 8);
      K.fill(oracle.entry);
      const auto pairs = eigenpairs(std::move(K), {.top = 4, .vectors = false, .method = method});
      ASSERT_EQ(pairs.k(), 4);
      EXPECT_EQ(pairs.vectors.cols(), 0);
      EXPECT_EQ(pairs.n(), n);
      EXPECT_TRUE(pairs.residuals.empty());
      for (std::size_t i = 0; i < 4; ++i)
        EXPECT_NEAR(pairs.values[i], oracle.values[i],
                    1e-12 * static_cast<double>(n) * oracle.values[0]);
      EXPECT_NEAR(pairs.next, oracle.values[4], 1e-12 * static_cast<double>(n) * oracle.values[0]);
    }
}

TEST(Eigenpairs, MeasureTheTraceWhereAllValuesAreKnown) {
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  const Index n = 100;
  DistMatrix<double> K(grid, n, n, 16);
  K.fill(test::MinMatrix{n});
  const auto pairs = eigenpairs(std::move(K));
  EXPECT_NEAR(pairs.trace, n * (n + 1) / 2.0, 1e-9);
  EXPECT_TRUE(pairs.trace_error >= 0 && pairs.trace_error <= 1e-13) << pairs.trace_error;
}

TEST(Eigenpairs, EstimateTheirResidualsWithinTheProbesDeviation) {
  // Wrong on purpose: the spectrum of another matrix. The estimate of |r| has 16 degrees of
  // freedom.
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  const Index n = 100;
  const auto oracle = test::min_oracle(n);
  DistMatrix<double> K(grid, n, n, 16);
  K.fill(oracle.entry);
  Options lenient;
  lenient.tolerance = 1;
  // With one triangle only the solvers see another matrix than the probes.
  K.fill([&](Index i, Index j) { return i >= j ? oracle.entry(i, j) : 0.9 * oracle.entry(i, j); });
  DistMatrix<double> again = K.copy();
  auto pairs = eigenpairs(std::move(K), lenient);
  const auto estimated = pairs.residuals;
  measure_residuals(again, pairs);
  EXPECT_TRUE(pairs.residuals_exact);
  Index compared = 0;
  for (std::size_t i = 0; i < estimated.size(); ++i)
    if (pairs.residuals[i] > 1e-6) {
      const double ratio = estimated[i] / pairs.residuals[i];
      EXPECT_TRUE(ratio > 0.3 && ratio < 2.0) << i << " " << ratio;
      ++compared;
    }
  EXPECT_GE(compared, 20);
}

TEST(Eigenpairs, InSinglePrecisionReachSinglePrecision) {
  const auto world = Communicator::world();
  for (const auto shape : test::grid_shapes(world.size())) {
    const ProcessGrid grid(world, shape);
    for (const Index n : {3, 70, 150})
      for (const Method method : {Method::automatic, Method::elpa1, Method::scalapack}) {
        const auto oracle = test::min_oracle(n);
        DistMatrix<float> K(grid, n, n, 16);
        K.fill(oracle.entry);
        const auto pairs = eigenpairs(std::move(K), {.top = (n + 1) / 2, .method = method});
        for (std::size_t i = 0; i < pairs.values.size(); ++i)
          EXPECT_NEAR(pairs.values[i], oracle.values[i], 2e-6 * oracle.values[0]);
        EXPECT_TRUE(pairs.orthogonality <= 2e-5);
        if (!la::elpa_build().single_precision && method == Method::elpa1) {
          EXPECT_NE(pairs.reason.find("no single precision"), std::string::npos) << pairs.reason;
        }
      }
  }
}

TEST(Eigenpairs, AreTheSameForEveryGridBlockSizeAndMethod) {
  const auto world = Communicator::world();
  const Index n = 120;
  const auto oracle = test::min_oracle(n);
  for (const auto shape : test::grid_shapes(world.size())) {
    const ProcessGrid grid(world, shape);
    for (const Index nb : {8, 25})
      for (const Method method : kSolvers) {
        DistMatrix<double> K(grid, n, n, nb);
        K.fill(oracle.entry);
        const auto pairs = eigenpairs(std::move(K), {.top = 10, .method = method});
        // Simple eigenvalues: vectors are the closed form's up to their sign, found from row 0,
        // where no v_m of this matrix vanishes.
        std::vector<double> sign(10, 0.0);
        for (Index j = 0; j < pairs.vectors.local_cols(); ++j)
          if (pairs.vectors.row_map().mine({0}) && grid.active())
            sign[static_cast<std::size_t>(pairs.vectors.col_map().global({j}).value)] =
                pairs.vectors.local()(0, j) > 0 ? 1 : -1;
        grid.all().all_reduce(std::span<double>(sign), comm::Op::sum);
        test::expect_equal(
            pairs.vectors,
            [&](Index i, Index j) {
              return sign[static_cast<std::size_t>(j)] * test::MinMatrix{n}.eigenvector(i, j);
            },
            1e-10);
      }
  }
}

TEST(Choice, TakesLapackForTinyMatricesAndSaysWhy) {
  EXPECT_EQ(choose(64, 64, true, {2, 3}, false).method, Method::lapack);
  const Choice choice = choose(3000, 100, true, {1, 2}, false);
  EXPECT_NE(choice.method, Method::lapack);
  EXPECT_GT(choice.seconds, 0);
  EXPECT_NE(choice.reason.find(name(choice.method)), std::string::npos) << choice.reason;
}

TEST(Choice, IsOfThoseThatFitTheMemory) {
  for (const bool vectors : {false, true}) {
    const auto bytes = [&](Method m) {
      return plan(5000, 5000, vectors, m, {1, 2}, 64, false).bytes_per_rank;
    };
    const auto chosen = [&](double room) {
      return choose(5000, 5000, vectors, {1, 2}, false, room, 64);
    };
    for (const Method m : {Method::elpa1, Method::elpa2, Method::scalapack})
      EXPECT_LE(bytes(chosen(bytes(m)).method), bytes(m)) << name(m);
    const auto least = chosen(1);  // none fits
    EXPECT_EQ(least.method, Method::scalapack);
    EXPECT_NE(least.reason.find("elpa2 takes"), std::string::npos) << least.reason;
  }
}

TEST(Choice, HasNoElpaInSinglePrecisionWhereTheBuildHasNone) {
  if (la::elpa_build().single_precision) GTEST_SKIP() << "this ELPA has single precision";
  EXPECT_EQ(choose(3000, 100, true, {1, 2}, true).method, Method::scalapack);
}

TEST(Timings, OfEveryBackendComeWithTheirChecks) {
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  const auto timings = time_backends<double>(
      [&] { return sample_kernel<double>(grid, 120, recommended_block(120, grid.shape())); }, 10);
  ASSERT_EQ(timings.size(), 4u);
  for (const auto& t : timings) {
    EXPECT_TRUE(t.failure.empty()) << t.failure;
    EXPECT_GT(t.seconds, 0);
    EXPECT_TRUE(t.residual <= 1e-13);
  }
}

}  // namespace
}  // namespace mercer::spectral
