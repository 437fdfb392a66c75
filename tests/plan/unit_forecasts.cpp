// The model of the plans' times and memory, against the formulas that forecast.hpp states.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/krr/cost.hpp"
#include "mercer/la/elpa.hpp"
#include "mercer/plan/forecast.hpp"
#include "mercer/spectral/cost.hpp"
#include "mercer/train/cost.hpp"

namespace mercer::plan {
namespace {

using spectral::Method;

constexpr double kRounding = 1e-12;

void expect_close(double value, double expected) {
  EXPECT_NEAR(value, expected, kRounding * std::abs(expected));
}

/// Rates that are easy to follow, all different.
Machine machine() {
  Machine m;
  m.gemm = 64e9, m.gemm_single = 128e9, m.skinny = 32e9, m.skinny_single = 100e9;
  m.product = 40e9, m.narrow = 8e9;
  m.convert = 1e-9, m.memory = 16e9, m.latency = 1e-5, m.bandwidth = 4e9, m.exchange = 2e9;
  m.gram = 50e9, m.element = 10e-9, m.row = 1e-6;
  return m;
}

/// One entry of K for rows of d numbers.
double entry_seconds(const Machine& m, double d) {
  return 2 * d / m.gram + m.element;
}

std::shared_ptr<const kernel::Kernel> gaussian() {
  kernel::Options options;
  options.kind = kernel::Kind::gaussian;
  return kernel::make(options);
}

Sizes sizes(const kernel::Kernel& kernel, Index n, dist::GridShape shape) {
  return {.n = n, .d = 100, .c = 10, .m = 500, .shape = shape, .kernel = gram::borrowed(kernel)};
}

gram::OperatorOptions keeping(gram::Storage storage, double bytes = 1e18) {
  return {.storage = storage, .memory_bytes = bytes};
}

TEST(Machines, TakeTheDotProductAndTheElementPassForAnEntry) {
  const Cost entry{.dots = 2 * 250, .entries = 1};
  expect_close(machine().seconds(entry), 2 * 250 / 50e9 + 10e-9);
}

TEST(Machines, MultiplyTilesAtTheTwoRatesThatWereMeasured) {
  const Machine m = machine();
  expect_close(m.product_seconds(64, false), 4 * 64 / m.product);
  expect_close(m.product_seconds(8, false), 4 * 8 / m.narrow);
  expect_close(m.product_seconds(8, true), 4 * 8 / m.narrow + m.convert);
  expect_close(m.product_seconds(36, false), (2 * 64 / m.product + 2 * 8 / m.narrow));  // halfway
}

TEST(Machines, SumByHalvingAndDoubling) {
  const Machine m = machine();
  EXPECT_EQ(m.seconds(sum_cost(1e6, 1)), 0);
  expect_close(m.seconds(sum_cost(1e6, 4)), 2 * 0.75 * 1e6 / m.bandwidth + 4 * m.latency);
}

TEST(Machines, KeepTheirRatesOnAnotherNetwork) {
  const Machine there = machine().with_network(3e-6, 5e8);
  EXPECT_TRUE(there.network);
  EXPECT_EQ(there.latency, 3e-6);
  EXPECT_EQ(there.exchange, 5e8);
  EXPECT_EQ(there.bandwidth, 5e8);
  EXPECT_EQ(there.gemm, machine().gemm);
}

TEST(DirectStages, CountTheDataOfARank) {
  const auto kernel = gaussian();
  auto s = sizes(*kernel, 4000, {2, 3});
  expect_close(s.data_bytes(), 8.0 * 4500 * 110 / 6);
  expect_close(s.share_bytes(), 8.0 * 4000 * 4000 / 6);
  s.held = 1000, s.single = true;
  expect_close(s.data_bytes(), 8.0 * 4500 * 110 / 6 + 1000);
  expect_close(s.share_bytes(), 4.0 * 4000 * 4000 / 6);
  EXPECT_EQ(plan::load(s, 1.5).seconds, 1.5);
}

TEST(DirectStages, AssembleHalfOfTheEntries) {
  const auto kernel = gaussian();
  const Machine m = machine();
  auto alone = sizes(*kernel, 4000, {1, 1});
  const auto one = plan::assemble(m, alone);
  expect_close(one.flops, 4000.0 * 4000 * 100);
  EXPECT_EQ(one.sent, 0);
  EXPECT_GT(one.seconds, 8e6 * entry_seconds(m, 100));
  // Four times the entries and twice the rows, then both again: n^2 and n, nothing else.
  alone.n *= 2;
  const auto twice = plan::assemble(m, alone);
  alone.n *= 2;
  const auto fourfold = plan::assemble(m, alone);
  EXPECT_NEAR((fourfold.seconds - 4 * one.seconds) / (twice.seconds - 2 * one.seconds), 6, 1e-9);
  const double rows = 4 * one.seconds - twice.seconds;  // 16 000 of them, of 800 bytes
  EXPECT_GT(rows, 16000 * m.row);
  EXPECT_LT(rows, 16000 * (m.row + 800 * (2 / m.touch + 16 / m.memory)));
  const auto four = plan::assemble(m, sizes(*kernel, 4000, {2, 2}));
  expect_close(four.sent, 0.75 * (8 * 2e6 + 8 * 100 * 4000));
  expect_close(four.bytes, sizes(*kernel, 4000, {2, 2}).data_bytes() + 32e6 +
                               gram::assemble_overhead(*kernel, 4000, 100, {2, 2}, {}));
}

TEST(DirectStages, OfAStoredKernelEvaluateNothing) {
  Sizes s{.n = 1000, .d = 0, .shape = {1, 2}};
  const auto stage = plan::assemble(machine(), s);
  EXPECT_EQ(stage.flops, 0);
  expect_close(stage.bytes, 2 * s.share_bytes());
}

TEST(DirectStages, SolveForEigenpairsAtTheModelsTimeTimesTheRateOfDgemm) {
  const auto kernel = gaussian();
  const auto s = sizes(*kernel, 3000, {1, 2});
  const Machine slow = machine();
  Machine fast = slow;
  fast.gemm = fast.skinny = 1e30;  // nothing but the solver, which is scaled away
  const double checks = 64.0 * 3000 * 3000 / (2 * slow.skinny) +
                        64.0 * 3000 * 200 / (2 * slow.skinny) +
                        2.0 * 3000 * 200 * 200 / (2 * slow.gemm);
  for (const Method method : {Method::elpa1, Method::elpa2, Method::scalapack}) {
    const auto stage = plan::eigensolve(slow, s, method, 200);
    const double model = spectral::predicted_seconds(method, 3000, 200, true, s.shape,
                                                     la::elpa_build().generic_kernels, false);
    expect_close(stage.seconds, model * 75e9 / slow.gemm + checks);
    expect_close(stage.bytes,
                 s.data_bytes() +
                     spectral::plan(3000, 200, true, method, s.shape, s.nb, false).bytes_per_rank);
    EXPECT_LT(plan::eigensolve(fast, s, method, 200).seconds, 1e-6);
    const auto far = plan::eigensolve(slow.with_network(1e-6, 1e6), s, method, 200);
    expect_close(far.seconds - stage.seconds, far.sent / 1e6);
  }
}

TEST(DirectStages, FactoriseInAThirdOfNCubed) {
  const auto kernel = gaussian();
  Machine m = machine();
  m.skinny = m.exchange = 1e30;
  const auto small = plan::cholesky(m, sizes(*kernel, 4000, {2, 2}));
  const auto large = plan::cholesky(m, sizes(*kernel, 8000, {2, 2}));
  const auto wide = plan::cholesky(m, sizes(*kernel, 4000, {4, 4}));
  EXPECT_NEAR(large.seconds / small.seconds, 8, 1e-9);
  EXPECT_NEAR(small.seconds / wide.seconds, 4, 1e-9);
  EXPECT_GT(small.seconds, std::pow(4000.0, 3) / (3 * 4 * m.gemm));  // no faster than dgemm
  EXPECT_LT(small.seconds, 2 * std::pow(4000.0, 3) / (3 * 4 * m.gemm));
  expect_close(small.flops, std::pow(4000.0, 3) / 3 + 2 * 16e6 * 10);
  const Sizes s = sizes(*kernel, 4000, {2, 2});
  expect_close(small.bytes, s.data_bytes() + s.share_bytes() + 8.0 * 4000 * 52 / 4);
  const auto modified = plan::modified_cholesky(m, s, 300);
  expect_close(modified.seconds,
               small.seconds + plan::assemble(m, s).seconds + 2 * 16e6 * 300 / (4 * m.gemm));
  expect_close(modified.flops, small.flops + plan::assemble(m, s).flops + 16e6 * 300);
}

TEST(DirectStages, PredictFromEveryPairOfRows) {
  const auto kernel = gaussian();
  const Machine m = machine();
  const auto stage = plan::predict(m, sizes(*kernel, 4000, {1, 2}));
  const double sent = 8.0 * 4000 * 110 / 2;
  expect_close(stage.sent, sent);
  expect_close(stage.seconds, 1e6 * (entry_seconds(m, 100) + m.product_seconds(10, false) / 2) +
                                  4000 * m.row + sent / m.exchange + 2 * m.latency);
}

TEST(Operators, KeepHalfOfTheEntriesAndUseThemTwice) {
  const auto kernel = gaussian();
  const Machine m = machine();
  for (const dist::GridShape shape : {dist::GridShape{1, 1}, {1, 2}, {3, 3}}) {
    const auto s = sizes(*kernel, 20000, shape);
    const auto op = gram::operator_cost(s, keeping(gram::Storage::in_double), 64);
    EXPECT_EQ(op.storage, gram::Storage::in_double);
    EXPECT_EQ(op.stored_share, 1);
    const double half = 2e8 / s.ranks();
    EXPECT_GE(op.entries, half);
    EXPECT_LT(op.entries, 1.15 * half);
    expect_close(
        product_seconds(m, s, op, 64),
        op.entries * 4 * 64 / m.product + op.sent / m.exchange + 4 * (s.ranks() - 1) * m.latency);
    EXPECT_GE(op.bytes, 8 * op.entries);
    expect_close(plan::product(m, s, op).flops, 2 * 4e8 * 64);
  }
}

TEST(Operators, TradeMemoryForTime) {
  const auto kernel = gaussian();
  const Machine m = machine();
  const auto s = sizes(*kernel, 20000, {1, 2});
  using gram::Storage;
  const auto in_double = gram::operator_cost(s, keeping(Storage::in_double), 64);
  const auto in_single = gram::operator_cost(s, keeping(Storage::in_single), 64);
  const auto none = gram::operator_cost(s, keeping(Storage::none), 64);
  const auto mixed = gram::operator_cost(s, keeping(Storage::mixed, 0.6 * in_single.bytes), 64);
  EXPECT_EQ(none.stored_share, 0);
  EXPECT_EQ(m.seconds(none.set_up), 0);
  const auto product = [&](const OperatorCost& op) { return product_seconds(m, s, op, 64); };
  EXPECT_GT(mixed.stored_share, 0.1);
  EXPECT_LT(mixed.stored_share, 0.9);
  expect_close(product(in_single) - product(in_double), in_double.entries * m.convert);
  expect_close(product(none) - product(in_double), none.entries * entry_seconds(m, 100));
  EXPECT_LT(product(mixed), product(none));
  EXPECT_GT(product(mixed), product(in_single));
  EXPECT_LT(none.bytes, mixed.bytes);
  EXPECT_LT(mixed.bytes, in_single.bytes);
  EXPECT_LT(in_single.bytes, in_double.bytes);
}

TEST(Operators, SendNBlocksOverTheRootOfP) {
  const auto kernel = gaussian();
  const Machine m = machine();
  const auto sent = [&](int side, Index n, Index b) {
    return gram::operator_cost(sizes(*kernel, n, {side, side}), keeping(gram::Storage::in_double),
                               b)
        .sent;
  };
  EXPECT_EQ(sent(1, 20000, 64), 0);
  for (const int side : {4, 8, 16}) {  // 2 to 4 numbers a row of a tile that is not a rank's own
    const double unit = 8.0 * 40000 * 64 / side;
    EXPECT_GT(sent(side, 40000, 64), 1.5 * unit) << side;
    EXPECT_LT(sent(side, 40000, 64), 4.5 * unit) << side;
  }
  EXPECT_NEAR(sent(16, 40000, 64) / sent(8, 40000, 64), 0.5, 0.1);
  EXPECT_NEAR(sent(4, 20000, 128) / sent(4, 20000, 64), 2, 1e-9);
}

TEST(Operators, SendAsManyVectorsAsAProductHasAndTheSamePanels) {
  const auto kernel = gaussian();
  const auto s = sizes(*kernel, 20000, {2, 2});
  for (const auto storage : {gram::Storage::in_double, gram::Storage::none}) {
    auto options = keeping(storage);
    if (storage == gram::Storage::none) options.memory_bytes = 2e7;  // too little for all panels
    const auto one = gram::operator_cost(s, options, 1), wide = gram::operator_cost(s, options, 8);
    EXPECT_EQ(wide.panels_sent > 0, storage == gram::Storage::none);
    const double vector = (wide.sent - wide.panels_sent) / 8;
    EXPECT_GT(vector, 0);
    for (const double columns : {1.0, 2.0, 8.0, 24.0})
      EXPECT_NEAR(gram::product_cost(s, wide, columns).sent, wide.panels_sent + columns * vector,
                  1e-9 * wide.sent);
    if (storage == gram::Storage::in_double) {
      EXPECT_NEAR(one.sent, vector, 1e-9 * wide.sent);
    }
  }
}

TEST(Iterations, OfKrylovAreProductsOrthogonalisationAndSmallProblems) {
  const auto kernel = gaussian();
  Machine m = machine();
  const auto s = sizes(*kernel, 20000, {1, 1});
  const auto op = gram::operator_cost(s, keeping(gram::Storage::in_double), 50);
  const spectral::KrylovPlan run{.k = 100, .sizes = {.block = 50, .basis = 500}, .products = 400};
  const auto stage = plan::krylov(m, s, op, run);
  const double products = 8 * product_seconds(m, s, op, 50) + plan::product_seconds(m, s, op, 16);
  const double dense = stage.seconds - products - 2.0 * 20000 * 400 * 400 / m.skinny -
                       2.0 * 20000 * 500 * 100 / m.gemm;
  EXPECT_GT(dense, 15 * 64e6 / m.gemm * (1 - kRounding));  // no faster than dgemm
  EXPECT_LT(dense, 10 * 15 * 64e6 / m.gemm);
  expect_close(stage.bytes,
               s.data_bytes() + op.bytes + spectral::krylov_bytes(20000, 100, 1, run.sizes));
  const auto usual = spectral::krylov_plan(s, {.top = 100});
  EXPECT_GE(usual.products, 250);
  EXPECT_LE(usual.products, 800);
  EXPECT_LE(spectral::krylov_plan(sizes(*kernel, 30, {1, 1}), {.top = 30}).products, 30);
}

TEST(Iterations, TakeWiderBlocksWhereTilesAreComputedAgain) {
  const auto kernel = gaussian();
  const Machine m = machine();
  const auto s = sizes(*kernel, 20000, {1, 2});
  const auto stored = gram::operator_cost(s, keeping(gram::Storage::in_double), 64);
  const auto none = gram::operator_cost(s, keeping(gram::Storage::none), 64);
  expect_close(plan::fixed_columns(m, s, none) - plan::fixed_columns(m, s, stored),
               entry_seconds(m, 100) / m.column_seconds());
}

TEST(Iterations, OfConjugateGradientsAreProductsWithEveryOutput) {
  const auto kernel = gaussian();
  const Machine m = machine();
  const auto s = sizes(*kernel, 20000, {1, 1});
  const auto op = gram::operator_cost(s, keeping(gram::Storage::in_double), 10);
  const auto ten = plan::conjugate_gradients(m, s, op, 300, 10);
  const auto twenty = plan::conjugate_gradients(m, s, op, 300, 20);
  const double inner = 4.0 * 20000 * 300 * 10 + 20.0 * 20000 * 100;
  expect_close(twenty.seconds - ten.seconds,
               10 * (1.02 * product_seconds(m, s, op, 10) +
                     inner * m.product_seconds(10, false) / 40 + 128.0 * 20000 * 10 / m.memory));
  const auto sketch = plan::sketch(m, s, op, 300);
  EXPECT_GT(sketch.seconds, 6e6 * entry_seconds(m, 100) + 6.0 * 20000 * 9e4 / m.gemm);
  EXPECT_LT(sketch.seconds,
            2 * 6e6 * entry_seconds(m, 100) + 16.0 * 20000 * 9e4 / m.skinny + 100 * 27e6 / m.gemm);
  expect_close(std::max(sketch.bytes, ten.bytes),
               s.data_bytes() + op.bytes + krr::conjugate_gradients_bytes(s, 300));
}

TEST(Iterations, OfDescentAreStepsProductsAndSums) {
  const net::Network network(arch::parse("dense(500) relu dense(10)"), 100, arch::Parametrization{},
                             net::Start::antisymmetric);
  const double p = 2 * (101 * 500 + 501 * 10), P = 4, n = 1000, k = 30;
  const double forward = 4 * n * (100 * 500 + 500 * 10);  // two copies
  const double backward = forward + 4 * n * 500 * 10;     // no adjoints of the inputs
  const double step = forward + backward + 4 * k * 10 * n, product = 4 * forward;
  const Machine m = machine();
  const auto stage = plan::descent(m, 100.0 * train::step_cost<float>(network, 1000, 30, P),
                                   15.0 * train::rate_cost<float>(network, 1000, P));
  expect_close(stage.flops, 100 * step + 15 * product);
  // A layer of w inputs or units reaches w/(w + 6) of the rate; here the mean over both layers.
  const auto narrow = [](double w) { return (w + 6) / w; };
  const double slower =
      (100 * 500 * narrow(100) * narrow(500) + 500 * 10 * narrow(500) * narrow(10)) /
      (100 * 500 + 500 * 10);
  const double of_network = 100 * (forward + backward) + 15 * product;
  const double work = (slower * of_network + 100 * 4 * k * 10 * n) / (0.85 * P * m.gemm_single);
  const double sum = 2 * 0.75 * 4 * p;  // bytes that a rank sends in an all-reduce
  // Each unit of each row 8 times, the gradient and w twice each in a step.
  const double copied = 115 * 8 * 4 * 2 * 510 * n / P + 100 * 4 * 4 * p;
  expect_close(stage.seconds, work + 115 * (sum / m.bandwidth + 4 * m.latency) + copied / m.memory);
  expect_close(stage.sent, 100 * sum);
}

TEST(Plans, ShowTimesOnlyWhereTheyArePredictions) {
  for (const bool timed : {false, true}) {
    Plan plan(1024, timed);
    plan.stage(
        {.name = "one", .method = "way", .bytes = 2048, .flops = 10, .seconds = 3, .sent = 7});
    plan.stage({.name = "two", .bytes = 1024, .flops = 5});
    EXPECT_EQ(plan.peak(), 3072);
    EXPECT_EQ(plan.flops(), 15);
    EXPECT_EQ(plan.seconds(), 3);
    EXPECT_EQ(plan.sent(), 7);
    EXPECT_EQ(plan.text().find("time") != std::string::npos, timed);
    EXPECT_EQ(plan.text().find("3.0 s") != std::string::npos, timed);
    EXPECT_NE(plan.text().find("memory a rank"), std::string::npos);
    EXPECT_EQ(plan.json().size(), 2u);
    EXPECT_EQ(plan.json()[0]["seconds"], 3);
  }
}

TEST(Plans, WriteTimesInUnitsThatOneReads) {
  EXPECT_EQ(format_seconds(0.25), "0.250 s");
  EXPECT_EQ(format_seconds(3), "3.0 s");
  EXPECT_EQ(format_seconds(59), "59 s");
  EXPECT_EQ(format_seconds(600), "10 min");
  EXPECT_EQ(format_seconds(4 * 3600), "4.0 h");
  EXPECT_EQ(format_seconds(20 * 86400), "20 days");
  EXPECT_EQ(format_seconds(20 * 365.25 * 86400), "20 years");
}

}  // namespace
}  // namespace mercer::plan
