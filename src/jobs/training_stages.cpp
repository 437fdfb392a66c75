// The stages of a training's plan: what each holds, and what it costs.

#include <algorithm>
#include <utility>

#include "mercer/base/text.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/plan/forecast.hpp"
#include "mercer/train/cost.hpp"
#include "mercer/train/rate.hpp"
#include "training_parts.hpp"

namespace mercer::jobs {

RowSets row_sets(const TrainingPlan& plan, Index n, Index c) {
  const auto& options = plan.options;
  RowSets sets{.rows = n};
  if (options.on_parameters()) sets = {.rows = plan.sample * c, .outputs = c};
  if (options.joint_outputs) sets = {.rows = n * c, .outputs = c};
  if (options.blocks())
    sets = {.count = ceil_div(n, options.descent.batch), .rows = options.descent.batch};
  if (options.preconditioned())
    sets.top = options.top < 0 ? sets.rows : std::min(options.top, sets.rows);
  sets.traced = options.traced();
  if (!options.eigenfunctions.empty() && options.spectrum.empty())
    sets.traced = std::min(n, sets.traced + kBeyondFunctions);
  sets.k = std::max(sets.top, sets.traced);
  return sets;
}

namespace {

/// Bytes a rank.
struct Held {
  double data = 0;     ///< the training and test rows
  double always = 0;   ///< beside K: the rows, their copies block by block, and weights
  double descent = 0;  ///< at the peak of the steps
  Index rows = 0;      ///< of the data set, with their outputs
  double entries = 0;  ///< of a psi (train::most_entries()); 0 without S on the parameters
};

template <class T>
Held held_bytes(const TrainingPlan& plan, const net::Network& network, const data::Split& sets,
                std::span<const T> w_0, const RowSets& of_S, int ranks) {
  const auto real = [](Index count) { return static_cast<double>(count); };
  const Index n = sets.train.rows(), m = sets.test.has_value() ? sets.test->rows() : 0;
  const double p = real(network.parameters()), width = real(network.inputs() + network.outputs());
  const double copies = plan.options.blocks() ? 8 * real(n) * width / ranks : 0;
  const double test =
      m > 0 ? sizeof(T) * real(m) * real(network.inputs() + 2 * network.outputs()) / ranks +
                  kTestMemory
            : 0;
  // phi_i and residuals of the test rows.
  const double functions =
      plan.options.eigenfunctions.empty()
          ? 0
          : 8 * real(m) * real(2 * of_S.traced + 3 * network.outputs()) / ranks;
  Held held{.data = 8 * real(n + m) * width / ranks,
            .rows = network.outputs() * ceil_div(n, ranks)};
  const double of_kernel = plan.options.precondition == Precondition::empirical ? 8 * p : 0;
  const bool on_parameters = plan.options.on_parameters(), joint = plan.options.joint_outputs;
  const double sampled = 2 * 8 * real(plan.sample) * width / ranks;
  // w, w_0, and the rows of the steps, made before the pairs.
  held.always = held.data + copies + 2 * sizeof(T) * p + of_kernel + sampled +
                train::row_set_bytes<T>(network, ceil_div(n, ranks), 0);
  // Modes of S on residuals, for each row.
  const Index modes = on_parameters ? 0 : joint ? of_S.k * network.outputs() : of_S.k;
  const double seeded = joint ? 8 * real(of_S.rows) * width / ranks : 0;
  // w, w_0, and w in double for the result.
  held.descent = held.data + copies + sampled + seeded +
                 train::row_set_bytes<T>(network, ceil_div(n, ranks), modes) + 2 * sizeof(T) * p +
                 of_kernel + 8 * p + test + functions;
  const Index rows = plan.options.blocks() ? of_S.rows : n;
  held.descent +=
      train::descend_bytes<T>(network, ceil_div(rows, ranks), n, on_parameters ? 0 : of_S.top,
                              plan.options.descent, plan.activation_bytes);
  if (!on_parameters) return held;
  held.entries = train::most_entries(network, train::equal_copies<T>(network, w_0), ranks);
  held.descent += train::parameter_bytes<T>(held.entries, of_S.top);
  return held;
}

/// Sizes of the K of one S, with what is held beside it.
gram::Sizes kernel_sizes(const TrainingPlan& plan, const RowSets& of_S, Index d, const Held& held,
                         dist::GridShape shape) {
  gram::Sizes sizes{.n = of_S.rows,
                    .d = d,
                    .shape = shape,
                    .nb = plan.nb,
                    .kernel = gram::kernel_of(plan.kernel)};
  if (of_S.outputs > 0) {  // their rows are beside the data
    sizes.d += of_S.outputs > 1 ? of_S.outputs : 0;
    sizes.held = held.always;
  } else {
    sizes.held = held.always - sizes.data_bytes();
  }
  return sizes;
}

/// How the pairs of one S are computed. In some runs its K is in memory during the descent.
SpectrumStrategy pair_strategy(const TrainingPlan& plan, gram::Sizes sizes, Index k,
                               const Held& held, const Resources& resources) {
  const auto& options = plan.options;
  const SpectrumOptions asked{.top = k, .method = options.method, .storage = options.storage};
  asked.validate();
  asked.validate(plan.kernel);
  if (options.descent.refresh > 0 || options.new_blocks) sizes.held += held.descent - held.always;
  return choose(asked, plan.kernel, sizes, k, resources);
}

/// K, in double, and its pairs, for one S.
std::vector<plan::Stage> pair_stages(const TrainingPlan& plan, const gram::Sizes& sizes, Index k,
                                     const plan::Machine& machine) {
  const auto& how = plan.pairs;
  if (!how.iterative)
    return {plan::assemble(machine, sizes), plan::eigensolve(machine, sizes, how.direct, k)};
  const auto& products = how.products;
  std::vector<plan::Stage> stages;
  if (products.stored)
    stages.push_back(plan::assemble(machine, sizes));
  else if (products.cost.stored_share > 0)
    stages.push_back(plan::store(machine, sizes, products.cost));
  stages.push_back(plan::krylov(machine, sizes, products.cost, how.run));
  return stages;
}

/// S^(1/2) K_0 S^(1/2), K_0 the network's own kernel at w_0, and its eigenvalues. `k`: pairs of S;
/// 0 without S.
template <class T>
plan::Stage operator_stage(const net::Network& network, std::span<const T> w_0, gram::Sizes sizes,
                           Index k, const plan::Machine& machine) {
  const auto K_0 = gram::Source::function(net::empirical_kernel(network, {w_0.begin(), w_0.end()}));
  const double n = static_cast<double>(sizes.n);
  const double vectors = 8 * n * static_cast<double>(k) / sizes.ranks();
  sizes.kernel = gram::kernel_of(K_0);
  sizes.held += 8 * static_cast<double>(w_0.size()) + 2 * vectors;  // V by rows and on the grid
  const auto method = spectral::choose(sizes.n, sizes.n, false, sizes.shape, false).method;
  const auto assembled = plan::assemble(machine, sizes);
  const double products = 8 * n * n * static_cast<double>(k);  // S^(1/2) from the left and right
  auto stage = plan::eigensolve(machine, sizes, method, sizes.n, false);
  stage.name = "K_0 S";
  stage.flops += assembled.flops + products;
  stage.seconds += assembled.seconds + machine.seconds({.gemm = products / sizes.ranks()});
  stage.bytes = std::max(stage.bytes, assembled.bytes + vectors);  // V^T K and K V
  return stage;
}

/// Bytes that the squares of `rows` rows of J on this rank take, in pieces of 512 of them.
double squares_bytes(const kernel::Kernel& kernel, Index columns, Index rows) {
  return static_cast<double>(std::min<Index>(512, rows)) *
             static_cast<double>(kernel.bytes_per_row(columns)) +
         static_cast<double>(kernel.scratch_bytes());
}

/// Psi and beta of S on the parameters. Notes the flops.
template <class T>
plan::Stage psi_stage(TrainingPlan& plan, const net::Network& network, const RowSets& of_S,
                      const Held& held, double ranks, const plan::Machine& machine) {
  const auto cost = train::parameter_cost<T>(network, held.entries, plan.sample, of_S.top, ranks);
  plan.flops.pairs += cost.flops;
  return {.name = "psi",
          .method = counted(of_S.top, "direction"),
          .bytes =
              (plan.options.descent.refresh > 0 ? held.descent : held.always) +
              train::parameter_bytes<T>(held.entries, of_S.top) +
              train::parameter_workspace_bytes<T>(network,
                                                  ceil_div(plan.sample, static_cast<Index>(ranks)),
                                                  of_S.top, plan.activation_bytes) +
              8 * static_cast<double>(plan.sample * network.outputs() * of_S.top) / ranks +
              squares_bytes(plan.kernel.kernel(), kernel_columns(plan.options, network), held.rows),
          .flops = cost.flops,
          .seconds = machine.seconds(cost),
          .sent = cost.sent + cost.summed};
}

/// lambda_1 and beta of K_0 for the rate of plain batches.
template <class T>
plan::Stage rate_stage(const TrainingPlan& plan, const net::Network& network,
                       std::span<const T> w_0, const Held& held, const Resources& resources) {
  const Index c = network.outputs(), columns = network.inputs() + (c > 1 ? c : 0);
  const auto own = net::empirical_kernel(network, {w_0.begin(), w_0.end()},
                                         c > 1 ? net::Outputs::full : net::Outputs::trace);
  gram::Sizes sizes{.n = plan.sample * c, .d = columns, .shape = resources.shape, .kernel = own};
  sizes.nb = resources.block_of(sizes.n);
  sizes.held = held.always + 8 * static_cast<double>(w_0.size());
  const auto assembled = plan::assemble(resources.machine, sizes);
  const auto method = spectral::choose(sizes.n, 1, true, sizes.shape, false).method;
  auto stage = plan::eigensolve(resources.machine, sizes, method, 1);
  stage.name = "rate";
  stage.method = fmt::format("lambda_1 of {}", counted(plan.sample, "row"));
  stage.bytes = std::max(
      {stage.bytes, assembled.bytes, sizes.held + squares_bytes(*own, columns, held.rows)});
  stage.flops += assembled.flops;
  stage.seconds += assembled.seconds;
  return stage;
}

/// What is recorded of K_t: K_0 stays where K_t is compared with it, and the K_t of all rows is
/// assembled at every record beside it and what the steps hold; Track::minimum also computes its
/// eigenvalues, for several outputs those of rows and outputs. `k`: modes of an S on residuals.
/// Notes the flops of one record.
template <class T>
plan::Stage change_stage(TrainingPlan& plan, const net::Network& network, std::span<const T> w_0,
                         gram::Sizes sizes, Index n, Index k, const Held& held,
                         const Resources& resources) {
  const auto own = gram::Source::function(net::empirical_kernel(network, {w_0.begin(), w_0.end()}));
  sizes.n = n;
  sizes.nb = resources.block_of(n);
  sizes.kernel = gram::kernel_of(own);
  sizes.held = 0;
  sizes.held = held.descent + 8 * static_cast<double>(w_0.size()) - sizes.data_bytes();
  const auto& track = plan.options.track;
  const double K_0 = track.kernel || plan.options.trace_kernel ? sizes.share_bytes() : 0;
  auto stage = plan::assemble(resources.machine, sizes);
  // V of S, and (K_t - K_0) V.
  const double S = track.kernel ? 2 * 8 * static_cast<double>(n * k) / sizes.ranks() : 0;
  stage.bytes += K_0 + S;
  if (track.minimum) {
    sizes.held += K_0 + S / 2;
    const Index c = network.outputs();
    if (c > 1) {  // of the rows and outputs, in place of K_t
      sizes.n = n * c;
      sizes.d += c;
      sizes.nb = spectral::recommended_block(sizes.n, sizes.shape);
      sizes.kernel = net::empirical_kernel(network, {w_0.begin(), w_0.end()}, net::Outputs::full);
    }
    const auto method = spectral::choose(sizes.n, sizes.n, false, sizes.shape, false).method;
    const auto values = plan::eigensolve(resources.machine, sizes, method, sizes.n, false);
    const auto assembled = plan::assemble(resources.machine, sizes);
    stage.bytes = std::max({stage.bytes, values.bytes, assembled.bytes});
    stage.flops += values.flops + (c > 1 ? assembled.flops : 0);
    stage.seconds += values.seconds + (c > 1 ? assembled.seconds : 0);
  }
  plan.flops.change = stage.flops;
  const Index matrices = 1 + plan.options.descent.records(n);
  stage.name = "K_t";
  stage.method = "at most " + counted(matrices, "matrix", "matrices");
  stage.flops *= static_cast<double>(matrices);
  stage.seconds *= static_cast<double>(matrices);
  return stage;
}

/// The eigenfunctions on m test rows.
plan::Stage functions_stage(const TrainingPlan& plan, gram::Sizes sizes, Index m, const Held& held,
                            const plan::Machine& machine) {
  sizes.m = m;
  sizes.c = plan.options.traced();
  const auto cost = gram::apply_cross_cost(sizes);
  const double values = 8 * static_cast<double>(m) * static_cast<double>(sizes.c) / sizes.ranks();
  return {.name = "functions",
          .method = fmt::format("{} on {}", counted(sizes.c, "eigenfunction"), counted(m, "row")),
          .bytes = held.always + cost.bytes + 2 * values,
          .flops = cost.flops,
          .seconds = machine.seconds(cost),
          .sent = cost.sent};
}

/// The steps, and the measurements of their rates; notes the flops of both. The caller sets
/// `bytes`.
template <class T>
plan::Stage descent_stage(TrainingPlan& plan, const net::Network& network, Index n,
                          const RowSets& of_S, const Held& held, Index refreshes, double ranks,
                          const plan::Machine& machine) {
  const auto& o = plan.options.descent;
  const Index rows = o.batch > 0 ? o.batch : n;
  const Index modes = plan.options.on_parameters() ? 0 : of_S.top;
  // Measured with each S.
  const bool measured = o.rate == 0 && plan.sample == 0;
  const Index products = measured ? (1 + refreshes) * train::kUsualProducts : 0;
  auto step = train::step_cost<T>(network, rows, modes, ranks);
  if (held.entries > 0) step += train::parameter_step_cost<T>(held.entries, of_S.top, ranks);
  const auto rate = train::rate_cost<T>(network, n, ranks);
  plan.flops.step = step.flops;
  plan.flops.rate_product = rate.flops;
  auto stage = plan::descent(machine, static_cast<double>(o.steps) * step,
                             static_cast<double>(products) * rate);
  stage.method = fmt::format("at most {} of {}", counted(o.steps, "step"), counted(rows, "row"));
  if (products > 0) stage.method += fmt::format(", rate by {} products", train::kUsualProducts);
  return stage;
}

/// The stages of one S, or of the rate of plain batches; decides how its pairs are computed.
template <class T>
std::vector<plan::Stage> stages_of_S(TrainingPlan& plan, const net::Network& network,
                                     std::span<const T> w_0, const RowSets& of_S,
                                     const gram::Sizes& sizes, const Held& held,
                                     const Resources& resources) {
  std::vector<plan::Stage> stages;
  if (plan.solves) {
    plan.pairs = pair_strategy(plan, sizes, of_S.k, held, resources);
    stages = pair_stages(plan, sizes, of_S.k, resources.machine);
    for (const auto& stage : stages) plan.flops.pairs += stage.flops;
    if (plan.options.on_parameters())
      stages.push_back(psi_stage<T>(plan, network, of_S, held, sizes.ranks(), resources.machine));
    // S by rows and outputs: the pairs as they were found, by rows, those of this rank's rows, in T.
    if (plan.options.joint_outputs)
      stages.push_back({.name = "S",
                        .method = counted(of_S.k, "mode"),
                        .bytes = (plan.options.descent.refresh > 0 ? held.descent : held.always) +
                                 (3 * 8 + sizeof(T)) * static_cast<double>(of_S.rows) *
                                     static_cast<double>(of_S.k) / sizes.ranks()});
  }
  if (plan.options.plain_batches()) {
    stages.push_back(rate_stage<T>(plan, network, w_0, held, resources));
    plan.flops.once += stages.back().flops;
  }
  return stages;
}

}  // namespace

template <class T>
void plan_stages(TrainingPlan& plan, const net::Network& network, const data::Split& sets,
                 std::span<const T> w_0, Index given, const Resources& resources,
                 double load_seconds) {
  const auto& options = plan.options;
  const auto& machine = resources.machine;
  const Index n = sets.train.rows(), d = sets.train.dimension();
  const int ranks = resources.shape.rows * resources.shape.cols;
  const auto of_S = row_sets(plan, n, network.outputs());
  const auto held = held_bytes<T>(plan, network, sets, w_0, of_S, ranks);
  plan.nb = resources.block_of(of_S.rows);
  plan.solves = of_S.k > 0 && options.spectrum.empty();
  const auto sizes = kernel_sizes(plan, of_S, d, held, resources.shape);
  auto of_each = stages_of_S<T>(plan, network, w_0, of_S, sizes, held, resources);
  if (!options.spectrum.empty()) {
    const double copy = 8 * static_cast<double>(n) * static_cast<double>(given) / ranks;
    of_each.push_back(
        {.name = "pairs", .method = "given", .bytes = held.always + kCopiesByRows * copy});
  }
  Index refreshes =
      options.descent.refresh > 0 ? options.descent.steps / options.descent.refresh : 0;
  if (options.new_blocks)
    refreshes += std::max<Index>(0, ceil_div(options.descent.steps, of_S.count) - 1);
  auto train = descent_stage<T>(plan, network, n, of_S, held, refreshes, static_cast<double>(ranks),
                                machine);
  train.bytes = held.descent;

  const std::string narrower =
      plan.single ? "a narrower network" : "`single` or a narrower network";
  plan.stages.suggest(of_S.k > 0 ? "more ranks, fewer rows, a smaller `top` or " + narrower
                                 : "more ranks, fewer rows, " + narrower,
                      plan.pairs.lacks);
  plan.stages.stage({.name = "load", .bytes = 2 * held.data, .seconds = load_seconds});
  double refresh_bytes = 0;
  for (auto& stage : of_each) {
    stage.flops *= static_cast<double>(of_S.count);
    stage.seconds *= static_cast<double>(of_S.count);
    refresh_bytes = std::max(refresh_bytes, stage.bytes - held.always);
    train.seconds += static_cast<double>(refreshes) * stage.seconds;
    train.flops += static_cast<double>(refreshes) * stage.flops;
    plan.stages.stage(stage);
  }
  if (options.descent.refresh > 0 || options.new_blocks) train.bytes += refresh_bytes;
  if (!options.eigenfunctions.empty())
    plan.stages.stage(functions_stage(plan, sizes, sets.test->rows(), held, machine));
  if (options.trace_kernel || options.track.of_kernel()) {
    const Index modes = options.preconditioned() && !options.on_parameters() ? of_S.k : Index{0};
    const auto stage = change_stage<T>(plan, network, w_0, sizes, n, modes, held, resources);
    const double K_0 = 8 * static_cast<double>(n) * static_cast<double>(n) / ranks;
    if (options.trace_kernel || options.track.kernel) train.bytes += K_0;
    plan.stages.stage(stage);
  }
  if (options.operator_spectrum) {
    const auto stage =
        operator_stage(network, w_0, sizes, options.preconditioned() ? of_S.k : Index{0}, machine);
    plan.flops.once += stage.flops;
    plan.stages.stage(stage);
  }
  plan.stages.stage(train);
}

template void plan_stages<double>(TrainingPlan&, const net::Network&, const data::Split&,
                                  std::span<const double>, Index, const Resources&, double);
template void plan_stages<float>(TrainingPlan&, const net::Network&, const data::Split&,
                                 std::span<const float>, Index, const Resources&, double);

}  // namespace mercer::jobs
