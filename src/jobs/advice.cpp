#include "mercer/jobs/advice.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "advice_model.hpp"
#include "mercer/base/error.hpp"
#include "mercer/base/text.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/plan/forecast.hpp"
#include "mercer/train/cost.hpp"
#include "mercer/train/rate.hpp"
#include "training_parts.hpp"

namespace mercer::jobs {
namespace {

/// Modes whose V^T Q a recursion of many products is expected to keep: with more it is short.
constexpr double kModesOfLongRuns = 100;

double real(Index count) {
  return static_cast<double>(count);
}

void check(const TrainingOptions& options) {
  const auto& o = options.descent;
  if (!(o.tolerance > 0 || o.loss > 0))
    throw InputError("`advise`: give `tolerance` or `loss`: what the training is to reach");
  const char* unknown = o.momentum > 0       ? "momentum"
                        : o.weight_decay > 0 ? "weight_decay"
                        : options.blocks()   ? "stochastic` block"
                        : options.preconditioned() && o.batch > 0 && !options.on_parameters()
                            ? "stochastic` rows"
                        : options.joint_outputs     ? "joint_outputs"
                        : !options.spectrum.empty() ? "spectrum"
                        : o.refresh > 0             ? "refresh"
                                                    : nullptr;
  if (unknown != nullptr)
    throw InputError("`advise`: its linear model is without `{}{}", unknown,
                     std::string_view(unknown).find('`') == std::string_view::npos ? "`" : "");
}

/// 0, 10, 20, 50, 100, 200, ... below `most`, and `asked`, or `most` if that is less, ascending.
std::vector<Index> numbers_of_modes(Index most, Index asked) {
  std::vector<Index> ks{0};
  for (Index ten = 10; ten < most; ten *= 10)
    for (const Index k : {ten, 2 * ten, 5 * ten})
      if (k < most) ks.push_back(k);
  if (asked > 0) ks.push_back(std::min(asked, most));
  std::ranges::sort(ks);
  ks.erase(std::unique(ks.begin(), ks.end()), ks.end());
  return ks;
}

/// Times and memory, by the plan of such a training.
template <class T>
void cost(const TrainingOptions& asked, const net::Network& network, const gram::Source& kernel,
          const data::Split& sets, std::span<const T> w_0, const Resources& resources,
          const comm::Communicator& comm, AdvisedTop& top) {
  auto options = asked;
  options.top = top.k > 0 ? top.k : -1;
  options.directions = {};
  options.default_directions = false;
  if (options.descent.batch == 0) options.sample = 0;  // full batches take S from all rows
  if (top.k == 0) {
    options.precondition = Precondition::none;
    options.g = "flat";
    options.method = spectral::Method::automatic;
    options.storage = gram::Storage::automatic;
  }
  constexpr Index kSteps = 1000;
  const auto seconds = [&](Index steps) {
    options.descent.steps = steps;
    const auto plan = jobs::plan<T>(options, network, kernel, sets, w_0, resources, comm);
    top.bytes = plan.stages.peak();
    top.fits = !(resources.limit() > 0 && top.bytes > resources.limit());
    return plan.stages.seconds();
  };
  top.seconds_S = seconds(0);
  top.seconds_step = (seconds(kSteps) - top.seconds_S) / real(kSteps);
}

}  // namespace

ModelSize size_of_model(const TrainingOptions& options, Index n, Index c) {
  const bool full = options.descent.batch > 0 && c > 1;
  const Index most = ceil_div(kPairNumbers, full ? c : 1);
  const Index s = std::min(n, options.sample > 0 ? options.sample : most);
  return {s, full ? s * c : s, full};
}

template <class T>
gram::Source kernel_of_model(const TrainingOptions& options, const net::Network& network,
                             const gram::Source& kernel, std::span<const T> w_0) {
  if (options.precondition == Precondition::kernel && options.descent.batch == 0) return kernel;
  const bool full = options.descent.batch > 0 && network.outputs() > 1;
  return gram::Source::function(net::empirical_kernel(
      network, {w_0.begin(), w_0.end()}, full ? net::Outputs::full : net::Outputs::trace));
}

std::vector<std::string> Advice::lines() const {
  std::vector<std::string> lines{
      fmt::format("{:>6}  {:>10}  {:>12}  {:>9}  {:>10}  {:>10}  {:>10}  {:>10}", "top", "spread",
                  "eta", "steps", "S", "a step", "in all", "memory")};
  for (const auto& top : tops)
    lines.push_back(fmt::format(
        "{:>6}  {:>10.4g}  {:>12.5e}  {:>9}  {:>10}  {:>10}  {:>10}  {:>10}", top.k, top.spread,
        top.rate, top.reached ? fmt::format("{}", top.steps) : fmt::format("> {}", top.steps),
        fmt::format("{:.3g} s", top.seconds_S), fmt::format("{:.3g} s", top.seconds_step),
        top.reached ? fmt::format("{:.3g} s", top.seconds()) : "-",
        fmt::format("{:.0f} MiB{}", top.bytes / (1 << 20), top.fits ? "" : ": too much")));
  if (!any)
    lines.emplace_back("none reaches the target within `steps`");
  else
    lines.push_back(fmt::format("least predicted time: `top` {}", tops[best].k));
  return lines;
}

TrainingOptions advised(TrainingOptions options) {
  if (!options.preconditioned())
    options.precondition =
        options.descent.batch > 0 ? Precondition::empirical : Precondition::kernel;
  check(options);
  return options;
}

namespace {

/// The options of a training that the advice is for.
void validate(TrainingOptions options, Index n) {
  if (options.descent.batch == 0) options.sample = 0;  // that of the linear model
  static_cast<void>(options.validated(n));
}

/// The stage `advise`, without what else is held: the linear models, for k = 0 by their bound, for
/// the others, which take few steps, by what was seen: a tenth of it, of products twice those that
/// lambda_max takes.
template <class T>
plan::Stage model_stage(const TrainingOptions& options, const net::Network& network,
                        const ModelSize& size, const Resources& resources) {
  const auto& o = options.descent;
  const auto [s, N, full] = size;
  const double ranks = resources.shape.rows * resources.shape.cols;
  const double matrix = 8 * real(N) * real(N) / ranks;  // V
  const double tops = real(std::ssize(numbers_of_modes(N, options.top)));
  plan::Stage stage{.name = "advise"};
  Cost cost;
  if (o.batch > 0) {
    // V by rows and by columns; a step reads N numbers for each row and output, twice.
    stage.bytes = 2 * matrix;
    const double entries = real(std::min(o.batch, s)) * real(N / s) * real(N) / ranks;
    const double steps = real(o.steps) * (1 + (tops - 1) / 10);
    cost = steps * (Cost{.copied = 2 * 8 * entries} + sum_cost(8 * real(N), ranks));
    cost.flops = steps * 4 * entries * ranks;
    stage.method = fmt::format("about {:.0f} steps", steps);
  } else {
    // V, of S as many numbers in T, and the Lanczos recursion.
    const Index rows = ceil_div(s, static_cast<Index>(ranks));
    const double c = real(network.outputs()), longest = 5 * std::sqrt(real(o.steps));
    const double products = (2 * tops - 1) * train::kUsualProducts + longest;
    stage.bytes = matrix * (1 + sizeof(T) / 8.0) + train::row_set_bytes<T>(network, rows, 0) +
                  net::Evaluator<T>::bytes(network, rows, activation_bytes(resources)) +
                  sizeof(T) * (real(network.parameters()) + 3 * c * real(rows)) +
                  8 * longest * (longest + c * kModesOfLongRuns);
    cost = products * train::rate_cost<T>(network, s, ranks);
    stage.method = fmt::format("about {:.0f} products", products);
  }
  stage.flops = cost.flops;
  stage.seconds = resources.machine.seconds(cost);
  return stage;
}

}  // namespace

template <class T>
plan::Plan advice_plan(const TrainingOptions& asked, const net::Network& network,
                       const gram::Source& kernel, const data::Split& sets, std::span<const T> w_0,
                       const Resources& resources, double load_seconds) {
  const auto options = advised(asked);
  validate(options, sets.train.rows());
  check_fit(network, sets, w_0.size());
  const Index c = network.outputs(), m = sets.test.has_value() ? sets.test->rows() : 0;
  const auto size = size_of_model(options, sets.train.rows(), c);
  gram::Sizes sizes{.n = size.N,
                    .d = network.inputs() + (size.full ? c : 0),
                    .shape = resources.shape,
                    .nb = spectral::recommended_block(size.N, resources.shape),
                    .kernel = gram::kernel_of(kernel_of_model<T>(options, network, kernel, w_0))};
  const double p = real(network.parameters());
  const double data = 8 * real((sets.train.rows() + m) * (network.inputs() + c)) / sizes.ranks();
  sizes.held = data + (2 * sizeof(T) + 2 * 8) * p;  // w_0 as it is, and in double
  auto plan = resources.plan();
  plan.suggest("more ranks or a smaller `sample`", "");
  plan.stage({.name = "load", .bytes = 2 * data, .seconds = load_seconds});
  plan.stage(plan::assemble(resources.machine, sizes));
  const auto method = spectral::choose(size.N, size.N, true, sizes.shape, false).method;
  plan.stage(plan::eigensolve(resources.machine, sizes, method, size.N));
  auto model = model_stage<T>(options, network, size, resources);
  model.bytes += sizes.held;
  plan.stage(model);
  return plan;
}

template <class T>
Advice advise(const TrainingOptions& asked, const net::Network& network, const gram::Source& kernel,
              const data::Split& sets, std::span<const T> w_0, const Resources& resources,
              const dist::ProcessGrid& grid, Monitor& monitor) {
  auto options = advised(asked);
  validate(options, sets.train.rows());
  options.descent.seed = resources.seed;
  check_fit(network, sets, w_0.size());
  Advice advice{.rows = size_of_model(options, sets.train.rows(), network.outputs()).s,
                .of = sets.train.rows()};
  const auto advise_with = [&](auto&& model) {
    const Monitor::Phase scope(monitor, "advise");
    const auto tops = numbers_of_modes(model.rank(), options.top);
    for (const Index k : tops) {
      AdvisedTop top{.k = k};
      model.predict(top);
      cost<T>(options, network, kernel, sets, w_0, resources, grid.all(), top);
      advice.tops.push_back(top);
      monitor.progress(real(std::ssize(advice.tops)) / real(std::ssize(tops)),
                       fmt::format("top {}", k));
      if (!top.reached || !top.fits) continue;
      if (!advice.any || top.seconds() < advice.tops[advice.best].seconds())
        advice.best = advice.tops.size() - 1;
      advice.any = true;
    }
  };
  if (options.descent.batch > 0)
    advise_with(BatchModel<T>(options, network, kernel, sets.train, w_0, grid, monitor));
  else
    advise_with(FullModel<T>(options, network, kernel, sets.train, w_0, activation_bytes(resources),
                             grid, monitor));
  return advice;
}

#define MERCER_INSTANTIATE(T)                                                                     \
  template gram::Source kernel_of_model<T>(const TrainingOptions&, const net::Network&,           \
                                           const gram::Source&, std::span<const T>);              \
  template plan::Plan advice_plan<T>(const TrainingOptions&, const net::Network&,                 \
                                     const gram::Source&, const data::Split&, std::span<const T>, \
                                     const Resources&, double);                                   \
  template Advice advise<T>(const TrainingOptions&, const net::Network&, const gram::Source&,     \
                            const data::Split&, std::span<const T>, const Resources&,             \
                            const dist::ProcessGrid&, Monitor&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::jobs
