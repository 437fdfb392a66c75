// What jobs decide before anything is allocated: solver, storage, rank, iterations. Pure functions.
#include <gtest/gtest.h>

#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/jobs/ridge.hpp"
#include "mercer/jobs/spectrum.hpp"
#include "support/errors.hpp"

namespace mercer::jobs {
namespace {

using spectral::Method;

gram::Source gaussian() {
  kernel::Options options;
  options.kind = kernel::Kind::gaussian;
  return gram::Source::function(kernel::make(options));
}

gram::Sizes sizes_of(const gram::Source& kernel, Index n, Index c = 0) {
  return {.n = n, .d = 100, .c = c, .shape = {1, 2}, .kernel = gram::kernel_of(kernel)};
}

Resources with_memory(double bytes) {
  return {.memory_limit = bytes, .shape = {1, 2}, .baseline = 3e7};
}
constexpr double kPlenty = 1e12;

// --- spectra

TEST(SpectrumStrategies, TakeKrylovForFewOfManyPairs) {
  const auto kernel = gaussian();
  for (const Index n : {4000, 20000}) {
    const auto sizes = sizes_of(kernel, n);
    const auto few = choose(SpectrumOptions{}, kernel, sizes, n / 50, with_memory(kPlenty));
    EXPECT_TRUE(few.iterative) << few.reason;
    EXPECT_GE(few.run.k, n / 50);
    for (const Index k : {n / 3, n}) {
      const auto many = choose(SpectrumOptions{}, kernel, sizes, k, with_memory(kPlenty));
      EXPECT_FALSE(many.iterative) << many.reason;
      EXPECT_NE(many.direct, Method::automatic);
    }
  }
}

TEST(SpectrumStrategies, TakeADirectSolverForWhatTakesHalfASecond) {
  const auto kernel = gaussian();
  const auto strategy =
      choose(SpectrumOptions{}, kernel, sizes_of(kernel, 500), 5, with_memory(kPlenty));
  EXPECT_FALSE(strategy.iterative) << strategy.reason;
}

TEST(SpectrumStrategies, TakeKrylovWhereKDoesNotFit) {
  const auto kernel = gaussian();
  const Index n = 20000;  // K takes 1.6 GB a rank
  const auto sizes = sizes_of(kernel, n);
  const auto strategy = choose(SpectrumOptions{}, kernel, sizes, n / 100, with_memory(1.2e9));
  EXPECT_TRUE(strategy.iterative) << strategy.reason;
  EXPECT_NE(strategy.reason.find("does not fit the memory"), std::string::npos);
  EXPECT_LT(strategy.products.cost.bytes + sizes.data_bytes(), 1.2e9);
}

TEST(SpectrumStrategies, DoWhatIsAskedForAndSayWhatAsked) {
  const auto kernel = gaussian();
  const auto sizes = sizes_of(kernel, 500);
  const auto resources = with_memory(kPlenty);
  SpectrumOptions direct;
  direct.method = Method::scalapack;
  const auto by_name = choose(direct, kernel, sizes, 5, resources);
  EXPECT_FALSE(by_name.iterative);
  EXPECT_EQ(by_name.direct, Method::scalapack);
  EXPECT_EQ(by_name.reason, "asked for by `method` scalapack");
  SpectrumOptions stored;
  stored.storage = gram::Storage::none;
  const auto by_storage = choose(stored, kernel, sizes, 5, resources);
  EXPECT_TRUE(by_storage.iterative);
  EXPECT_EQ(by_storage.reason, "asked for by `storage`");
  EXPECT_EQ(by_storage.products.options.storage, gram::Storage::none);
  EXPECT_THROW(choose(stored, kernel, sizes, 5, with_memory(3.1e7)), MemoryError);
}

TEST(SpectrumOptionsOf, AJobAreRefusedByTheFieldsName) {
  const auto refusal = [](const SpectrumOptions& options) {
    return test::error<InputError>([&] { options.validate(); });
  };
  EXPECT_EQ(refusal({}), "");
  EXPECT_EQ(refusal({.tolerance = std::nan("")}).find("`tolerance` nan"), 0u);
  EXPECT_EQ(refusal({.method = Method::krylov, .tolerance = 1e-15}).find("`tolerance`"), 0u);
  EXPECT_EQ(refusal({.single = true, .tolerance = 1e-10}).find("`tolerance`"), 0u);
  EXPECT_EQ(refusal({.method = Method::elpa1, .block = 8}).find("`block`"), 0u);
  EXPECT_EQ(refusal({.estimates = -1.0}).find("`estimates` -1"), 0u);
  EXPECT_EQ(refusal({.checkpoints = {.resume = true}}).find("`resume`"), 0u);
  for (const Index top : {-2, 0, 101})
    EXPECT_THROW(SpectrumOptions{.top = top}.validate(100), InputError);
  for (const Index top : {-1, 1, 100}) SpectrumOptions{.top = top}.validate(100);
}

// --- ridge regression

TEST(RidgeStrategies, AreDirectUpToModerateSizes) {
  const auto kernel = gaussian();
  const RidgeOptions options{.ridges = {1e-3}};
  for (const Index n : {1000, 10000})
    EXPECT_FALSE(choose(options, kernel, sizes_of(kernel, n, 1), with_memory(kPlenty)).iterative);
  const auto large = choose(options, kernel, sizes_of(kernel, 100000, 1), with_memory(kPlenty));
  EXPECT_TRUE(large.iterative) << large.reason;
  EXPECT_EQ(large.preconditioner, Preconditioning::cholesky);
}

TEST(RidgeStrategies, AreIterativeWhereKDoesNotFit) {
  const auto kernel = gaussian();
  const auto strategy =
      choose({.ridges = {1e-3}}, kernel, sizes_of(kernel, 10000, 1), with_memory(3e8));
  EXPECT_TRUE(strategy.iterative) << strategy.reason;
  EXPECT_LT(strategy.products.cost.bytes, 3e8);
}

TEST(RidgeStrategies, OfAllEigenpairsAreDirect) {
  const auto kernel = gaussian();
  const RidgeOptions options{.ridges = {1e-3}, .g = "flat"};  // g on all n
  EXPECT_FALSE(
      choose(options, kernel, sizes_of(kernel, 100000, 1), with_memory(kPlenty)).iterative);
}

TEST(RidgeStrategies, TakeThePairsThatAreThereForThePreconditioner) {
  const auto kernel = gaussian();
  const auto sizes = sizes_of(kernel, 5000, 1);
  RidgeOptions options{.ridges = {1e-3}, .top = 50, .g = "flat"};
  options.solver = RidgeSolver::conjugate_gradients;
  const auto pairs = choose(options, kernel, sizes, with_memory(kPlenty));
  EXPECT_EQ(pairs.preconditioner, Preconditioning::eigenpairs);
  ASSERT_TRUE(pairs.run.has_value());
  EXPECT_EQ(pairs.run->k, 50);
  EXPECT_EQ(pairs.reason, "asked for by `solver` cg");
  options.g = "", options.top = -1, options.rank = 70;
  const auto sketch = choose(options, kernel, sizes, with_memory(kPlenty));
  EXPECT_EQ(sketch.preconditioner, Preconditioning::cholesky);
  EXPECT_EQ(sketch.rank, 70);
  EXPECT_FALSE(sketch.run.has_value());
  options.rank = 0;
  const auto chosen = choose(options, kernel, sizes, with_memory(kPlenty));
  EXPECT_GE(chosen.rank, 100);
  EXPECT_LE(chosen.rank, 5000 / 4);
}

TEST(RidgeStrategies, HoldLessWhereThereIsLessMemory) {
  const auto kernel = gaussian();
  const auto sizes = sizes_of(kernel, 20000, 1);
  RidgeOptions options{.ridges = {1e-3}};
  options.solver = RidgeSolver::conjugate_gradients;
  double last = 1e18;
  for (const double bytes : {kPlenty, 1.2e9, 6e8, 3e8}) {
    const auto strategy = choose(options, kernel, sizes, with_memory(bytes));
    EXPECT_LE(strategy.products.cost.bytes, std::min(last, bytes));
    last = strategy.products.cost.bytes;
  }
  EXPECT_THROW(choose(options, kernel, sizes, with_memory(3.5e7)), MemoryError);
}

TEST(RidgeStrategies, TakeAPreconditionerThatFits) {
  const auto kernel = gaussian();
  const auto sizes = sizes_of(kernel, 1000000, 1);  // a vector takes 8 MB
  const auto tight = choose({.ridges = {1e-3}}, kernel, sizes, with_memory(7e8));
  EXPECT_TRUE(tight.iterative) << tight.reason;
  EXPECT_GE(tight.rank, 1);
  EXPECT_LT(tight.rank, choose({.ridges = {1e-3}}, kernel, sizes, with_memory(4e9)).rank);
  RidgeOptions asked{.ridges = {1e-3}};
  asked.rank = 100;
  test::expect_words(
      test::error<MemoryError>([&] { choose(asked, kernel, sizes, with_memory(7e8)); }),
      {"conjugate gradients take", "`rank`"});
  // Neither strategy fits: what the lesser one needs is told, not the matrix.
  const auto none = choose({.ridges = {1e-3}}, kernel, sizes, with_memory(5.3e8));
  EXPECT_FALSE(none.iterative);
  test::expect_words(none.lacks, {"products with K", "MiB"});
}

TEST(RidgeIterations, GrowWithTheRootOfTheConditionNumber) {
  RidgeOptions options{.ridges = {1e-4}, .relative = true};
  options.max_iterations = 1000000;  // no more than these are expected
  const double once = expected_iterations(options, 10000, 100);
  options.ridges = {1e-6};
  EXPECT_NEAR(expected_iterations(options, 10000, 100) / once, 10, 1e-9);
  options.ridges = {1e-4};
  EXPECT_NEAR(once / expected_iterations(options, 10000, 400), 2, 1e-9);
  options.cg_tol = 1e-4;
  options.max_iterations = 7;
  EXPECT_EQ(expected_iterations(options, 1000000, 1), 7);
  EXPECT_GE(expected_iterations({.ridges = {1e6}}, 100, 50), 1);
}

TEST(RidgeOptionsOf, AJobAreRefusedByTheFieldsName) {
  const auto refusal = [](const RidgeOptions& options) {
    return test::error<InputError>([&] { options.validate(); });
  };
  EXPECT_EQ(refusal({.ridges = {0.1}}), "");
  EXPECT_EQ(refusal({.ridges = {-1.0}}).find("`ridges` -1"), 0u);
  EXPECT_EQ(refusal({.ridges = {std::nan("")}}).find("`ridges` nan"), 0u);
  EXPECT_EQ(refusal({}).find("`ridges`"), 0u);
  EXPECT_EQ(refusal({.ridges = {0.1}, .cg_tol = 2}).find("`cg_tol` 2"), 0u);
  RidgeOptions both{.ridges = {0.1}};
  both.solver = RidgeSolver::direct;
  both.rank = 5;
  EXPECT_EQ(refusal(both), "`rank`: belongs to `solver` cg, not to cholesky");
  RidgeOptions transductive{.ridges = {0.1, 0.2}, .transductive = true};
  EXPECT_EQ(refusal(transductive).find("`transductive`"), 0u);
}

TEST(RidgeOptionsOf, AJobMeanAFlatSpectrumWhereOnlyTopIsGiven) {
  const RidgeOptions flat{.ridges = {0.1}, .top = 60}, plain{.ridges = {0.1}},
      named{.ridges = {0.1}, .top = 60, .g = "power:1"};
  EXPECT_EQ(flat.map(), "flat");
  EXPECT_TRUE(flat.modified() && flat.by_eigenpairs());
  EXPECT_EQ(named.map(), "power:1");
  EXPECT_EQ(plain.map(), "");
  EXPECT_FALSE(plain.modified() || plain.by_eigenpairs());
}

TEST(RidgeOptionsOf, AZeroKernelHaveNoRelativeRidge) {
  const RidgeOptions relative{.ridges = {0.5}, .relative = true};
  EXPECT_EQ(relative.gammas(2), std::vector<double>{1});
  EXPECT_THROW(relative.gammas(0), InputError);
  EXPECT_EQ(relative.as_given(), "`ridges` 0.5");
  EXPECT_EQ((RidgeOptions{.choice = krr::RidgeCriterion::gcv}.as_given()), "`choice` gcv");
  EXPECT_EQ((RidgeOptions{.ridges = {0.5}}.gammas(0)), std::vector<double>{0.5});
}

}  // namespace
}  // namespace mercer::jobs
