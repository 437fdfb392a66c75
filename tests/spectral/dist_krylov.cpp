#include <gtest/gtest.h>

#include "mercer/spectral/krylov.hpp"
#include "support/dense_operator.hpp"
#include "sweep.hpp"

namespace mercer::spectral {
namespace {

using comm::Communicator;
using test::DenseOperator;

/// Expects values, exact residuals and orthogonality, independently of what krylov() measures.
TopPairs expect_right(const test::Oracle& oracle, Index n, KrylovOptions options) {
  const auto world = Communicator::world();
  SCOPED_TRACE(oracle.name + " n " + std::to_string(n) + " k " + std::to_string(options.top) +
               " block " + std::to_string(options.block) + " basis " +
               std::to_string(options.basis));
  const DenseOperator K(world, n, oracle.entry);
  auto pairs = krylov(K, options);
  const double lambda1 = oracle.values[0] > 0 ? oracle.values[0] : 1;
  EXPECT_EQ(pairs.k(), options.top);
  EXPECT_EQ(pairs.vectors.rows(), K.local_rows());
  EXPECT_EQ(pairs.vectors.cols(), options.top);
  EXPECT_TRUE(pairs.finished);
  EXPECT_FALSE(pairs.residuals_exact);
  for (std::size_t i = 0; i < pairs.values.size(); ++i)
    EXPECT_TRUE(std::abs(pairs.values[i] - oracle.values[i]) <= options.tolerance * lambda1)
        << "value " << i << " " << pairs.values[i] << " is not " << oracle.values[i];
  const auto next = static_cast<std::size_t>(std::min(options.top, n - 1));
  EXPECT_TRUE(std::abs(pairs.next - oracle.values[next]) <= options.tolerance * lambda1)
      << pairs.next << " is not " << oracle.values[next];
  measure_residuals(K, pairs);
  EXPECT_TRUE(pairs.residuals_exact);
  EXPECT_EQ(static_cast<Index>(pairs.residuals.size()), options.top);
  for (const double r : pairs.residuals) EXPECT_TRUE(r <= 1.5 * options.tolerance) << r;
  EXPECT_TRUE(pairs.orthogonality <= 1e-13) << pairs.orthogonality;
  double sum = 0;
  for (const double v : oracle.values) sum += v;
  EXPECT_NEAR(pairs.trace, sum, 1e-12 * static_cast<double>(n) * lambda1);
  return pairs;
}

TEST(Krylov, FindsTheTopPairsOfEveryOracle) {
  for (const Index n : {1, 2, 3, 7, 50, 120, 200})
    for (const int kind : {0, 1, 2})
      for (const Index k : {Index{1}, (n + 9) / 10, (n + 1) / 2})
        expect_right(test::oracle(kind, n), n, {.top = k});
}

TEST(Krylov, FindsAlmostAllAndAllPairs) {
  for (const Index n : {1, 2, 9, 60})
    for (const int kind : {0, 1, 2})
      for (const Index k : {std::max<Index>(1, n - 1), n})
        expect_right(test::oracle(kind, n), n, {.top = k});
}

TEST(Krylov, RestartsInABasisThatHasHardlyMoreThanTheWantedPairs) {
  for (const int kind : {0, 1, 2}) {
    const auto pairs =
        expect_right(test::oracle(kind, 200), 200, {.top = 10, .block = 4, .basis = 23});
    EXPECT_GE(pairs.restarts, 1);
    EXPECT_EQ(pairs.basis, 23);
  }
}

/// A matrix of the given spectrum (any order).
test::Oracle prescribed(const std::string& name, std::vector<double> lambda) {
  std::ranges::sort(lambda, std::greater<>());
  return {name, test::HouseholderMatrix(lambda), lambda};
}

/// `copies` times 1, then 0.9^j.
test::Oracle multiple(Index n, Index copies, double value) {
  std::vector<double> lambda(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i)
    lambda[static_cast<std::size_t>(i)] =
        i < copies ? value : std::pow(0.9, static_cast<double>(i - copies));
  return prescribed("multiple", lambda);
}

TEST(Krylov, FindsEveryCopyOfEigenvaluesOfHigherMultiplicityThanTheBlock) {
  for (const Index block : {1, 3, 5})
    for (const Index copies : {5, 12})
      for (const double value : {1.0, 0.85})  // the largest; one among others
        expect_right(multiple(120, copies, value), 120,
                     {.top = 20, .tolerance = 1e-9, .block = block});
  // In a basis that has no room for all copies beside what was found before.
  expect_right(multiple(120, 30, 0.85), 120,
               {.top = 20, .tolerance = 1e-9, .block = 2, .basis = 9});
}

TEST(Krylov, FindsTheTopOfAMatrixWithFewDistinctEigenvalues) {
  // As kernels on the corners of a cube have: multiplicities 1, 7, 21, 35, 35, 21, 7, 1.
  std::vector<double> lambda;
  for (const auto& [value, copies] : std::vector<std::pair<double, int>>{
           {1, 1}, {0.4, 7}, {0.1, 21}, {0.02, 35}, {3e-3, 35}, {1e-4, 21}, {1e-6, 7}, {0, 1}})
    lambda.insert(lambda.end(), static_cast<std::size_t>(copies), value);
  for (const Index k : {1, 8, 20, 29, 64, 127, 128})
    for (const Index block : {0, 6})
      expect_right(prescribed("cube", lambda), 128, {.top = k, .block = block});
}

TEST(Krylov, OfTheZeroMatrixTheIdentityAndLowRanksIsRight) {
  for (const Index n : {1, 5, 90}) {
    expect_right(prescribed("zero", std::vector<double>(static_cast<std::size_t>(n), 0.0)), n,
                 {.top = (n + 1) / 2});
    expect_right(prescribed("identity", std::vector<double>(static_cast<std::size_t>(n), 1.0)), n,
                 {.top = (n + 1) / 2});
  }
  for (const Index k : {1, 3, 4, 5, 40}) {
    std::vector<double> lambda(90, 0.0);
    for (std::size_t i = 0; i < 4; ++i) lambda[i] = std::pow(0.5, static_cast<double>(i));
    expect_right(prescribed("rank 4", lambda), 90, {.top = k});
  }
}

TEST(Krylov, ReachesPairsFarBelowTheLargest) {
  std::vector<double> lambda(200);
  for (std::size_t i = 0; i < 200; ++i) lambda[i] = std::pow(10.0, -0.05 * static_cast<double>(i));
  lambda[0] = 1e5;
  expect_right(prescribed("far", lambda), 200, {.top = 60, .tolerance = 1e-12});
}

TEST(Krylov, SeparatesAGapOfOneInTenToTheTen) {
  std::vector<double> lambda(150);
  for (std::size_t i = 0; i < 150; ++i) lambda[i] = std::pow(0.93, static_cast<double>(i));
  lambda[20] = lambda[19] - 1e-10;
  const auto oracle = prescribed("gap", lambda);
  for (const Index k : {19, 20, 21}) {
    const auto pairs = expect_right(oracle, 150, {.top = k, .tolerance = 1e-12});
    EXPECT_EQ(pairs.warning.find("eigenvalues 20 to 21") != std::string::npos, k == 20)
        << pairs.warning;
  }
}

TEST(Krylov, SaysWhichClusterIsCut) {
  const auto world = Communicator::world();
  const Index n = 60;
  const auto circle = test::circulant_oracle(n);
  const DenseOperator K(world, n, circle.entry);
  // 1, 2, 2, 4, 4, ...: double but the first.
  EXPECT_EQ(krylov(K, {.top = 5}).warning, "");
  const auto cut = krylov(K, {.top = 4}).warning;
  EXPECT_NE(cut.find("eigenvalues 4 to 5"), std::string::npos) << cut;
  EXPECT_NE(cut.find("k = 3 does not"), std::string::npos) << cut;
}

/// Cosine of the largest angle between the pairs' space and that of the first k vectors of the
/// oracle's Householder matrix.
double alignment(const TopPairs& pairs, const DenseOperator& K, const test::HouseholderMatrix& H,
                 Index k) {
  double least = 1;
  for (Index m = 0; m < k; ++m) {
    std::vector<double> c(static_cast<std::size_t>(pairs.k()), 0.0);
    for (Index j = 0; j < pairs.k(); ++j)
      for (Index i = 0; i < K.local_rows(); ++i)
        c[static_cast<std::size_t>(j)] += pairs.vectors(i, j) * H.eigenvector(K.first_row() + i, m);
    K.comm().all_reduce(std::span<double>(c), comm::Op::sum);
    double square = 0;
    for (const double x : c) square += x * x;
    least = std::min(least, std::sqrt(square));
  }
  return least;
}

TEST(Krylov, SpansTheRightSpaceToTheAccuracyOfTheGap) {
  const auto world = Communicator::world();
  std::vector<double> lambda(150);
  for (std::size_t i = 0; i < 150; ++i) lambda[i] = std::pow(0.9, static_cast<double>(i));
  const test::HouseholderMatrix H(lambda);
  const DenseOperator K(world, 150, H);
  const auto pairs = krylov(K, {.top = 15});
  // sin <= residual / gap, 1 - cos its square.
  EXPECT_TRUE(1 - alignment(pairs, K, H, 15) <= 1e-13);
}

TEST(Krylov, TakesFewerProductsFromTheVectorsOfASimilarMatrix) {
  const auto world = Communicator::world();
  const Index n = 300, k = 20;
  std::vector<double> lambda(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i)
    lambda[static_cast<std::size_t>(i)] = std::pow(static_cast<double>(i + 1), -1.5);
  const test::HouseholderMatrix A(lambda);
  const DenseOperator K(world, n, A);
  for (const double change : {0.0, 1e-9, 1e-6, 1e-4}) {
    const DenseOperator changed(world, n, [&](Index i, Index j) {
      return A(i, j) +
             change / static_cast<double>(n) * std::cos(static_cast<double>((i - j) * (i - j)));
    });
    const auto before = krylov(changed, {.top = k, .tolerance = 1e-8});
    const auto cold = krylov(K, {.top = k, .tolerance = 1e-8});
    const auto start = warm_start(before);
    ASSERT_EQ(start.cols(), k + 1);
    const auto warm = krylov(K, {.top = k, .tolerance = 1e-8, .start = start.view()});
    EXPECT_LT(warm.products, cold.products) << change;
    for (std::size_t i = 0; i < static_cast<std::size_t>(k); ++i)
      EXPECT_NEAR(warm.values[i], lambda[i], 1e-8);
    EXPECT_NEAR(warm.next, lambda[static_cast<std::size_t>(k)], 1e-8);
    EXPECT_TRUE(warm.orthogonality <= 1e-13);
  }
}

TEST(Krylov, FindsTheTopWhenItStartsFromOtherEigenvectors) {
  const auto world = Communicator::world();
  const Index n = 120, k = 6;
  const auto oracle = test::min_oracle(n);
  const DenseOperator K(world, n, oracle.entry);
  Matrix<double> wrong(K.local_rows(), 2 * k, 0.0);  // pairs k + 1 ... 2 k, and zeros
  for (Index j = 0; j < k; ++j)
    for (Index i = 0; i < K.local_rows(); ++i)
      wrong(i, j) = 1e3 * test::MinMatrix{n}.eigenvector(K.first_row() + i, k + j);
  const auto pairs = krylov(K, {.top = k, .start = wrong.view()});
  for (std::size_t i = 0; i < static_cast<std::size_t>(k); ++i)
    EXPECT_NEAR(pairs.values[i], oracle.values[i], 1e-10 * oracle.values[0]);
}

KrylovState copy(const KrylovState& state) {
  KrylovState result;
  result.set_numbers(state.numbers());
  result.basis = state.basis.copy();
  result.projection = state.projection.copy();
  result.images = state.images.copy();
  return result;
}

TEST(Krylov, GoesOnFromAStateWithTheBitsOfAnUndisturbedRun) {
  const auto world = Communicator::world();
  const Index n = 200;
  const auto oracle = test::oracle(1, n);
  const DenseOperator K(world, n, oracle.entry);
  const KrylovOptions options{.top = 12, .block = 4, .basis = 30};
  const auto whole = krylov(K, options);
  Index stops = 0;
  for (const Index stop : {1, 3, 7, 12, 20}) {
    KrylovState state;
    Index calls = 0;
    auto interrupted = options;
    interrupted.checkpoint = [&](const KrylovState& now) {
      if (++calls < stop) return false;
      state = copy(now);
      return true;
    };
    const auto none = krylov(K, interrupted);
    if (none.finished) continue;  // it was done before
    ++stops;
    EXPECT_EQ(none.k(), 0);
    auto resumed = options;
    resumed.resume = &state;
    const auto pairs = krylov(K, resumed);
    EXPECT_EQ(pairs.products, whole.products);
    EXPECT_EQ(pairs.restarts, whole.restarts);
    EXPECT_EQ(pairs.values, whole.values);
    EXPECT_EQ(pairs.residuals, whole.residuals);
    Index different = 0, compared = 0;
    for (Index j = 0; j < pairs.k(); ++j)
      for (Index i = 0; i < pairs.vectors.rows(); ++i, ++compared)
        different += pairs.vectors(i, j) != whole.vectors(i, j);
    EXPECT_EQ(different, 0);
    EXPECT_EQ(compared, K.local_rows() * 12);
  }
  EXPECT_GE(stops, 4);
}

TEST(Krylov, IsTheSameForEveryBlockAndBasis) {
  const auto oracle = test::circulant_oracle(100);
  for (const Index block : {1, 2, 7, 32, 100})
    for (const Index basis : {0, 30, 100})
      expect_right(oracle, 100, {.top = 9, .block = block, .basis = basis});
}

TEST(Krylov, RefusesWhatItCannotDo) {
  const auto world = Communicator::world();
  const Index n = 40;
  const auto oracle = test::min_oracle(n);
  const DenseOperator K(world, n, oracle.entry);
  EXPECT_THROW(krylov(K, {.top = 0}), InputError);
  EXPECT_THROW(krylov(K, {.top = 41}), InputError);
  EXPECT_THROW(krylov(K, {.tolerance = 1e-15}), InputError);
  EXPECT_THROW(krylov(K, {.tolerance = test::kNaN}), InputError);
  EXPECT_THROW(krylov(K, {.block = -1}), InputError);
  EXPECT_THROW(krylov(K, {.top = 4, .basis_bytes = 100}), MemoryError);
  EXPECT_THROW(krylov(K, {.top = 10, .block = 2, .max_products = 6}), RunError);
  Matrix<double> start(K.local_rows() + (world.rank() == 0 ? 1 : 0), 2, 1.0);
  EXPECT_THROW(krylov(K, {.top = 2, .start = start.view()}), InputError);
  KrylovState other;
  EXPECT_THROW(krylov(K, {.top = 2, .resume = &other}), InputError);
}

TEST(Krylov, OfProductsThatAreNotFiniteOrNotSymmetricEndsTheRun) {
  const auto world = Communicator::world();
  const Index n = 50;
  for (const double bad : {test::kNaN, std::numeric_limits<double>::infinity()}) {
    const DenseOperator K(world, n, [&](Index i, Index j) {
      return i == 3 && j == 4 ? bad : test::MinMatrix{n}(i, j);
    });
    EXPECT_THROW(krylov(K, {.top = 3}), RunError);
  }
  const DenseOperator K(world, n, [&](Index i, Index j) {
    return i >= j ? test::MinMatrix{n}(i, j) : 0.9 * test::MinMatrix{n}(i, j);
  });
  EXPECT_THROW(krylov(K, {.top = 3}), RunError);
}

TEST(Krylov, OfAnEmptyMatrixGivesNothing) {
  const DenseOperator K(Communicator::world(), 0, [](Index, Index) { return 0.0; });
  EXPECT_EQ(krylov(K, {}).k(), 0);
}

TEST(Krylov, StaysWithinTheMemoryThatItIsGiven) {
  const Index n = 20000, k = 100;
  for (const int ranks : {1, 4}) {
    const KrylovOptions free{.top = k};
    const auto sizes = krylov_sizes(n, ranks, free);
    const double bytes = krylov_bytes(n, k, ranks, sizes);
    const auto less = krylov_sizes(n, ranks, {.top = k, .basis_bytes = 0.7 * bytes});
    EXPECT_LT(less.basis, sizes.basis);
    EXPECT_GE(less.basis, k + 1 + 3 * less.block);
    EXPECT_LE(krylov_bytes(n, k, ranks, less), 0.7 * bytes);
    EXPECT_GT(krylov_bytes(n, k, ranks, {less.block, less.basis + 1}), 0.7 * bytes);
  }
}

TEST(Krylov, TellsItsProgress) {
  const auto oracle = test::min_oracle(100);
  const DenseOperator K(Communicator::world(), 100, oracle.entry);
  Index calls = 0, last = 0, lines = 0;
  KrylovOptions options{.top = 10, .block = 4};
  options.progress = [&](Index products, Index converged, double residual) {
    ++calls;
    EXPECT_GT(products, last);
    EXPECT_LE(converged, 10);
    EXPECT_GE(residual, 0);
    last = products;
  };
  options.say = [&](const std::string&) { ++lines; };
  const auto pairs = krylov(K, options);
  EXPECT_GE(calls, pairs.products / 4 - 1);
  EXPECT_EQ(lines > 0, K.comm().root());
}

TEST(TopPairs, GoToAGridAndBack) {
  const auto world = Communicator::world();
  const Index n = 90, k = 7;
  const auto oracle = test::min_oracle(n);
  const DenseOperator K(world, n, oracle.entry);
  const auto pairs = krylov(K, {.top = k});
  for (const auto shape : test::grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    const auto there = on_grid<double>(pairs, n, grid, 8);
    EXPECT_EQ(there.values, pairs.values);
    EXPECT_EQ(there.next, pairs.next);
    EXPECT_EQ(there.method, Method::krylov);
    EXPECT_EQ(there.n(), n);
    const auto back = by_rows(there);
    EXPECT_EQ(back.values, pairs.values);
    Index different = 0, compared = 0;
    for (Index j = 0; j < k; ++j)
      for (Index i = 0; i < K.local_rows(); ++i, ++compared)
        different += back.vectors(i, j) != pairs.vectors(i, j);
    EXPECT_EQ(different, 0);
    EXPECT_EQ(compared, K.local_rows() * k);
  }
}

TEST(Eigenpairs, ByKrylovAreTheDirectSolversOnEveryGrid) {
  const auto world = Communicator::world();
  for (const auto shape : test::grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    for (const Index n : {1, 40, 150})
      for (const int kind : {0, 1, 2})
        for (const Index k : {(n + 9) / 10, n})
          test::expect_right(test::oracle(kind, n), grid, n, 8, k, Method::krylov);
  }
}

}  // namespace
}  // namespace mercer::spectral
