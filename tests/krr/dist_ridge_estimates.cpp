#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "krr/operators.hpp"
#include "mercer/krr/ridge_estimates.hpp"
#include "msk/pairs.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"

namespace mercer::krr {
namespace {

using test::Dense;
using test::DenseOperator;
using test::HouseholderMatrix;

double noisy(Index i, Index o) {
  const auto x = static_cast<double>(i);
  return std::sin(0.11 * x + static_cast<double>(o)) +
         0.3 * Random(5, Stream::test).normal(static_cast<std::uint64_t>(7 * i + o));
}

/// A Gaussian kernel of equispaced points, divided by n.
struct LineKernel {
  Index n;
  double operator()(Index i, Index j) const {
    return std::exp(-0.5 * std::pow(static_cast<double>(i - j) / 6, 2)) / static_cast<double>(n);
  }
};

struct Ridges : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  Index n = 160, c = 2;
  RowBlock<double> Y = test::row_block(world, n, c, noisy);
  DenseOperator K{world, n, LineKernel{n}};
  dist::ProcessGrid grid{world};
  /// diag(K) = 1/n: relative 1, 0.1 ...
  std::vector<double> ridges() const {
    std::vector<double> list;
    for (const double G : {1.0, 0.1, 0.01, 1e-3}) list.push_back(G / static_cast<double>(n));
    return list;
  }
  /// The exact scores, from all eigenpairs.
  std::vector<double> exact(RidgeCriterion criterion, const std::vector<double>& at) const {
    DistMatrix<double> A(grid, n, n, 16);
    A.fill(LineKernel{n});
    const auto pairs = spectral::eigenpairs(std::move(A));
    const auto spectrum =
        msk::SpectrumMap::parse("identity")
            .apply(pairs.values, pairs.next, true, msk::SpectrumMap::Positivity::nonnegative);
    const SpectralPath<double> path(pairs, spectrum, Y);
    return criterion == RidgeCriterion::gcv ? path.gcv(at) : path.leave_one_out(at);
  }
};

TEST_F(Ridges, EstimatesAgreeWithTheExactScoresWithinTheirErrors) {
  Index compared = 0;
  for (const auto criterion : {RidgeCriterion::gcv, RidgeCriterion::leave_one_out}) {
    const auto expected = exact(criterion, ridges());
    for (const Index rank : {0, 12})
      for (const std::uint64_t seed : {0, 1}) {
        const auto M = LowRankPreconditioner::pivoted_cholesky(K, rank, 1);
        RidgeEstimates estimates(K, M, Y, criterion,
                                 {.probes = 24, .tolerance = 1e-9, .seed = seed});
        const auto scores = estimates.scores(ridges());
        ASSERT_EQ(scores.size(), expected.size());
        for (std::size_t r = 0; r < scores.size(); ++r, ++compared) {
          const auto& s = scores[r];
          EXPECT_TRUE(s.converged);
          EXPECT_EQ(s.ridge, ridges()[r]);
          EXPECT_TRUE(std::abs(s.score - expected[r]) <= 4 * s.error)
              << s.ridge << " rank " << rank << " seed " << seed << ": " << s.score << " +- "
              << s.error << ", exact " << expected[r];
          EXPECT_TRUE(s.error <= 0.15 * s.score) << s.error / s.score;
        }
      }
  }
  EXPECT_EQ(compared, 2 * 2 * 2 * 4);
}

TEST_F(Ridges, OfAModifiedKernelTheyAreThoseOfTheInductivePredictor) {
  DistMatrix<double> A(grid, n, n, 16);
  A.fill(LineKernel{n});
  const auto pairs = spectral::eigenpairs(std::move(A));
  const Index k = 14;
  Index compared = 0, apart = 0;
  for (const char* g : {"flat", "l1", "inverse", "flat:0.01"}) {
    auto top = spectral::by_rows(pairs);
    top.values.resize(static_cast<std::size_t>(k));
    top.next = pairs.values[static_cast<std::size_t>(k)];
    Matrix<double> first(top.vectors.rows(), k);
    std::copy_n(top.vectors.data(), first.size(), first.data());
    top.vectors = std::move(first);
    const auto spectrum = msk::SpectrumMap::parse(g).apply(
        top.values, top.next, false, msk::SpectrumMap::Positivity::nonnegative);
    auto whole = spectrum;
    for (Index i = k; i < n; ++i) {
      whole.lambda.push_back(pairs.values[static_cast<std::size_t>(i)]);
      whole.g.push_back(whole.lambda.back());
    }
    const msk::Preconditioner<double> S(top, spectrum);
    const ModifiedOperator K_g(K, S);
    const SpectralPath<double> path(pairs, whole, Y);
    for (const auto criterion : {RidgeCriterion::gcv, RidgeCriterion::leave_one_out}) {
      const bool gcv = criterion == RidgeCriterion::gcv;
      const auto expected = gcv ? path.gcv(ridges()) : path.leave_one_out(ridges());
      for (const bool by_pairs : {true, false}) {
        const auto M = by_pairs ? LowRankPreconditioner::from_pairs(top, spectrum.g)
                                : LowRankPreconditioner::pivoted_cholesky(K_g, 12, 1);
        RidgeEstimates estimates(K_g, M, Y, criterion, {.probes = 24, .tolerance = 1e-9});
        const auto scores = estimates.scores(ridges());
        ASSERT_EQ(scores.size(), expected.size());
        for (std::size_t r = 0; r < scores.size(); ++r, ++compared) {
          const auto& s = scores[r];
          EXPECT_TRUE(std::abs(s.score - expected[r]) <= 4 * s.error)
              << g << " " << s.ridge << (by_pairs ? " pairs: " : " sketch: ") << s.score << " +- "
              << s.error << ", exact " << expected[r];
          EXPECT_TRUE(s.error <= 0.2 * s.score) << g << " " << s.error / s.score;
        }
        // As a matrix of its own K_g has another left-out error.
        const gram::Operator& fixed = K_g;
        const auto other = RidgeEstimates(fixed, M, Y, criterion, {.probes = 24, .tolerance = 1e-9})
                               .scores(ridges());
        for (std::size_t r = 0; r < scores.size(); ++r)
          apart += std::abs(other[r].score - expected[r]) > 6 * other[r].error;
      }
    }
  }
  EXPECT_EQ(compared, 4 * 2 * 2 * 4);
  EXPECT_GT(apart, 0);
}

TEST_F(Ridges, WithManyProbesOrTheWholeSpectrumTheyAreClose) {
  for (const auto criterion : {RidgeCriterion::gcv, RidgeCriterion::leave_one_out}) {
    const auto expected = exact(criterion, ridges());
    const auto sketch = LowRankPreconditioner::pivoted_cholesky(K, 25, 1);
    RidgeEstimates many(K, sketch, Y, criterion, {.probes = 300, .tolerance = 1e-9});
    const auto close = many.scores(ridges());
    const auto whole = LowRankPreconditioner::pivoted_cholesky(K, n, 1);
    RidgeEstimates all(K, whole, Y, criterion, {.probes = 4, .tolerance = 1e-11});
    const auto same = all.scores(ridges());
    for (std::size_t r = 0; r < expected.size(); ++r) {
      EXPECT_NEAR(close[r].score, expected[r], 0.02 * expected[r]);
      EXPECT_NEAR(same[r].score, expected[r], 1e-5 * expected[r]);
      EXPECT_LE(same[r].error, 1e-4 * expected[r]);
    }
  }
}

TEST_F(Ridges, TheLowRankPartMakesErrorsSmaller) {
  const std::vector<double> one{0.1 / static_cast<double>(n)};
  const LowRankPreconditioner none;
  const auto sketch = LowRankPreconditioner::pivoted_cholesky(K, 30, 1);
  for (const auto criterion : {RidgeCriterion::gcv, RidgeCriterion::leave_one_out}) {
    RidgeEstimates plain(K, none, Y, criterion, {.tolerance = 1e-10});
    RidgeEstimates helped(K, sketch, Y, criterion, {.tolerance = 1e-10});
    EXPECT_LT(3 * helped.scores(one)[0].error, plain.scores(one)[0].error);
  }
}

TEST_F(Ridges, AHoldoutSplitScoresRowsThatTheFitDoesNotSee) {
  const auto M = LowRankPreconditioner::pivoted_cholesky(K, 20, 1);
  RidgeEstimates estimates(K, M, Y, RidgeCriterion::holdout, {.tolerance = 1e-11, .seed = 3});
  const auto scores = estimates.scores(ridges());
  // The rows that are held out, by the same random numbers.
  std::vector<Index> in, out;
  const Random random(3, Stream::probe, 0x5248);
  for (Index i = 0; i < n; ++i)
    (random.uniform(static_cast<std::uint64_t>(i)) < 0.1 ? out : in).push_back(i);
  ASSERT_GT(out.size(), 5u);
  ASSERT_LT(out.size(), 40u);
  const Dense all = test::dense(n, n, LineKernel{n}), y = test::dense(n, c, noisy);
  const auto columns = test::range(0, c);
  for (std::size_t r = 0; r < scores.size(); ++r) {
    const Dense B = test::solved(test::plus_ridge(test::part(all, in, in), ridges()[r]),
                                 test::part(y, in, columns));
    const Dense f = test::times(test::part(all, out, in), B);
    double sum = 0;
    for (Index i = 0; i < f.rows(); ++i)
      for (Index o = 0; o < c; ++o)
        sum += std::pow(f(i, o) - y(out[static_cast<std::size_t>(i)], o), 2);
    const double rmse = std::sqrt(sum / static_cast<double>(f.rows() * c));
    // The jackknife moves the score by less than a tenth of its error.
    EXPECT_NEAR(scores[r].score, rmse, 0.5 * scores[r].error);
    EXPECT_NEAR(scores[r].score, rmse, 0.05 * rmse);
    EXPECT_GT(scores[r].error, 0.01 * rmse);
    EXPECT_LT(scores[r].error, 0.5 * rmse);
  }
}

TEST_F(Ridges, ScoresAreTheSameForEveryNumberOfRanks) {
  const comm::Communicator alone = world.split(world.rank(), 0);
  const DenseOperator same(alone, n, LineKernel{n});
  const auto y = test::row_block(alone, n, c, noisy);
  for (const auto criterion :
       {RidgeCriterion::gcv, RidgeCriterion::leave_one_out, RidgeCriterion::holdout}) {
    const auto M = LowRankPreconditioner::pivoted_cholesky(K, 20, 1);
    const auto M1 = LowRankPreconditioner::pivoted_cholesky(same, 20, 1);
    const RidgeEstimateOptions options{.probes = 8, .tolerance = 1e-11};
    const auto here = RidgeEstimates(K, M, Y, criterion, options).scores(ridges());
    const auto there = RidgeEstimates(same, M1, y, criterion, options).scores(ridges());
    for (std::size_t r = 0; r < here.size(); ++r) {
      EXPECT_NEAR(here[r].score, there[r].score, 1e-7 * there[r].score);
      EXPECT_NEAR(here[r].error, there[r].error, 1e-4 * there[r].error + 1e-8 * there[r].score);
    }
  }
}

TEST_F(Ridges, TheSearchFindsARidgeAsGoodAsTheExactOne) {
  DistMatrix<double> A(grid, n, n, 16);
  A.fill(LineKernel{n});
  const auto pairs = spectral::eigenpairs(std::move(A));
  const auto spectrum =
      msk::SpectrumMap::parse("identity")
          .apply(pairs.values, pairs.next, true, msk::SpectrumMap::Positivity::nonnegative);
  const SpectralPath<double> path(pairs, spectrum, Y);
  using Exact = SpectralPath<double>::Score;
  const auto M = LowRankPreconditioner::pivoted_cholesky(K, 80, 1);
  for (const auto criterion : {RidgeCriterion::gcv, RidgeCriterion::leave_one_out}) {
    Index told = 0;
    RidgeEstimateOptions options{.tolerance = 1e-8};
    options.done = [&](const RidgeScore&) { ++told; };
    const auto selection = RidgeEstimates(K, M, Y, criterion, options).select();
    const bool gcv = criterion == RidgeCriterion::gcv;
    const double best = path.select(gcv ? Exact::gcv : Exact::leave_one_out).ridge;
    const std::vector<double> both{selection.ridge, best};
    const auto scores = exact(criterion, both);
    EXPECT_LE(scores[0], 1.02 * scores[1]) << selection.ridge << " " << best;
    EXPECT_EQ(selection.edge, RidgeSelection::Edge::none);
    EXPECT_EQ(told, std::ssize(selection.tried));
    EXPECT_GT(told, 4);
    EXPECT_LT(told, 24);
    EXPECT_EQ(selection.best.ridge, selection.ridge);
    for (std::size_t i = 1; i < selection.tried.size(); ++i)
      EXPECT_LT(selection.tried[i - 1].ridge, selection.tried[i].ridge);
  }
  const auto held = RidgeEstimates(K, M, Y, RidgeCriterion::holdout, {.held_out = 0.3}).select();
  const std::vector<double> at{held.ridge, path.select(Exact::leave_one_out).ridge};
  const auto scores = exact(RidgeCriterion::leave_one_out, at);
  EXPECT_LE(scores[0], 1.3 * scores[1]);
}

TEST_F(Ridges, OfAListTheBestIsJudgedByTheErrorOfDifferences) {
  const auto score = [](double ridge, double value, double error, std::vector<double> replicates,
                        bool converged = true) {
    RidgeScore s{.ridge = ridge, .score = value, .converged = converged};
    s.error = error;
    s.replicates = std::move(replicates);
    return s;
  };
  // Errors of 20 %, of which the common probes leave 1 % in the differences: those of 10 % decide.
  std::vector<RidgeScore> scores{score(1, 1.2, 0.24, {0.20, -0.20, 0.01}),
                                 score(1e-2, 1.1, 0.22, {0.21, -0.21, 0.0}),
                                 score(1e-4, 1.0, 0.20, {0.20, -0.21, 0.01})};
  EXPECT_EQ(RidgeEstimates::best(scores), 2u);
  scores[1].score = 1.001;  // within the error of the difference
  EXPECT_EQ(RidgeEstimates::best(scores), 1u);
  scores[1].converged = false;
  EXPECT_EQ(RidgeEstimates::best(scores), 2u);
  std::reverse(scores.begin(), scores.end());  // in any order
  EXPECT_EQ(RidgeEstimates::best(scores), 0u);
  for (auto& s : scores) s.converged = false;
  const auto refused = [&] { return test::error<RunError>([&] { RidgeEstimates::best(scores); }); };
  test::expect_words(refused(), {"1.00e-04 ... 1.00e+00", "`max_iterations`"});
  for (auto& s : scores) s.failure = "K is not positive definite";
  test::expect_words(refused(), {"1.00e-04 ... 1.00e+00", "K is not positive definite"});
}

TEST_F(Ridges, TargetsWithoutStructureTakeTheLargestRidge) {
  const auto noise = test::row_block(world, n, 1, [](Index i, Index) {
    return Random(9, Stream::test).normal(static_cast<std::uint64_t>(i));
  });
  const auto M = LowRankPreconditioner::pivoted_cholesky(K, 30, 1);
  const auto selection = RidgeEstimates(K, M, noise, RidgeCriterion::gcv).select();
  EXPECT_GE(selection.ridge, 1.0 / static_cast<double>(n));
}

/// Without noise the best ridge is small, and residuals of the fit with it.
TEST_F(Ridges, SmoothTargetsTakeASmallRidge) {
  const auto smooth = test::row_block(
      world, n, 1, [](Index i, Index) { return std::sin(0.11 * static_cast<double>(i)); });
  const auto M = LowRankPreconditioner::pivoted_cholesky(K, n, 1);
  const auto selection = RidgeEstimates(K, M, smooth, RidgeCriterion::gcv).select();
  EXPECT_LT(selection.ridge, 1e-4 / static_cast<double>(n));
  EXPECT_LE(selection.best.solver_error, 0.1);
  for (const auto& s : selection.tried)
    EXPECT_TRUE(s.ridge <= 10 * selection.ridge || s.score > selection.best.score) << s.ridge;
}

TEST_F(Ridges, AnIndefiniteKernelEndsTheSearchWithoutAnError) {
  auto lambda = test::geometric(n, 1, 0.9);
  lambda.back() = -1e-3;
  const DenseOperator bad(world, n, HouseholderMatrix(lambda));
  const LowRankPreconditioner none;
  RidgeEstimates estimates(bad, none, Y, RidgeCriterion::gcv, {.probes = 8});
  const std::vector<double> list{1e-6, 0.1};
  const auto scores = estimates.scores(list);
  EXPECT_EQ(scores[0].score, std::numeric_limits<double>::infinity());
  EXPECT_FALSE(scores[0].converged);
  test::expect_words(scores[0].failure, {"not positive definite"});
  EXPECT_TRUE(std::isfinite(scores[1].score));
  EXPECT_GT(estimates.select().ridge, 1e-3);
}

TEST_F(Ridges, BadArgumentsAreInputErrors) {
  const LowRankPreconditioner none;
  const auto shorter = test::row_block(world, n - 1, 1, noisy);
  EXPECT_THROW(RidgeEstimates(K, none, shorter, RidgeCriterion::gcv), InputError);
  EXPECT_THROW(RidgeEstimates(K, none, Y, RidgeCriterion::gcv, {.probes = 1}), InputError);
  for (const double share : {0.0, 1.0, 1e-9})
    EXPECT_THROW(RidgeEstimates(K, none, Y, RidgeCriterion::holdout, {.held_out = share}),
                 InputError);
  RidgeEstimates estimates(K, none, Y, RidgeCriterion::gcv, {.probes = 4});
  for (const double ridge : {0.0, -1.0, test::kNaN})
    EXPECT_THROW(estimates.score(ridge), InputError);
}

TEST_F(Ridges, ZeroTargetsScoreZero) {
  const auto zero = test::row_block(world, n, 1, [](Index, Index) { return 0.0; });
  const auto M = LowRankPreconditioner::pivoted_cholesky(K, n, 1);
  RidgeEstimates estimates(K, M, zero, RidgeCriterion::leave_one_out, {.probes = 4});
  EXPECT_EQ(estimates.score(0.1).score, 0);
  EXPECT_GT(estimates.select().ridge, 0);
}

}  // namespace
}  // namespace mercer::krr
