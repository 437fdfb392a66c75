// What a training decides and plans before it computes anything, and how it counts its flops.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/jobs/training.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/train/cost.hpp"
#include "mercer/train/rate.hpp"
#include "support/errors.hpp"

namespace mercer::jobs {
namespace {

constexpr Index n = 64, d = 3, c = 2;

dist::RowBlock<double> rows(Index count, Index columns, double step) {
  dist::RowBlock<double> X(comm::Communicator::world(), count, columns);
  for (Index i = 0; i < count; ++i)
    for (Index a = 0; a < columns; ++a)
      X.row(i)[static_cast<std::size_t>(a)] =
          std::sin(step * static_cast<double>(i) + static_cast<double>(2 * a));
  return X;
}

data::Split sets_of(Index count = n, Index inputs = d, Index outputs = c) {
  return data::split_of(data::of_rows(rows(count, inputs, 0.7), rows(count, outputs, 0.3)));
}

gram::Source kernel_with_values(double scale) {
  return gram::Source::function(kernel::radial(
      "laplacian", [scale](double distance) { return scale * std::exp(-distance); }));
}

struct TrainingJob : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  dist::ProcessGrid grid{world};
  Monitor silent;
  net::Network network{arch::parse("dense(16) relu dense(2)", {.bias_std = 1}), d,
                       net::Parametrization::ntk, net::Start::antisymmetric};
  gram::Source kernel = kernel_with_values(1);

  TrainingOptions with_S(Index top) const {
    return {.precondition = Precondition::kernel, .top = top};
  }
  template <class T = double>
  TrainingPlan planned(const TrainingOptions& options, const data::Split& sets,
                       Resources resources = {.shape = {1, 1}}) {
    return jobs::plan<T>(options, network, kernel, sets, network.initial<T>(0), resources, world);
  }
  Training<double> trained(const TrainingPlan& plan, const data::Split& sets,
                           Monitor* monitor = nullptr) {
    return jobs::train<double>(plan, network, sets, network.initial<double>(0), grid,
                               monitor != nullptr ? *monitor : silent);
  }
};

nlohmann::ordered_json stage(const TrainingPlan& plan, const std::string& name) {
  for (const auto& one : plan.stages.json())
    if (one["name"] == name) return one;
  ADD_FAILURE() << "there is no stage " << name;
  return {};
}

// --- options

using Numbers = std::vector<Index>;

TEST(TrainingDirections, AreTheFirstOnesAndPowersOfTwoUpToTop) {
  TrainingOptions options{.precondition = Precondition::kernel, .default_directions = true};
  const auto of = [&](Index top) {
    options.top = top;
    return options.validated(100).directions;
  };
  EXPECT_EQ(of(1), (Numbers{1}));
  EXPECT_EQ(of(5), (Numbers{1, 2, 3, 4, 5}));
  EXPECT_EQ(of(15), (Numbers{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(of(16), (Numbers{1, 2, 3, 4, 5, 6, 7, 8, 16}));
  EXPECT_EQ(of(-1), (Numbers{1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64}));
  options.directions = {7};
  EXPECT_EQ(of(16), (Numbers{7}));
}

TEST(TrainingOptions, TakeAllGivenPairsUnlessTopSaysLess) {
  TrainingOptions options{.precondition = Precondition::kernel, .default_directions = true};
  EXPECT_EQ(options.validated(100, 10).top, 10);
  EXPECT_EQ(options.validated(100, 10).directions.back(), 8);
  EXPECT_EQ(options.validated(100).top, -1);
  options.top = 3;
  EXPECT_EQ(options.validated(100, 10).top, 3);
}

TEST(TrainingDirections, AreNoneWithoutSAndWithBlocks) {
  TrainingOptions options{.default_directions = true};
  EXPECT_EQ(options.validated(100).directions, Numbers{});
  options.precondition = Precondition::kernel;
  options.descent.batch = 10;
  options.descent.stochastic = train::Stochastic::block;
  EXPECT_EQ(options.validated(100).directions, Numbers{});
  options.descent.stochastic = train::Stochastic::rows;
  EXPECT_EQ(options.validated(100).directions.size(), 11u);
}

TEST(TrainingOptionsOf, AJobAreRefusedWhereTheyWouldHaveNoEffect) {
  const std::string without = "`precondition` none: takes no `top`, `g` or `spectrum`";
  const auto refusal = [](const TrainingOptions& options) {
    return test::error<InputError>([&] { options.validate(); });
  };
  EXPECT_EQ(refusal({}), "");
  EXPECT_EQ(refusal({.top = 10}), without);
  EXPECT_EQ(refusal({.g = "inverse"}), without);
  EXPECT_EQ(refusal({.spectrum = {.file = "S.h5"}}), without);
  EXPECT_EQ(refusal({.precondition = Precondition::empirical, .top = 10, .g = "inverse"}), "");
  EXPECT_EQ(refusal({.precondition = Precondition::kernel, .top = 0}).find("`top` 0"), 0u);
  EXPECT_EQ(refusal({.resume = true}).find("`resume`"), 0u);
  TrainingOptions refreshed{.precondition = Precondition::kernel};
  refreshed.descent.refresh = 5;
  EXPECT_EQ(refusal(refreshed).find("`refresh`"), 0u);
  refreshed.precondition = Precondition::empirical;
  EXPECT_EQ(refusal(refreshed), "");
  refreshed.spectrum.file = "S.h5";
  EXPECT_EQ(refusal(refreshed).find("`refresh`: computes the pairs of S again"), 0u);
  EXPECT_EQ(refusal({.method = spectral::Method::elpa1}).find("`method`"), 0u);
  EXPECT_EQ(refusal({.storage = gram::Storage::none}).find("`storage`"), 0u);
  EXPECT_EQ(refusal({.storage = gram::Storage::none, .directions = {1}}), "");
  TrainingOptions idle;
  idle.descent.checkpoint_every = 5;
  EXPECT_EQ(refusal(idle), "`checkpoint_every`: needs `checkpoint`");
  idle.descent.checkpoint_every = 0;
  idle.descent.residual_refresh = 5;
  EXPECT_EQ(refusal(idle).find("`residual_refresh`"), 0u);
  idle.descent.batch = 8;
  EXPECT_EQ(refusal(idle), "");
}

// --- plans

TEST_F(TrainingJob, PlanFindsWhatDoesNotFitTheNetworkBeforeAnythingIsComputed) {
  EXPECT_NO_THROW(planned(with_S(5), sets_of()));
  EXPECT_THROW(planned(with_S(5), sets_of(n, d + 1, c)), InputError);
  EXPECT_THROW(planned(with_S(5), sets_of(n, d, c + 1)), InputError);
  auto w_0 = network.initial<double>(0);
  w_0.pop_back();
  const auto sets = sets_of();
  EXPECT_THROW(jobs::plan<double>(with_S(5), network, kernel, sets, w_0, Resources{}, world),
               InputError);
}

TEST_F(TrainingJob, PlanKeepsAtMostAGigabyteOfActivationsAndAQuarterOfTheMemory) {
  const auto sets = sets_of();
  for (const auto& [limit, expected] : {std::pair{0.0, 1e9}, {2e9, 5e8}, {4e9, 1e9}, {1e12, 1e9}})
    EXPECT_EQ(planned({}, sets, {.memory_limit = limit}).activation_bytes, expected);
}

TEST_F(TrainingJob, PlanTakesTheSolverOfThePairsByTheirNumber) {
  const auto few_rows = planned(with_S(10), sets_of());
  EXPECT_TRUE(few_rows.solves);
  EXPECT_FALSE(few_rows.pairs.iterative) << few_rows.pairs.reason;
  const auto many = sets_of(8000);
  const auto few_pairs = planned(with_S(80), many, {.memory_limit = 1e12, .shape = {1, 2}});
  EXPECT_TRUE(few_pairs.pairs.iterative) << few_pairs.pairs.reason;
  EXPECT_GE(few_pairs.pairs.run.k, 80);
  const auto all = planned(with_S(-1), many, {.memory_limit = 1e12, .shape = {1, 2}});
  EXPECT_FALSE(all.pairs.iterative) << all.pairs.reason;
  auto asked = with_S(10);
  asked.method = spectral::Method::krylov;
  EXPECT_TRUE(planned(asked, sets_of(), {.memory_limit = 1e12, .shape = {1, 1}}).pairs.iterative);
}

TEST_F(TrainingJob, PlanComputesPairsForSAndForDirectionsOnly) {
  const auto sets = sets_of();
  EXPECT_FALSE(planned({}, sets).solves);
  EXPECT_TRUE(planned({.directions = {1, 4}}, sets).solves);
  EXPECT_TRUE(planned(with_S(5), sets).solves);
  auto stored = with_S(5);
  auto known = std::make_shared<KnownPairs>();
  known->of.n = n;
  known->pairs = {.n = n, .values = {5, 4, 3, 2, 1}, .vectors = Matrix<double>(n, 5, 0.0)};
  stored.spectrum.known = known;
  const auto plan = planned(stored, sets);
  EXPECT_FALSE(plan.solves);
  EXPECT_GE(stage(plan, "pairs")["bytes"], 3 * 8 * 5 * static_cast<double>(n));
  stored.top = 6;
  EXPECT_THROW(planned(stored, sets), InputError);  // only 5 are there
  stored.top = 5;
  stored.directions = {6};
  EXPECT_THROW(planned(stored, sets), InputError);
}

TEST_F(TrainingJob, PlanTakesTheNetworksOwnKernelForAnEmpiricalS) {
  const auto sets = sets_of();
  const auto w_0 = network.initial<double>(0);
  const auto own = net::empirical_kernel(network, w_0)->text();
  auto options = with_S(5);
  EXPECT_EQ(planned(options, sets).kernel.text(), kernel.text());
  options.precondition = Precondition::empirical;
  EXPECT_EQ(planned(options, sets).kernel.text(), own);
  // Given already, it is taken as it is.
  const auto given = training_kernel<double>(options, kernel, network, w_0);
  EXPECT_EQ(given.text(), own);
  const auto again = training_kernel<double>(options, given, network, w_0);
  EXPECT_EQ(&again.kernel(), &given.kernel());
  // In single precision the parameters are those of w_0, rounded.
  const auto single = network.initial<float>(0);
  EXPECT_EQ(planned<float>(options, sets).kernel.text(),
            net::empirical_kernel(network, {single.begin(), single.end()})->text());
}

TEST_F(TrainingJob, PlanStatesFlopsAndBytesOfTheDescent) {
  // 2 copies: W 3 x 16 and 16 x 2, with 18 biases.
  const double p = 2 * (3 * 16 + 16 * 2 + 18), N = 64, k = 20, own = 32, steps = 7;
  const double forward = 2 * 2 * (3 * 16 + 16 * 2), gradient = 3 * forward - 2 * 2 * 3 * 16;
  auto options = with_S(20);
  options.descent.steps = 7;
  const auto sets = sets_of();
  const auto plan = planned(options, sets, {.shape = {1, 2}});
  const double step = N * (gradient + 4 * k * 2), product = N * 4 * forward;
  EXPECT_EQ(plan.flops.step, step);
  EXPECT_EQ(plan.flops.rate_product, product);
  const auto train = stage(plan, "train");
  EXPECT_DOUBLE_EQ(train["flops"], steps * step + train::kUsualProducts * product);
  const double data = 8 * N * (3 + 2) / 2, set = 8 * own * (3 + 2 + k);
  const double vectors = 4 * p + 4 * 2 * own;  // g, its sums, base; r and three for lambda_max
  const double small = 8 * (3 * 2 * k + 3);
  EXPECT_DOUBLE_EQ(train["bytes"],
                   data + set + 2 * 8 * p + 8 * p + 8 * vectors + small +
                       net::Evaluator<double>::bytes(network, 32, plan.activation_bytes));
  EXPECT_DOUBLE_EQ(stage(plan, "load")["bytes"], 2 * data);
  // A given rate is not measured; batches count their rows alone.
  options.descent.rate = 0.1;
  options.descent.batch = 16;
  options.descent.stochastic = train::Stochastic::rows;
  const auto batches = planned(options, sets, {.shape = {1, 2}});
  EXPECT_DOUBLE_EQ(stage(batches, "train")["flops"], steps * step / 4);
}

TEST_F(TrainingJob, PlanOfBatchesHasTheSOfAllRows) {
  auto options = with_S(-1);
  options.descent.batch = 16;
  options.descent.stochastic = train::Stochastic::rows;
  options.descent.steps = 10;
  options.descent.rate = 0.1;
  const double step = train::step_cost<double>(network, 16, n, 2).flops;
  const auto of_rows = planned(options, sets_of(), {.shape = {1, 2}});
  EXPECT_DOUBLE_EQ(stage(of_rows, "train")["flops"], 10 * step);
  options.descent.stochastic = train::Stochastic::block;
  const double own = train::step_cost<double>(network, 16, 16, 2).flops;
  EXPECT_DOUBLE_EQ(stage(planned(options, sets_of(), {.shape = {1, 2}}), "train")["flops"],
                   10 * own);
}

TEST_F(TrainingJob, PlanOfSOnTheParametersHoldsPsiAndNoVectorsOfRows) {
  const double p = 2 * (3 * 16 + 16 * 2 + 18), P = 2, k = 20;
  TrainingOptions options{.precondition = Precondition::empirical, .top = 20};
  options.descent.batch = 16;
  options.descent.steps = 10;
  const auto sets = sets_of();
  const auto plan = planned(options, sets, {.shape = {1, 2}});
  EXPECT_EQ(plan.sample, n);
  EXPECT_TRUE(plan.solves);
  EXPECT_NE(plan.kernel.text().find("full"), std::string::npos);
  const double entries = train::most_entries(network, true, 2);
  EXPECT_NEAR(entries, p / 2 / P, 3);
  // Beside a run without S: Psi, the kernel's w, and buffers of k numbers.
  const auto plain = planned({.descent = options.descent}, sets, {.shape = {1, 2}});
  const double more =
      stage(plan, "train")["bytes"].get<double>() - stage(plain, "train")["bytes"].get<double>();
  EXPECT_NEAR(more, 8 * entries * (k + 1) + 16 * k + 8 * p, 1e-9 * more);
  const double step = train::step_cost<double>(network, 16, 0, 2).flops;
  EXPECT_DOUBLE_EQ(plan.flops.step, step + 4 * entries * k * P);
  EXPECT_GT(stage(plan, "psi")["flops"], 0);
}

TEST_F(TrainingJob, PlanChoosesTheSampleOfRows) {
  TrainingOptions options{.precondition = Precondition::empirical, .top = 20};
  options.descent.batch = 16;
  const auto many = sets_of(8000);
  EXPECT_EQ(planned(options, many).sample, kPairNumbers / c);
  options.sample = 300;
  EXPECT_EQ(planned(options, many).sample, 300);
  options.sample = 9;
  EXPECT_THROW(planned(options, many), InputError);  // 18 pairs, not 20
  options = {.descent = options.descent};
  EXPECT_EQ(planned(options, many).sample, kRateNumbers / c);
  EXPECT_EQ(planned(options, sets_of()).sample, n);
  options.descent.batch = 0;
  EXPECT_EQ(planned(options, many).sample, 0);
}

TEST(TrainingOptionsOf, SOnTheParametersAndOfAllOutputsAreRefusedWhereTheyCannotBe) {
  const auto refusal = [](const TrainingOptions& options) {
    return test::error<InputError>([&] { options.validate(); });
  };
  TrainingOptions options{.precondition = Precondition::kernel, .top = 10};
  options.descent.batch = 16;
  EXPECT_EQ(refusal(options).find("`precondition` kernel"), 0u);
  options.precondition = Precondition::empirical;
  EXPECT_EQ(refusal(options), "");
  options.directions = {1};
  EXPECT_EQ(refusal(options).find("`directions`"), 0u);
  options.directions = {};
  options.spectrum.file = "S.h5";
  EXPECT_EQ(refusal(options).find("`spectrum`"), 0u);
  options.spectrum.file = "";
  options.joint_outputs = true;
  EXPECT_EQ(refusal(options).find("`joint_outputs`"), 0u);
  options.descent.batch = 0;
  EXPECT_EQ(refusal(options), "");
  options.precondition = Precondition::kernel;
  EXPECT_EQ(refusal(options).find("`joint_outputs`"), 0u);
  options.joint_outputs = false;
  options.sample = 5;
  EXPECT_EQ(refusal(options).find("`sample`"), 0u);
  options.sample = 0;
  options.new_blocks = true;
  EXPECT_EQ(refusal(options).find("`new_blocks`"), 0u);
}

TEST_F(TrainingJob, PlanHoldsTheTwoMatricesOfATracedKernel) {
  const double N = 640, K = 8 * N * N / 2;
  TrainingOptions options{.trace_kernel = true};
  options.descent.steps = 12;
  options.descent.record_every = 4;  // records 0, 4, 8 and 12
  const auto sets = sets_of(640);
  const auto plan = planned(options, sets, {.nb = 64, .shape = {1, 2}});
  options.trace_kernel = false;
  const double without = stage(planned(options, sets, {.shape = {1, 2}}), "train")["bytes"];
  EXPECT_DOUBLE_EQ(stage(plan, "train")["bytes"], without + K);
  EXPECT_GE(stage(plan, "K_t")["bytes"], without + 2 * K);
  EXPECT_DOUBLE_EQ(stage(plan, "K_t")["flops"], 5 * plan.flops.change);
  const auto own = net::empirical_kernel(network, network.initial<double>(0));
  EXPECT_GE(plan.flops.change, N * N / 2 * 2 * static_cast<double>(own->bytes_per_row(3)) / 8);
}

TEST_F(TrainingJob, PlanHoldsTheMatricesOfTheOperatorSpectrum) {
  const double p = 2 * (3 * 16 + 16 * 2 + 18), N = 640, k = 200, P = 2;
  auto options = with_S(200);
  options.operator_spectrum = true;
  const auto sets = sets_of(640);
  const auto plan = planned(options, sets, {.nb = 64, .shape = {1, 2}});
  const auto own = net::empirical_kernel(network, network.initial<double>(0));
  const double K = 8 * N * N / P, V = 8 * N * k / P;
  const double data = 8 * N * (3 + 2) / P + 8 * p + 8 * p;  // rows, w_0, and the kernel's
  const auto with = stage(plan, "K_0 S");
  // K_0, the eigenvectors by rows and on the grid, and K V or V^T K.
  EXPECT_GE(with["bytes"], data + K + 3 * V);
  options = {.operator_spectrum = true};
  const auto without = stage(planned(options, sets, {.nb = 64, .shape = {1, 2}}), "K_0 S");
  EXPECT_GE(without["bytes"], data + K);
  const double flops = with["flops"], others = without["flops"];
  EXPECT_NEAR(flops, others + 8 * N * N * k, 1e-12 * flops);  // S^(1/2) from both sides
  const double numbers = static_cast<double>(own->bytes_per_row(3)) / 8;
  EXPECT_GE(without["flops"], N * N / 2 * 2 * numbers);
}

// --- runs

TEST_F(TrainingJob, DescentWithoutSNeedsNoKernel) {
  kernel = kernel_with_values(1e-320);  // all of K underflows
  TrainingOptions options;
  options.descent.steps = 2;
  const auto sets = sets_of();
  EXPECT_EQ(trained(planned(options, sets), sets).state.step, 2);
  options.precondition = Precondition::kernel;
  const auto plan = planned(options, sets);
  EXPECT_THROW(trained(plan, sets), InputError);
}

TEST_F(TrainingJob, IsRefusedInAnotherPrecisionThanPlanned) {
  const auto sets = sets_of();
  const auto plan = planned({}, sets);
  EXPECT_THROW(jobs::train<float>(plan, network, sets, network.initial<float>(0), grid, silent),
               InputError);
  auto w_0 = network.initial<double>(0);
  w_0.pop_back();
  EXPECT_THROW(jobs::train<double>(plan, network, sets, std::move(w_0), grid, silent), InputError);
}

TEST_F(TrainingJob, TellsTheMonitorThatItHasEndedAlsoWhereItFails) {
  struct Watching : Monitor {
    int begun = 0, on = 0;
    void solving(bool is) override { is ? (++begun, ++on) : --on; }
  } monitor;
  TrainingOptions options;
  options.descent.steps = 100;
  options.descent.rate = 1e6;
  const auto sets = sets_of();
  const auto plan = planned(options, sets);
  EXPECT_THROW(trained(plan, sets, &monitor), RunError);
  EXPECT_EQ(monitor.begun, 1);
  EXPECT_EQ(monitor.on, 0);
}

TEST_F(TrainingJob, CountsTheFlopsOfWhatItDid) {
  const auto sets = sets_of();
  TrainingOptions options{.precondition = Precondition::empirical, .top = 5};
  options.descent.steps = 9;  // fewer than 20: a given rate is not compared with the limit
  options.descent.rate = 1e-5;
  options.descent.refresh = 4;
  const auto given = planned(options, sets);
  EXPECT_GT(given.flops.pairs, 0);
  EXPECT_GT(given.flops.step, 0);
  EXPECT_GT(given.flops.rate_product, 0);
  const auto refreshed = trained(given, sets);
  EXPECT_EQ(refreshed.outcome.rate_products, 0);
  EXPECT_DOUBLE_EQ(refreshed.flops, 3 * given.flops.pairs + 9 * given.flops.step);
  options.descent.refresh = 0;
  options.trace_kernel = true;
  options.descent.record_every = 3;
  const auto traced = planned(options, sets);
  EXPECT_DOUBLE_EQ(trained(traced, sets).flops,  // K_0, and K_t at 0, 3, 6 and 9
                   traced.flops.pairs + 9 * traced.flops.step + 5 * traced.flops.change);
  options.trace_kernel = false;
  options.descent.rate = 0;
  options.descent.loss = 1e9;  // reached before the first step
  const auto measured = planned(options, sets);
  const auto none = trained(measured, sets);
  EXPECT_GE(none.outcome.rate_products, 2);
  EXPECT_DOUBLE_EQ(none.flops,
                   measured.flops.pairs + none.outcome.rate_products * measured.flops.rate_product);
}

TEST_F(TrainingJob, CountsAProductWithABlockAsItsShare) {
  const auto sets = sets_of();
  TrainingOptions options{.precondition = Precondition::kernel};
  options.descent.batch = 16;
  options.descent.stochastic = train::Stochastic::block;
  options.descent.steps = 20;  // five products to compare a given rate with the limit
  options.descent.rate = 1e-6;
  const auto training = trained(planned(options, sets), sets);
  EXPECT_LE(training.outcome.rate_products, 5);  // 20 with a quarter of the rows each, or fewer
  EXPECT_GT(training.outcome.rate_products, 1);
}

}  // namespace
}  // namespace mercer::jobs
