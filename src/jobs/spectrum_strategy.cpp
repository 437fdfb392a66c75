#include <algorithm>

#include "mercer/base/error.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/plan/forecast.hpp"
#include "mercer/spectral/probes.hpp"
#include "row_identity.hpp"
#include "spectrum_parts.hpp"

namespace mercer::jobs {
namespace {

/// Bytes a rank beside K's operator: for the basis, or for the probes of the estimates before it.
double beside(const SpectrumOptions& options, const SpectrumStrategy& strategy,
              const gram::Sizes& sizes) {
  const auto& run = strategy.run;
  const double krylov = spectral::krylov_bytes(sizes.n, run.k, sizes.rank_count(), run.sizes);
  return std::max(krylov, options.estimates.has_value()
                              ? spectral::estimates_bytes(sizes, strategy.probes)
                              : 0.0);
}

/// Sizes of a run whose basis takes at most half of the memory, or 90 % where its least size needs
/// that.
spectral::KrylovPlan krylov_plan(const gram::Sizes& sizes, spectral::KrylovOptions options,
                                 double room) {
  options.basis_bytes = std::max(1.0, 0.5 * room);
  try {
    return spectral::krylov_plan(sizes, options);
  } catch (const MemoryError&) {
    options.basis_bytes = std::max(1.0, 0.9 * room);
    return spectral::krylov_plan(sizes, options);
  }
}

/// Decides the sizes of the basis, then what is stored of K beside it. The block is wider where
/// many tiles are computed again in every product.
void size_iterative(const SpectrumOptions& options, const gram::Source& kernel,
                    const gram::Sizes& sizes, Index top, std::uint64_t seed, double room,
                    SpectrumStrategy& strategy) {
  const plan::Machine reference;
  spectral::KrylovOptions krylov{
      .top = top, .tolerance = asked_tolerance(options), .block = options.block, .seed = seed};
  for (int pass = 0; pass < 2; ++pass) {
    strategy.run = krylov_plan(sizes, krylov, room);
    strategy.products =
        plan_products(kernel, sizes, options.storage, room - beside(options, strategy, sizes),
                      strategy.run.sizes.block + spectral::kResidualProbes);
    krylov.fixed_columns = plan::fixed_columns(reference, sizes, strategy.products.cost);
  }
}

/// Reads the sizes of write_sizes(). Throws InputError where a run of n rows cannot have them.
void read_sizes(const io::Hdf5File& file, Index n, Index top, SpectrumStrategy& strategy) {
  const Index block = file.count_attribute("/", "krylov_block", 1, n);
  const Index least = std::min(n, std::min(top + 1, n) + 3 * block);
  strategy.run.sizes = {block, file.count_attribute("/", "krylov_basis", least, n)};
}

}  // namespace

gram::OperatorOptions check_options(const SpectrumStrategy& strategy, Index k) {
  auto options = strategy.products.options;
  options.storage = gram::Storage::none;
  options.block = std::max(options.block, std::min<Index>(k, 128));
  return options;
}

void write_sizes(io::Hdf5File& file, const SpectrumStrategy& strategy) {
  file.attribute("/", "krylov_block", strategy.run.sizes.block);
  file.attribute("/", "krylov_basis", strategy.run.sizes.basis);
  write_storage(file, strategy.products);
}

SpectrumStrategy choose(const SpectrumOptions& options, const gram::Source& kernel,
                        const gram::Sizes& sizes, Index top, const Resources& resources,
                        const io::Hdf5File* resume) {
  const plan::Machine reference;  // not measured rates: the same choice in every run
  const std::uint64_t seed = resources.seed;
  SpectrumStrategy strategy{.direct = options.method};
  strategy.probes = {.probes = 32, .steps = 60, .seed = seed};
  const double room = resources.room(sizes);
  if (options.direct_asked()) {
    strategy.reason = "asked for by " + options.asked_by();
    return strategy;
  }
  if (options.iterative_asked()) {
    resources.require_room(room);
    strategy.iterative = true;
    strategy.reason = "asked for by " + options.asked_by();
    size_iterative(options, kernel, sizes, top, seed, room, strategy);
    if (resume != nullptr) {
      read_sizes(*resume, sizes.n, top, strategy);
      strategy.products = resumed_products(*resume, options.storage, kernel, sizes,
                                           room - beside(options, strategy, sizes));
    }
    return strategy;
  }
  const auto choice = spectral::choose(sizes.n, top, options.vectors, sizes.shape, sizes.single,
                                       resources.whole_room(sizes), sizes.nb);
  strategy.direct = choice.method;
  strategy.reason = "auto: " + choice.reason;
  if (!(asked_tolerance(options) >= kLeastTolerance)) return strategy;
  const auto assembled = plan::assemble(reference, sizes);
  const auto solved = plan::eigensolve(reference, sizes, strategy.direct, top, options.vectors);
  const bool fits = std::max(assembled.bytes, solved.bytes) - sizes.data_bytes() <= room;
  const double direct = assembled.seconds + solved.seconds;
  constexpr double kShort = 0.5;  // seconds within which the more accurate direct solver is taken
  if (fits && (direct <= kShort || 6 * top > sizes.n)) return strategy;
  try {
    size_iterative(options, kernel, sizes, top, seed, room, strategy);
  } catch (const MemoryError& error) {
    if (!fits && 6 * top <= sizes.n) strategy.lacks = error.what();
    return strategy;  // where the direct solver does not fit either, its plan is refused
  }
  const auto& op = strategy.products.cost;
  const double iterative = plan::store(reference, sizes, op).seconds +
                           plan::krylov(reference, sizes, op, strategy.run).seconds;
  strategy.iterative = !fits || iterative < direct;
  strategy.reason =
      fmt::format("auto: predicted for the reference machine: krylov {}, {} {}{}",
                  plan::format_seconds(iterative), spectral::name(strategy.direct),
                  plan::format_seconds(direct), fits ? "" : ", which does not fit the memory");
  return strategy;
}

namespace {

gram::Sizes sizes_of(const SpectrumOptions& options, const gram::Source& kernel, Index n,
                     const data::Dataset& rows, const Resources& resources, Index nb) {
  return {.n = n,
          .d = rows.dimension(),
          .c = options.aligned,
          .m = options.eval_rows,
          .shape = resources.shape,
          .nb = nb,
          .single = options.single,
          .kernel = gram::kernel_of(kernel)};
}

/// Exact residuals of a direct solver: K assembled again, and its product with the k vectors.
plan::Stage check_stage(const gram::Sizes& sizes, Index k, const plan::Machine& machine) {
  const double n = static_cast<double>(sizes.n), vectors = n * static_cast<double>(k);
  auto stage = plan::assemble(machine, sizes);
  stage.name = "check";
  stage.bytes += 2 * sizes.element_bytes() * vectors / sizes.ranks();
  stage.flops += 2 * n * vectors;
  stage.seconds += machine.seconds({.skinny = 2 * n * vectors / sizes.ranks()});
  return stage;
}

/// The same of block Krylov: products whose entries are computed again.
plan::Stage check_stage(const gram::Sizes& sizes, Index k, const SpectrumStrategy& strategy,
                        const plan::Machine& machine) {
  const auto again = check_options(strategy, k);
  const auto op = strategy.products.stored ? strategy.products.cost
                                           : gram::operator_cost(sizes, again, again.block);
  auto stage = plan::product(machine, sizes, op);
  const double products = static_cast<double>(ceil_div(k, op.block));
  stage.name = "check";
  stage.bytes += 16 * static_cast<double>(sizes.n) * static_cast<double>(k) / sizes.ranks();
  stage.flops *= products;
  stage.seconds *= products;
  return stage;
}

/// Products of k(eval, rows) with the k vectors, and the Gram matrix of their values.
plan::Stage evaluate_stage(const gram::Sizes& sizes, Index k, const plan::Machine& machine) {
  auto columns = sizes;
  columns.c = k;
  auto stage = plan::predict(machine, columns);
  stage.name = "evaluate";
  const double n = static_cast<double>(sizes.n), m = static_cast<double>(sizes.m),
               K = static_cast<double>(k), gram = 4 * m * K * K;
  stage.bytes =
      std::min(stage.bytes, sizes.data_bytes() + gram::Options{}.panel_bytes) +
      (8 * (2 * n * K + 3 * m * K + 2 * K * K) + sizes.element_bytes() * n * K) / sizes.ranks();
  stage.seconds += machine.seconds({.gemm = gram / sizes.ranks()});
  stage.flops += gram;
  return stage;
}

/// Products of c columns of targets with the k vectors: two copies of the targets and their parts.
plan::Stage diagnose_stage(const gram::Sizes& sizes, Index k, Index c,
                           const plan::Machine& machine) {
  const double n = static_cast<double>(sizes.n), K = static_cast<double>(k),
               C = static_cast<double>(c), flops = 2 * n * K * C;
  return {.name = "diagnostics",
          .bytes = sizes.data_bytes() +
                   sizes.element_bytes() * (n * K + 2 * n * C + K * C) / sizes.ranks() + 8 * K * C,
          .flops = flops,
          .seconds = machine.seconds({.skinny = flops / sizes.ranks()})};
}

/// Leverage scores: of all pairs one product with V o V; of the top ones, products with probes, for
/// a direct solver with a K that is assembled again.
plan::Stage leverage_stage(const SpectrumOptions& options, const gram::Sizes& sizes, Index k,
                           const SpectrumStrategy& strategy, const plan::Machine& machine) {
  constexpr double kSteps = 60;  // of the linear systems: 19 (lambda_k/gamma)^1/2 at most
  const auto& leverage = options.leverage;
  const double n = static_cast<double>(sizes.n),
               r = static_cast<double>(std::ssize(leverage.ridges)), K = static_cast<double>(k),
               probes = static_cast<double>(leverage.probes);
  plan::Stage stage{.name = "leverage"};
  if (k == sizes.n) {
    stage.flops = 2 * n * n * r;
    stage.bytes = sizes.data_bytes() + sizes.share_bytes() +
                  8 * (3 * n * r / std::min(sizes.shape.rows, sizes.shape.cols) + 256 * n);
    stage.seconds = machine.seconds({.gemm = stage.flops / sizes.ranks()});
    return stage;
  }
  const auto op = strategy.iterative
                      ? strategy.products.cost
                      : gram::matrix_operator_cost(sizes, std::min<Index>(leverage.probes, 32));
  stage = plan::product(machine, sizes, op);
  stage.name = "leverage";
  const double products = kSteps * probes / static_cast<double>(op.block);
  const double project = 8 * n * K * probes * kSteps;
  stage.flops = stage.flops * products + project;
  stage.seconds = stage.seconds * products + machine.seconds({.skinny = project / sizes.ranks()});
  stage.bytes +=
      8 * n * K / sizes.ranks() +
      msk::leverage_bytes(sizes, k, std::ssize(leverage.ridges), {.probes = leverage.probes});
  if (!strategy.iterative) {
    const auto assembled = plan::assemble(machine, sizes);
    stage.flops += assembled.flops;
    stage.seconds += assembled.seconds;
    stage.bytes = std::max(stage.bytes, assembled.bytes) + 16 * n * K / sizes.ranks();
  }
  return stage;
}

/// What the pairs are used for.
void add_uses(plan::Plan& stages, const SpectrumOptions& options, const gram::Sizes& sizes, Index k,
              const plan::Machine& machine) {
  if (options.eval_rows > 0) stages.stage(evaluate_stage(sizes, k, machine));
  if (options.aligned > 0 && options.vectors)
    stages.stage(diagnose_stage(sizes, k, options.aligned, machine));
}

plan::Plan stages_of(const SpectrumOptions& options, const SpectrumStrategy& strategy,
                     const gram::Sizes& sizes, Index top, const Resources& resources,
                     double load_seconds, double& check_flops) {
  const auto& machine = resources.machine;
  plan::Plan stages = resources.plan();
  const auto check = [&](const plan::Stage& stage) {
    check_flops = stage.flops;
    stages.stage(stage);
  };
  stages.suggest(fmt::format("more ranks, {}fewer rows or a smaller `top`",
                             options.single ? "" : "`single`, "),
                 strategy.lacks);
  stages.stage(plan::load(sizes, load_seconds));
  if (sizes.kernel != nullptr) stages.stage(plan::prepare(machine, sizes));
  if (!strategy.iterative) {
    stages.stage(plan::assemble(machine, sizes));
    if (options.estimates.has_value()) {
      auto op = gram::matrix_operator_cost(sizes, strategy.probes.probes);
      op.bytes += sizes.share_bytes() -
                  8 * static_cast<double>(sizes.n) * static_cast<double>(sizes.n) / sizes.ranks();
      stages.stage(plan::estimates(machine, sizes, op, strategy.probes));
    }
    stages.stage(plan::eigensolve(machine, sizes, strategy.direct, top, options.vectors));
    if (options.leverage.asked())
      stages.stage(leverage_stage(options, sizes, top, strategy, machine));
    if (options.exact_residuals && options.vectors) check(check_stage(sizes, top, machine));
    add_uses(stages, options, sizes, top, machine);
    return stages;
  }
  const auto& op = strategy.products.cost;
  if (strategy.products.stored)
    stages.stage(plan::assemble(machine, sizes));
  else if (op.stored_share > 0)
    stages.stage(plan::store(machine, sizes, op));
  if (options.estimates.has_value())
    stages.stage(plan::estimates(machine, sizes, op, strategy.probes));
  stages.stage(plan::krylov(machine, sizes, op, strategy.run));
  if (options.leverage.asked())
    stages.stage(leverage_stage(options, sizes, top, strategy, machine));
  if (options.exact_residuals) check(check_stage(sizes, top, strategy, machine));
  add_uses(stages, options, sizes, top, machine);
  return stages;
}

/// The identity of a checkpoint: the problem, and the settings on which accuracy and rounding
/// depend. Collective.
CheckpointIdentity identity(const SpectrumOptions& options, const gram::Source& kernel,
                            const data::Dataset& rows, Index n, Index top,
                            const Resources& resources, const comm::Communicator& comm) {
  const auto whole = [](Index x) { return fmt::format("{}", x); };
  CheckpointIdentity id = settings_of(resources, comm.size());
  id.problem = {{"checkpoint of", "eigenpairs by krylov"},
                {"the kernel", kernel.text()},
                {"entries of the kernel's file", contents_of(comm, kernel)},
                {"rows", whole(n)},
                {"data hash", hash_text(rows.hash)},
                {"`top`", whole(top)},
                {"`block`", options.block > 0 ? whole(options.block) : "chosen"},
                {"precision", options.single ? "single" : "double"},
                {"`seed`", fmt::format("{}", resources.seed)}};
  id.settings.emplace_back("`tolerance`", fmt::format("{}", asked_tolerance(options)));
  id.settings.emplace_back("`storage`", gram::name(options.storage));
  return id;
}

}  // namespace

SpectrumPlan plan(const SpectrumOptions& options, const gram::Source& kernel,
                  const data::Dataset& rows, const Resources& resources,
                  const comm::Communicator& comm, double load_seconds) {
  options.validate();
  options.validate(kernel);
  const Index n = kernel.is_stored() ? kernel.stored_size(comm) : rows.rows();
  options.validate(n);
  const Index top = options.top < 0 ? n : options.top, nb = resources.block_of(n);
  const auto sizes = sizes_of(options, kernel, n, rows, resources, nb);
  SpectrumPlan result{.options = options,
                      .n = n,
                      .top = top,
                      .nb = nb,
                      .seed = resources.seed,
                      .kernel = kernel.text(),
                      .rows_hash = rows.hash,
                      .stages = resources.plan()};
  if (rows.rows() > 0) result.notes = kernel.verify(comm, identity_of("training", rows));
  if (options.checkpoints.asked())
    result.identity = identity(options, kernel, rows, n, top, resources, comm);
  if (options.checkpoints.resume) {
    Monitor silent;
    const Checkpoints checkpoints(options.checkpoints, comm, silent, result.identity);
    const auto file = checkpoints.open();
    result.strategy = choose(options, kernel, sizes, top, resources, &file);
  } else {
    result.strategy = choose(options, kernel, sizes, top, resources);
  }
  result.stages =
      stages_of(options, result.strategy, sizes, top, resources, load_seconds, result.check_flops);
  result.sizes = sizes;
  return result;
}

}  // namespace mercer::jobs
