// The stages of a fit's plan: what each holds, and what it costs.

#include <algorithm>

#include "mercer/base/text.hpp"
#include "mercer/krr/cost.hpp"
#include "mercer/plan/forecast.hpp"
#include "ridge_parts.hpp"

namespace mercer::jobs {

bool estimated(const RidgeOptions& options) {
  return options.choice.has_value() || options.ridges.size() > 1;
}

double vectors_bytes(const gram::Sizes& sizes, Index k) {
  return 8 * static_cast<double>(sizes.n) * static_cast<double>(k) / sizes.ranks();
}

Index direct_pairs(const RidgeOptions& options, Index n) {
  if (!options.spectrum.empty() || (!options.by_eigenpairs() && !options.transductive)) return 0;
  return options.compares() || options.top < 0 ? n : std::min(options.top, n);
}

double times_bytes(const RidgeOptions& options, const gram::Sizes& sizes, Index rows) {
  const auto times =
      options.time.choice.has_value() ? 1.0 : static_cast<double>(options.time.times.size());
  return 8 * times * static_cast<double>(sizes.c * (sizes.n + rows)) / sizes.ranks();
}

namespace {

constexpr Index kTimesTried = 100;  // of krr::time_grid(), about

/// Redistributing k given pairs, of which `copies` are held at a time.
plan::Stage given_pairs(const gram::Sizes& sizes, Index k, int copies) {
  const double copy =
      sizes.element_bytes() * static_cast<double>(sizes.n) * static_cast<double>(k) / sizes.ranks();
  return {.name = "pairs", .method = "given", .bytes = sizes.data_bytes() + copies * copy};
}

/// Pairs of the rows that are not held out, beside those of all, and the errors on the others.
void plan_holdout(plan::Plan& stages, const gram::Sizes& sizes, const plan::Machine& machine,
                  spectral::Method method) {
  auto solve = plan::eigensolve(machine, sizes, method, sizes.n);
  auto all = sizes;
  all.m = sizes.n;
  all.c *= kTimesTried;
  const auto assembly = plan::assemble(machine, sizes), predictions = plan::predict(machine, all);
  solve.name = "choose";
  solve.bytes += sizes.element_bytes() * static_cast<double>(sizes.n) *
                 static_cast<double>(sizes.n) / sizes.ranks();
  solve.seconds += assembly.seconds + predictions.seconds;
  solve.flops += assembly.flops + predictions.flops;
  stages.stage(solve);
}

/// Training times from k pairs: one product with K beside them, and the results.
plan::Stage top_times(const gram::Sizes& sizes, const plan::Machine& machine,
                      const RidgeOptions& options, Index k) {
  auto all = sizes;
  all.m = sizes.n;
  auto stage = plan::predict(machine, all);
  stage.name = "solve";
  stage.method = fmt::format("{} of {} pairs, one product", k, sizes.n);
  const double times = options.time.choice.has_value()
                           ? static_cast<double>(kTimesTried)
                           : static_cast<double>(options.time.times.size());
  const auto c = static_cast<double>(std::max<Index>(1, sizes.c));
  const double modes = 4 * static_cast<double>(sizes.n) * static_cast<double>(k) * c * (times + 1);
  stage.flops += modes;
  stage.seconds += modes / (machine.gemm * sizes.ranks());
  stage.bytes = std::min(stage.bytes, sizes.data_bytes() + gram::Options{}.panel_bytes);
  stage.bytes += vectors_bytes(sizes, k) + times_bytes(options, sizes, 2 * sizes.n);
  return stage;
}

}  // namespace

void plan_direct(plan::Plan& stages, const RidgeOptions& options, const gram::Sizes& sizes,
                 const plan::Machine& machine, Index given, spectral::Method method) {
  const auto& time = options.time;
  const double ridges = std::max(
      {1.0, static_cast<double>(options.ridges.size()), static_cast<double>(time.times.size())});
  if (!options.by_eigenpairs() && !options.transductive) {
    stages.stage(plan::assemble(machine, sizes));
    stages.stage(plan::cholesky(machine, sizes));
    return;
  }
  const bool computed = options.spectrum.empty();
  const Index k = computed ? direct_pairs(options, sizes.n) : given;
  // A time is chosen by holdout with pairs of the rows that are not left out, beside the others.
  const bool holds_out = time.choice == krr::RidgeCriterion::holdout;
  if (computed) {
    stages.stage(plan::assemble(machine, sizes));
    stages.stage(plan::eigensolve(machine, sizes, method, k));
  } else {
    // By rows and on the grid; for training times by rows again, with what is sent and received.
    stages.stage(given_pairs(sizes, k, time.asked() && k < sizes.n ? kCopiesByRows + 2 : 2));
  }
  if (k < sizes.n && time.asked()) {
    stages.stage(top_times(sizes, machine, options, k));
  } else if (k < sizes.n || options.transductive) {
    auto stage = plan::modified_cholesky(machine, sizes, k);  // K is assembled for each ridge
    stage.flops *= ridges;
    stage.seconds *= ridges;
    stages.stage(stage);
  } else {
    const auto loo = krr::RidgeCriterion::leave_one_out;
    const double scored = options.choice == loo ? krr::kSelected
                          : time.choice == loo  ? static_cast<double>(kTimesTried)
                                                : 0.0;
    if (holds_out) plan_holdout(stages, sizes, machine, method);
    auto path = plan::ridge_path(machine, sizes, ridges, scored);
    path.bytes += times_bytes(options, sizes, sizes.n);
    stages.stage(path);
  }
}

void plan_iterative(plan::Plan& stages, const RidgeOptions& options, const RidgeStrategy& strategy,
                    const gram::Sizes& sizes, const plan::Machine& machine) {
  const auto& op = strategy.products.cost;
  if (strategy.products.stored)
    stages.stage(plan::assemble(machine, sizes));
  else if (op.stored_share > 0)
    stages.stage(plan::store(machine, sizes, op));
  if (strategy.run.has_value()) stages.stage(plan::krylov(machine, sizes, op, *strategy.run));
  if (!options.spectrum.empty()) {
    auto stage = given_pairs(sizes, strategy.pairs, kCopiesByRows);
    stage.bytes += op.bytes;
    stages.stage(stage);
  }
  if (strategy.preconditioner == Preconditioning::cholesky)
    stages.stage(plan::sketch(machine, sizes, op, strategy.rank));
  const double ridges = std::max<double>(1, static_cast<double>(options.ridges.size()));
  const Index rank =
      strategy.preconditioner == Preconditioning::eigenpairs ? strategy.pairs : strategy.rank;
  const double S = options.modified() ? vectors_bytes(sizes, strategy.pairs) : 0;
  if (estimated(options)) {
    constexpr double kTried = 20;  // about as many as select() tries
    auto with_probes = sizes;
    if (options.choice != krr::RidgeCriterion::holdout) with_probes.c += kRidgeProbes;
    auto stage = plan::conjugate_gradients(
        machine, with_probes, op, rank,
        (options.choice.has_value() ? kTried : ridges) * strategy.iterations);
    stage.name = "choose";
    stage.bytes += S;
    stages.stage(stage);
  }
  auto stage = plan::conjugate_gradients(machine, sizes, op, rank, ridges * strategy.iterations);
  stage.bytes += S;
  stages.stage(stage);
}

void plan_covariance(RidgePlan& plan, const plan::Machine& machine) {
  const auto& sizes = plan.sizes;
  const bool trained = plan.kernel.text().starts_with("ntk(");
  const double n = static_cast<double>(sizes.n), m = static_cast<double>(sizes.m);
  const double times = std::max(1.0, static_cast<double>(plan.options.time.times.size()));
  auto test = sizes;
  test.n = sizes.m;
  auto stage = plan::assemble(machine, test);
  stage.name = "covariance";
  stage.method = trained ? "all layers" : "readout";
  auto cross = gram::assemble_cross_cost(sizes);
  stage.seconds += (trained ? 2 : 1) * machine.seconds(cross);
  stage.flops += (trained ? 2 : 1) * cross.flops;
  if (trained) {
    const auto square = plan::assemble(machine, sizes);
    stage.seconds += square.seconds;
    stage.flops += square.flops;
  }
  Cost products;
  const double flops = (trained ? 4 * n * n * n + 4 * m * n * n : 0) +
                       times * (2 * m * n * n + (trained ? 4 : 2) * m * m * n);
  (sizes.single ? products.gemm_single : products.gemm) = flops;
  stage.seconds += machine.seconds(products);
  stage.flops += flops;
  const double matrices = n * n + (trained ? 2 * n * n + 4 * m * n : 3 * m * n) + 2 * m * m;
  stage.bytes =
      sizes.data_bytes() + (sizes.element_bytes() * matrices + 8 * times * m * m) / sizes.ranks();
  plan.stages.stage(stage);
}

void plan_curve(RidgePlan& plan, const data::Split& sets, const plan::Machine& machine) {
  const auto& all = plan.sizes;
  const auto& curve = plan.options.curve;
  auto scores = plan::ridge_path(machine, all, 0, static_cast<double>(curve.sizes.size()));
  scores.name = "curve";
  plan.stages.stage(scores);
  if (curve.subsets == 0) return;
  const double pairs = all.share_bytes();
  plan::Stage total{.name = "measure", .method = counted(curve.subsets, "subset") + " for each n"};
  for (const Index n : curve.sizes) {
    auto sizes = all;
    sizes.n = n;
    sizes.nb = block_of_subset(plan, n);
    sizes.m = on_test_rows(sets) ? all.m : all.n - n;
    const auto one = options_of_subset(plan.options, 1);
    plan::Plan stages(0, true);
    plan_direct(stages, one, sizes, machine, 0, one.eigensolver);
    stages.stage(plan::predict(machine, sizes));
    const auto subsets = static_cast<double>(curve.subsets);
    total.seconds += subsets * stages.seconds();
    total.flops += subsets * stages.flops();
    total.bytes = std::max(total.bytes, pairs + all.data_bytes() + stages.peak());
  }
  plan.stages.stage(total);
}

double pairs_bytes(const RidgePlan& plan, Index k) {
  auto more = plan.options;
  more.top = k;
  plan::Plan stages(0);
  auto sizes = plan.sizes;
  sizes.m = 0;
  plan_direct(stages, more, sizes, {}, 0, plan.strategy.eigensolver);
  return stages.peak();
}

}  // namespace mercer::jobs
