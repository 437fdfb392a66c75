#include <algorithm>
#include <functional>

#include "mercer/base/error.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/base/text.hpp"
#include "mercer/net/parameters.hpp"
#include "mercer/plan/forecast.hpp"
#include "mercer/train/cost.hpp"
#include "mercer/train/rate.hpp"
#include "training_parts.hpp"

namespace mercer::jobs {

std::string name(Precondition precondition) {
  switch (precondition) {
    case Precondition::kernel:
      return "kernel";
    case Precondition::empirical:
      return "empirical";
    default:
      return "none";
  }
}

void TrainingOptions::validate() const {
  descent.validate();
  if (preconditioned()) msk::SpectrumMap::parse(g);  // throws before any work
  if (top == 0 || top < -1) throw InputError("`top` {}: give at least 1 eigenpair", top);
  if (!preconditioned() && !spectrum.empty())
    throw InputError("`precondition` none: takes no `top`, `g` or `spectrum`");
  if (descent.refresh > 0 && precondition != Precondition::empirical)
    throw InputError(
        "`refresh`: needs `precondition` empirical: the analytic kernel never changes");
  if (blocks() && !spectrum.empty())
    throw InputError(
        "`spectrum`: holds eigenpairs of all rows, but `stochastic` block has an S for each block");
  if (blocks() && !directions.empty())
    throw InputError(
        "`directions`: need one K of all rows, but `stochastic` block has one for each block");
  if (blocks() && operator_spectrum)
    throw InputError(
        "`operator_spectrum`: needs one S of all rows, but `stochastic` block has one for each "
        "block");
  if (!std::ranges::is_sorted(directions, std::less_equal<>()) ||
      (!directions.empty() && directions.front() < 1))
    throw InputError("`directions`: give the numbers of eigenvectors, from 1, ascending");
  if (resume && checkpoint.empty()) throw InputError("`resume`: needs `checkpoint`");
}

std::string TrainingOptions::text() const {
  if (!preconditioned()) return "none: gradient descent";
  std::string text = fmt::format("{}, g = {}", name(precondition), g);
  text += top < 0 ? ", all eigenvalues" : fmt::format(", top {}", top);
  if (descent.refresh > 0)
    text += fmt::format(", refreshed every {}", counted(descent.refresh, "step"));
  return text;
}

namespace {

/// 1 ... 8, then 16, 32, 64, ... up to k.
std::vector<Index> usual_directions(Index k) {
  std::vector<Index> which;
  for (Index i = 1; i <= std::min<Index>(k, 8); ++i) which.push_back(i);
  for (Index i = 16; i <= k; i *= 2) which.push_back(i);
  return which;
}

}  // namespace

TrainingOptions TrainingOptions::settled(Index n) const {
  validate();
  TrainingOptions options = *this;
  if (options.descent.batch > n)
    throw InputError("`batch` {}: there are n = {} training rows", options.descent.batch, n);
  const Index rows = options.blocks() ? n / ceil_div(n, options.descent.batch) : n;
  if (options.top > rows)
    throw InputError("`top` {}: give 1 ... {} eigenpairs, the rows of {}", options.top, rows,
                     options.blocks() ? "the smallest block" : "the training set");
  if (!options.directions.empty() && options.directions.back() > n)
    throw InputError("`directions` {}: there are n = {} eigenvectors", options.directions.back(),
                     n);
  if (options.directions.empty() && options.default_directions && options.preconditioned() &&
      !options.blocks())
    options.directions = usual_directions(options.top < 0 ? n : options.top);
  return options;
}

namespace {

/// Everything that affects the steps of a run and its records. `start_hash`: of w_0. Collective.
io::Identity identity_of(const TrainingPlan& plan, const net::Network& network,
                         const gram::Source& kernel, const data::Split& sets,
                         std::uint64_t start_hash, const comm::Communicator& comm) {
  const auto& options = plan.options;
  const auto& o = options.descent;
  const auto& train = sets.train;
  const auto number = [](double value) { return fmt::format("{:.17g}", value); };
  const auto whole = [](auto value) { return fmt::format("{}", value); };
  io::Identity id{{"network", network.text()},
                  {"training rows", whole(train.rows())},
                  {"data hash", hash_text(train.hash)},
                  {"target hash", hash_text(train.target_hash)},
                  {"`precision`", plan.single ? "single" : "double"},
                  {"`seed`", whole(plan.seed)},
                  {"initial weights", hash_text(start_hash)},
                  {"`precondition`", name(options.precondition)},
                  {"`rate`", o.rate > 0 ? number(o.rate) : "auto x " + number(o.safety)},
                  {"`weight_decay`", number(o.weight_decay)},
                  {"`momentum`", number(o.momentum)},
                  {"`batch`", whole(o.batch)}};
  if (options.preconditioned()) {
    id.emplace_back("`kernel`", kernel.text());
    id.emplace_back("entries of the kernel's file", contents_of(comm, kernel));
    id.emplace_back("`top`", whole(options.top));
    id.emplace_back("`g`", options.g);
    id.emplace_back("table of `g`", contents_of_table(comm, options.g));
    id.emplace_back("pairs of `spectrum`", contents_of(comm, options.spectrum));
    id.emplace_back("`refresh`", whole(o.refresh));
  }
  if (o.batch > 0) {
    id.emplace_back("`stochastic`", options.blocks() ? "block" : "rows");
    id.emplace_back("`residual_refresh`", whole(o.residual_refresh));
  }
  id.emplace_back("test rows", sets.test ? hash_text(sets.test->hash) : "none");
  id.emplace_back("test targets", sets.test ? hash_text(sets.test->target_hash) : "none");
  id.emplace_back("`trace_kernel`", options.trace_kernel ? "on" : "off");
  id.emplace_back("`directions`", options.directions.empty()
                                      ? "none"
                                      : fmt::format("{}", fmt::join(options.directions, ",")));
  id.emplace_back("`safeguard`", o.safeguard ? "on" : "off");  // last: other fields switch it off
  return id;
}

/// One step of all ranks together.
template <class T>
Cost step_cost(const TrainingOptions& options, const net::Network& network, Index n, double ranks) {
  const Index rows = options.descent.batch > 0 ? options.descent.batch : n;
  const Index modes = !options.preconditioned() ? 0 : options.top < 0 ? rows : options.top;
  return train::step_cost<T>(network, rows, modes, ranks);
}

/// Sizes and bytes a rank of a training, as the plan needs them.
template <class T>
struct Counts {
  Counts(const TrainingOptions& options, const net::Network& network, const data::Split& sets,
         int ranks)
      : n(sets.train.rows()),
        d(sets.train.dimension()),
        c(static_cast<double>(sets.train.outputs())),
        test(sets.test.has_value() ? static_cast<double>(sets.test->rows()) : 0),
        rows(options.blocks() ? std::min(n, options.descent.batch) : n),
        blocks(static_cast<double>(options.blocks() ? ceil_div(n, options.descent.batch) : 1)),
        top(!options.preconditioned() ? 0
            : options.top < 0         ? rows
                                      : std::min(options.top, rows)),
        k(std::max(top, options.directions.empty() ? 0 : options.directions.back())) {
    const double width = static_cast<double>(d) + c, N = static_cast<double>(n);
    const double p = static_cast<double>(network.parameters());
    data = 8 * (N + test) * width / ranks;
    copies = options.blocks() ? 8 * N * width / ranks : 0;
    // The sets with their S, w, w_0, and w in double for the result.
    held = copies + train::row_set_bytes<T>(network, ceil_div(n, ranks), k) + 2 * sizeof(T) * p +
           8 * p;
    beside = data + copies + sizeof(T) * p;
    test_set = test > 0 ? sizeof(T) * test * (width + c) / ranks + kTestMemory : 0;
  }
  Index n, d;
  double c, test;
  Index rows;     ///< of one S: all rows, or those of the largest block
  double blocks;  ///< number of blocks, or 1
  Index top, k;   ///< modes of S; pairs
  double data, copies, held, beside, test_set;
};

/// Adds the stages of a training to its plan, one after another.
template <class T>
class Stages {
 public:
  Stages(TrainingPlan& plan, const net::Network& network, const gram::Source& kernel,
         const data::Split& sets, const Resources& resources)
      : plan_(plan),
        network_(network),
        kernel_(kernel),
        resources_(resources),
        counts_(plan.options, network, sets, resources.shape.rows * resources.shape.cols) {
    plan_.nb = resources.block_of(counts_.rows);
    plan_.solves = counts_.k > 0 && plan_.options.spectrum.empty();
    sizes_ = {.n = counts_.rows,
              .d = counts_.d,
              .shape = resources.shape,
              .nb = plan_.nb,
              .kernel = gram::kernel_of(kernel)};
    if (plan_.options.precondition == Precondition::empirical)
      sizes_.numbers = static_cast<double>(kernel.kernel().bytes_per_row(counts_.d)) / 8;
    sizes_.held = counts_.beside - sizes_.data_bytes();
  }

  void load(double seconds) {
    plan_.stages.stage({.name = "load", .bytes = 2 * counts_.data, .seconds = seconds});
  }

  /// K, in double, and the pairs that S and the directions need.
  void pairs() {
    const auto& options = plan_.options;
    const auto& machine = resources_.machine;
    if (plan_.solves) {
      const SpectrumOptions of_pairs{
          .top = counts_.k, .method = options.method, .storage = options.storage};
      of_pairs.validate();
      of_pairs.validate(kernel_);
      auto beside = sizes_;  // K is in memory together with the descent in these cases
      if (options.descent.refresh > 0 || options.trace_kernel)
        beside.held += descent_bytes() - counts_.data;
      plan_.pairs = choose(of_pairs, kernel_, beside, counts_.k, resources_);
    }
    const auto& [iterative, reason, direct, run, products, probes] = plan_.pairs;
    const bool by_products = plan_.solves && iterative;
    if (by_products ? products.stored : plan_.solves || options.trace_kernel)
      of_every_block(plan::assemble(machine, sizes_));
    if (plan_.solves && !iterative)
      of_every_block(plan::eigensolve(machine, sizes_, direct, counts_.k));
    if (!by_products) return;
    if (!products.stored && products.cost.stored_share > 0)
      of_every_block(plan::store(machine, sizes_, products.cost));
    of_every_block(plan::krylov(machine, sizes_, products.cost, run));
    if (options.trace_kernel) of_every_block(plan::assemble(machine, sizes_));
  }

  /// S^(1/2) K_0 S^(1/2), K_0 the network's own kernel, and its eigenvalues.
  void operator_spectrum() {
    if (!plan_.options.operator_spectrum) return;
    const auto& machine = resources_.machine;
    const bool with_S = plan_.options.preconditioned();
    const double n = static_cast<double>(counts_.n), P = sizes_.ranks();
    auto of_K_0 = sizes_;
    if (with_S)
      of_K_0.held += 2 * 8 * n * static_cast<double>(counts_.k) / P;  // by rows, on a grid
    const auto method = spectral::choose(counts_.n, counts_.n, false, sizes_.shape, false).method;
    auto stage = plan::eigensolve(machine, of_K_0, method, counts_.n, false);
    const auto assembled = plan::assemble(machine, of_K_0);
    const double products = with_S ? 4 * n * n * n : 0;
    stage.name = "K_0 S";
    stage.flops += assembled.flops + products;
    stage.seconds += assembled.seconds + machine.seconds({.gemm = products / P});
    stage.bytes = std::max(stage.bytes, assembled.bytes + (with_S ? 2 * of_K_0.share_bytes() : 0));
    plan_.stages.stage(stage);
  }

  void descent() {
    const auto& o = plan_.options.descent;
    const double ranks = sizes_.ranks();
    const Index refreshes = o.refresh > 0 ? o.steps / o.refresh : 0;
    // Measured with each S.
    const Index products = o.rate > 0 ? 0 : (1 + refreshes) * train::kUsualProducts;
    const auto step = step_cost<T>(plan_.options, network_, counts_.n, ranks);
    auto train = plan::descent(
        resources_.machine, static_cast<double>(o.steps) * step,
        static_cast<double>(products) * train::rate_cost<T>(network_, counts_.n, ranks));
    plan_.step_flops = step.flops;
    train.method = fmt::format("at most {} of {}", counted(o.steps, "step"),
                               counted(o.batch > 0 ? o.batch : counts_.n, "row"));
    if (products > 0) train.method += fmt::format(", rate by {} products", train::kUsualProducts);
    train.bytes = descent_bytes();
    if (o.refresh > 0 || plan_.options.trace_kernel) train.bytes += refresh_;
    train.seconds += static_cast<double>(refreshes) * again_;
    plan_.stages.stage(train);
  }

 private:
  double descent_bytes() const {
    return counts_.data + counts_.held + counts_.test_set +
           train::descend_bytes<T>(network_, ceil_div(counts_.rows, sizes_.rank_count()), counts_.n,
                                   counts_.top, plan_.options.descent, plan_.activation_bytes);
  }
  void of_every_block(plan::Stage stage) {
    stage.flops *= counts_.blocks, stage.seconds *= counts_.blocks;
    refresh_ = std::max(refresh_, stage.bytes - counts_.beside);
    again_ += stage.seconds;
    plan_.stages.stage(std::move(stage));
  }

  TrainingPlan& plan_;
  const net::Network& network_;
  const gram::Source& kernel_;
  const Resources& resources_;
  Counts<T> counts_;
  gram::Sizes sizes_;
  double refresh_ = 0, again_ = 0;  ///< bytes and seconds of K and its pairs, for one refresh
};

}  // namespace

template <class T>
TrainingPlan plan(const TrainingOptions& asked, const net::Network& network,
                  const gram::Source& kernel, const data::Split& sets, std::span<const T> w_0,
                  const Resources& resources, const comm::Communicator& comm, double load_seconds) {
  constexpr double kUsual = 1e9;
  TrainingPlan plan{.options = asked.settled(sets.train.rows()),
                    .seed = resources.seed,
                    .single = std::is_same_v<T, float>,
                    .stages = resources.plan()};
  plan.options.descent.seed = resources.seed;
  plan.nb_asked = resources.nb;
  const auto& o = plan.options.descent;
  plan.activation_bytes =
      resources.memory_limit > 0 ? std::min(kUsual, resources.memory_limit / 4) : kUsual;
  if (!plan.options.checkpoint.empty()) {
    plan.identity = identity_of(plan, network, kernel, sets, net::hash<T>(w_0), comm);
    auto settings = settings_of(resources, comm.size());
    plan.settings = std::move(settings.settings);
    plan.of_rounding = std::move(settings.of_rounding);
    plan.settings.emplace_back("`steps`", fmt::format("{}", o.steps));
    plan.settings.emplace_back("`tolerance`", fmt::format("{}", o.tolerance));
    plan.settings.emplace_back("`loss`", fmt::format("{}", o.loss));
  }
  Stages<T> stages(plan, network, kernel, sets, resources);
  stages.load(load_seconds);
  stages.pairs();
  stages.operator_spectrum();
  stages.descent();
  return plan;
}

template TrainingPlan plan<double>(const TrainingOptions&, const net::Network&, const gram::Source&,
                                   const data::Split&, std::span<const double>, const Resources&,
                                   const comm::Communicator&, double);
template TrainingPlan plan<float>(const TrainingOptions&, const net::Network&, const gram::Source&,
                                  const data::Split&, std::span<const float>, const Resources&,
                                  const comm::Communicator&, double);

}  // namespace mercer::jobs
