#include "mercer/jobs/spectrum.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mercer/base/error.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/base/text.hpp"
#include "mercer/dist/rows.hpp"
#include "mercer/plan/forecast.hpp"
#include "mercer/spectral/krylov_file.hpp"
#include "mercer/spectral/probes.hpp"
#include "mercer/spectral/stored.hpp"

namespace mercer::jobs {
namespace {

constexpr double kSingle = std::numeric_limits<float>::epsilon();
constexpr double kTolerance = 1e-10;

double asked_tolerance(const SpectrumOptions& options) {
  return options.tolerance.value_or(kTolerance);
}

}  // namespace

bool SpectrumOptions::direct_asked() const {
  return method != spectral::Method::automatic && method != spectral::Method::krylov;
}

std::string SpectrumOptions::asked_by() const {
  if (method != spectral::Method::automatic) return "`method` " + spectral::name(method);
  return storage != gram::Storage::automatic ? "`storage`"
         : block > 0                         ? "`block`"
         : !start.empty()                    ? "`start`"
         : checkpoints.asked()               ? "`checkpoint`"
                                             : "";
}

void SpectrumOptions::validate() const {
  checkpoints.validate();
  const double limit = asked_tolerance(*this);
  if (block < 0) throw InputError("`block` {}: give at least 1 vector", block);
  if (!(limit > 0 && limit < 1))
    throw InputError("`tolerance` {}: give a number between 0 and 1", limit);
  if (single && tolerance.has_value() && !(limit >= kSingle))
    throw InputError(
        "`tolerance` {}: vectors in `precision` single have residuals of {:.1e} lambda_1 at best: "
        "leave `tolerance` out to accept rounding errors, or give `precision` double",
        limit, kSingle);
  const std::pair<const char*, bool> of_krylov[] = {
      {"storage", storage != gram::Storage::automatic},
      {"block", block > 0},
      {"start", !start.empty()},
      {"checkpoint", checkpoints.asked()}};
  for (const auto& [field, given] : of_krylov)
    if (given && direct_asked())
      throw InputError("`{}`: belongs to `method` krylov, not to {}", field,
                       spectral::name(method));
  if (iterative_asked() && !(limit >= kLeastTolerance))
    throw InputError(
        "`tolerance` {}: krylov reaches residuals of {} at best; for smaller ones take a direct "
        "solver",
        limit, kLeastTolerance);
  if (estimates.has_value() && !(*estimates > 0 && std::isfinite(*estimates)))
    throw InputError("`estimates` {}: give a ridge > 0, relative to trace(K)/n", *estimates);
}

void SpectrumOptions::validate(Index n) const {
  if (top == 0 || top < -1 || top > n)
    throw InputError("`top` {}: give 1 ... n = {} eigenpairs", top, n);
}

void SpectrumOptions::validate(const gram::Source& kernel) const {
  check_storage(storage, kernel, single);
}

std::string SpectrumOptions::text() const {
  return fmt::format("top {}, {}, method {}, tolerance {:g}, precision {}",
                     top < 0 ? "all" : fmt::format("{}", top), vectors ? "vectors" : "values only",
                     spectral::name(method), asked_tolerance(*this), single ? "single" : "double");
}

namespace {

spectral::KrylovOptions krylov_options(const SpectrumOptions& options, Index top,
                                       std::uint64_t seed) {
  return {.top = top, .tolerance = asked_tolerance(options), .block = options.block, .seed = seed};
}

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
  auto krylov = krylov_options(options, top, seed);
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

/// Writes the sizes that were chosen by the available memory, so that a resumed run has the same.
void write_sizes(io::Hdf5File& file, const SpectrumStrategy& strategy) {
  file.attribute("/", "krylov_block", strategy.run.sizes.block);
  file.attribute("/", "krylov_basis", strategy.run.sizes.basis);
  write_storage(file, strategy.products);
}

}  // namespace

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
  const auto choice = spectral::choose(sizes.n, top, options.vectors, sizes.shape, sizes.single);
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
  } catch (const MemoryError&) {
    return strategy;  // where the direct solver does not fit either, its plan is refused
  }
  const auto& op = strategy.products.cost;
  const double iterative = plan::store(reference, sizes, op).seconds +
                           plan::krylov(reference, sizes, op, strategy.run).seconds;
  strategy.iterative = !fits || iterative < direct;
  strategy.reason =
      fmt::format("auto: predicted krylov {}, {} {}{}", plan::format_seconds(iterative),
                  spectral::name(strategy.direct), plan::format_seconds(direct),
                  fits ? "" : ", which does not fit the memory");
  return strategy;
}

namespace {

gram::Sizes sizes_of(const SpectrumOptions& options, const gram::Source& kernel, Index n,
                     const data::Dataset& rows, const Resources& resources, Index nb) {
  return {.n = n,
          .d = rows.dimension(),
          .shape = resources.shape,
          .nb = nb,
          .single = options.single,
          .kernel = gram::kernel_of(kernel)};
}

plan::Plan stages_of(const SpectrumOptions& options, const SpectrumStrategy& strategy,
                     const gram::Sizes& sizes, Index top, const Resources& resources,
                     double load_seconds) {
  const auto& machine = resources.machine;
  plan::Plan stages = resources.plan();
  stages.stage(plan::load(sizes, load_seconds));
  if (!strategy.iterative) {
    stages.stage(plan::assemble(machine, sizes));
    stages.stage(plan::eigensolve(machine, sizes, strategy.direct, top, options.vectors));
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
                {"`kernel`", kernel.text()},
                {"entries of the kernel's file", contents_of(comm, kernel)},
                {"rows", whole(n)},
                {"data hash", hash_text(rows.hash)},
                {"`top`", whole(top)},
                {"`block`", options.block > 0 ? whole(options.block) : "chosen"},
                {"`precision`", options.single ? "single" : "double"},
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
                      .stages = resources.plan()};
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
  result.stages = stages_of(options, result.strategy, sizes, top, resources, load_seconds);
  result.sizes = sizes;
  return result;
}

namespace {

Accepted accepted(const SpectrumPlan& plan) {
  const double limit = asked_tolerance(plan.options);
  if (!plan.options.single || plan.options.tolerance.has_value()) return {limit};
  if (plan.strategy.iterative) return {std::max(limit, kSingle), "vectors in single precision"};
  return {std::max(limit, spectral::rounding_residual(plan.n, true)),
          "rounding in single precision"};
}

/// What is accepted of exact residuals where the pairs are those of a K with entries stored in
/// single: each entry has a relative error of 2^-24, and the matrix an error of at most 2^-24 |K|_F
/// <= 2^-24 sqrt(lambda_1 trace(K)).
Accepted accepted_of_rounded(const Accepted& of_kept, double trace, double lambda_1) {
  if (!(lambda_1 > 0 && trace > 0)) return of_kept;
  return {of_kept.residual + 0.5 * kSingle * std::sqrt(trace / lambda_1),
          "entries of K kept in single precision"};
}

SpectrumEstimates estimate(const SpectrumPlan& plan, const gram::Operator& K, Monitor& monitor) {
  SpectrumEstimates e;
  e.density = monitor.phase("estimates", [&] {
    auto options = plan.strategy.probes;
    options.progress = monitor.shares();
    e.trace = spectral::trace(K);
    return spectral::lanczos_quadrature(K, options);
  });
  e.ridge = *plan.options.estimates * e.trace / static_cast<double>(plan.n);
  e.dimension = e.density.statistical_dimension(e.ridge);
  e.log_determinant = e.density.log_determinant(e.ridge);
  return e;
}

/// rows -> K -> eigenpairs by a direct solver.
template <class T>
Spectrum<T> directly(const SpectrumPlan& plan, const gram::Source& kernel,
                     const data::Dataset& rows, const dist::ProcessGrid& grid, Monitor& monitor) {
  const auto& options = plan.options;
  const auto assemble = [&](const char* phase) {
    return monitor.phase(phase, [&] {
      return gram::assemble<T>(kernel, rows.inputs, grid,
                               {.nb = plan.nb, .progress = monitor.shares()});
    });
  };
  auto K = assemble("assemble");
  std::optional<SpectrumEstimates> estimates;
  if (options.estimates.has_value())
    estimates = estimate(plan, gram::MatrixOperator<T>(K), monitor);
  auto pairs = monitor.phase("eigensolve", [&] {
    return spectral::eigenpairs(std::move(K), {.top = plan.top,
                                               .vectors = options.vectors,
                                               .method = plan.strategy.direct,
                                               .seed = plan.seed,
                                               .say = monitor.lines("solver"),
                                               .reason = plan.strategy.reason});
  });
  if (options.exact_residuals && options.vectors)
    spectral::measure_residuals(assemble("check"), pairs);
  Spectrum<T> result{.pairs = std::move(pairs)};
  result.estimates = std::move(estimates);
  result.accepted = accepted(plan);
  result.flops = plan.stages.flops();
  return result;
}

/// Eigenvectors of an earlier result, with that of lambda_(k+1) where it was stored, because
/// krylov() converges it too. The entries of rows added since then are zeros.
Matrix<double> starting_vectors(const SpectrumPlan& plan, const comm::Communicator& comm) {
  const auto& path = plan.options.start;
  const auto file = io::Hdf5File::open(comm, path, io::Origin::mercer);
  if (!file.contains("/eigenvectors"))
    throw InputError("`start` {}: has no /eigenvectors: give a result of mercer-spectrum", path);
  const auto columns = [&](const char* dataset) {
    const auto extents = file.extents(dataset);
    if (extents.size() != 2 || extents[1] < 1 || extents[1] > extents[0])
      throw InputError("`start` {}: {} is {}: n x k, k <= n, is wanted", path, dataset,
                       fmt::join(extents, " x "));
    if (extents[0] > plan.n)
      throw InputError("`start` {}: has eigenvectors of {}, this job has n = {}", path,
                       counted(extents[0], "row"), plan.n);
    auto vectors = file.read_rows<double>(dataset, extents[0], extents[1]);
    if (vectors.rows() < plan.n) {
      dist::RowBlock<double> added(comm, plan.n - vectors.rows(), vectors.cols());
      std::ranges::fill(added.values(), 0.0);
      vectors = dist::concatenate(vectors, added);
    }
    return dist::to_columns(vectors);
  };
  spectral::TopPairs earlier{.n = plan.n};
  earlier.vectors = columns("/eigenvectors");
  if (file.contains("/eigenvector_next")) earlier.next_vector = columns("/eigenvector_next");
  return spectral::warm_start(earlier);
}

/// Whether a run can continue from the state in `file`: its converged pairs are accurate enough,
/// and its products with K are valid in this run. Otherwise its vectors start a new run.
bool is_continued(const SpectrumPlan& plan, const gram::Source& kernel, const io::Hdf5File& file) {
  const double before = parse_numbers(file.path() + ": the attribute 'tolerance'",
                                      file.text_attribute("/", "tolerance"))
                            .at(0);
  return before > 0 && asked_tolerance(plan.options) >= before &&
         same_entries(file, kernel, plan.strategy.products, file.comm().size());
}

/// krylov() with progress and checkpoints.
spectral::TopPairs iterate(const SpectrumPlan& plan, const gram::Source& kernel,
                           const gram::Operator& K, Checkpoints& checkpoints, Monitor& monitor) {
  const auto& options = plan.options;
  const auto& run = plan.strategy.run;
  Matrix<double> start;
  spectral::KrylovState state;
  spectral::KrylovOptions krylov{
      .top = plan.top,
      // Half, because measured residuals have errors of some tens of percent.
      .tolerance = std::max(kLeastTolerance, 0.5 * asked_tolerance(options)),
      .block = run.sizes.block,
      .basis = run.sizes.basis,
      .seed = plan.seed,
      .single_vectors = options.single};
  if (options.checkpoints.resume) {
    const auto file = checkpoints.open();
    state = spectral::read_krylov_state(file, plan.n, run.sizes);
    monitor.log("resume",
                fmt::format("{}: {}{}", options.checkpoints.path,
                            counted(state.products, "product"), checkpoints.differences(file)));
    if (is_continued(plan, kernel, file)) {
      krylov.resume = &state;
    } else {
      start = std::move(state.basis);
      krylov.start = start.view().block(0, 0, start.rows(), state.columns);
    }
  } else if (!options.start.empty()) {
    start = starting_vectors(plan, K.comm());
    krylov.start = start.view();
  }
  krylov.say = monitor.lines("solver");
  krylov.progress = [&](Index products, Index converged, double residual) {
    monitor.progress(std::min(0.99, static_cast<double>(products) / run.products),
                     fmt::format("{}, {} of {}, residual {:.1e}", counted(products, "product"),
                                 converged, counted(plan.top, "pair"), residual));
  };
  krylov.checkpoint = [&](const spectral::KrylovState& now) {
    state.products = now.products;
    return checkpoints.step([&](io::Hdf5File& file) {
      write_sizes(file, plan.strategy);
      spectral::write(file, plan.n, now);
    });
  };
  checkpoints.begin();
  auto pairs = spectral::krylov(K, krylov);
  checkpoints.end();
  if (!pairs.finished) checkpoints.interrupted(counted(pairs.products, "product"));
  return pairs;
}

/// Residuals with every entry of K computed again. Collective.
void measure_again(const SpectrumPlan& plan, const gram::Source& kernel,
                   const dist::RowBlock<double>& X, const dist::ProcessGrid& grid,
                   spectral::TopPairs& pairs) {
  auto again = plan.strategy.products.options;
  again.storage = gram::Storage::none;
  again.block = std::max(again.block, std::min<Index>(plan.top, 128));
  spectral::measure_residuals(gram::KernelOperator(kernel.kernel(), X, grid, again), pairs);
}

/// rows -> K as an operator -> eigenpairs by block Krylov.
template <class T>
Spectrum<T> by_products(const SpectrumPlan& plan, const gram::Source& kernel,
                        const data::Dataset& rows, const dist::ProcessGrid& grid,
                        Monitor& monitor) {
  const auto& options = plan.options;
  const auto& X = rows.inputs;
  std::optional<SpectrumEstimates> estimates;
  spectral::TopPairs top;
  std::string storage;
  double share = 1;
  {
    Checkpoints checkpoints(options.checkpoints, grid.all(), monitor, plan.identity);
    const Products products(kernel, X, grid, plan.nb, plan.strategy.products, monitor,
                            checkpoints.interruption());
    monitor.log("solver", fmt::format("krylov ({})", plan.strategy.reason));
    monitor.log("storage", products.text());
    storage = products.storage();
    share = products.stored_share();
    if (options.estimates.has_value()) estimates = estimate(plan, products.K(), monitor);
    top = monitor.phase("eigensolve",
                        [&] { return iterate(plan, kernel, products.K(), checkpoints, monitor); });
    if (options.exact_residuals && kernel.is_stored())
      monitor.phase("check", [&] { spectral::measure_residuals(products.K(), top); });
  }
  if (options.exact_residuals && !kernel.is_stored())
    monitor.phase("check", [&] { measure_again(plan, kernel, X, grid, top); });
  monitor.log("solver", fmt::format("krylov: {}, {}", counted(top.products, "product"),
                                    counted(top.restarts, "restart")));
  if (!top.warning.empty()) monitor.warn(top.warning);
  auto pairs = spectral::on_grid<T>(top, plan.n, grid, plan.nb);
  if (!options.vectors) pairs.vectors = dist::DistMatrix<T>(grid, plan.n, 0, plan.nb);
  pairs.reason = plan.strategy.reason;
  Spectrum<T> result{.pairs = std::move(pairs)};
  result.estimates = std::move(estimates);
  result.accepted = accepted(plan);
  // The solver's residuals are those of K as stored; exact ones are those of K itself.
  if (options.exact_residuals && (storage == "single" || storage == "mixed"))
    result.accepted =
        accepted_of_rounded(result.accepted, result.pairs.trace, result.pairs.values.front());
  if (top.next_vector.cols() > 0 && options.vectors)
    result.next_vector = dist::to_row_block(grid.all(), plan.n, top.next_vector.view());
  result.iterative = true;
  result.products = top.products;
  result.restarts = top.restarts;
  result.block = top.block;
  result.basis = top.basis;
  result.storage = storage;
  result.stored_share = share;
  result.warning = top.warning;
  auto counted_run = plan.strategy.run;
  counted_run.products = static_cast<double>(top.products);
  const auto& op = plan.strategy.products.cost;
  result.flops = spectral::krylov_cost(plan.sizes, op, counted_run).flops + op.set_up.flops;
  if (options.estimates.has_value())
    result.flops += spectral::estimates_cost(plan.sizes, op, plan.strategy.probes).flops;
  return result;
}

}  // namespace

template <class T>
double Spectrum<T>::largest_residual() const {
  if (pairs.residuals.empty()) return -1;
  double largest = 0;
  for (const double r : pairs.residuals)
    if (!(r <= largest)) largest = std::isnan(r) ? std::numeric_limits<double>::infinity() : r;
  return largest;
}

template <class T>
bool Spectrum<T>::good() const {
  return pairs.residuals.empty() || largest_residual() <= accepted.residual;
}

template <class T>
Spectrum<T> solve(const SpectrumPlan& plan, const gram::Source& kernel, const data::Dataset& rows,
                  const dist::ProcessGrid& grid, Monitor& monitor) {
  if (plan.options.single != std::is_same_v<T, float>)
    throw InputError("`precision`: the plan is for {}", plan.options.single ? "single" : "double");
  plan.stages.require_memory();
  check_range(kernel, rows.inputs, monitor);
  return plan.strategy.iterative ? by_products<T>(plan, kernel, rows, grid, monitor)
                                 : directly<T>(plan, kernel, rows, grid, monitor);
}

namespace {

void write_estimates(io::Hdf5File& file, const SpectrumEstimates& e) {
  std::vector<std::pair<double, double>> density;
  const double share =
      static_cast<double>(e.density.n) / static_cast<double>(e.density.nodes.size());
  for (std::size_t z = 0; z < e.density.nodes.size(); ++z)
    for (std::size_t j = 0; j < e.density.nodes[z].size(); ++j)
      density.emplace_back(e.density.nodes[z][j], share * e.density.weights[z][j]);
  std::ranges::sort(density);
  std::vector<double> nodes, weights;
  for (const auto& [node, weight] : density) {
    nodes.push_back(node);
    weights.push_back(weight);
  }
  file.write("/density/node", nodes);
  file.write("/density/weight", weights);
  file.write("/estimates/ridge", std::vector<double>{e.ridge});
  file.write("/estimates/trace", std::vector<double>{e.trace});
  file.write("/estimates/lambda_min_bound", std::vector<double>{e.density.smallest});
  const auto with_error = [&](const std::string& name, const spectral::Estimate& x) {
    file.write("/estimates/" + name, std::vector<double>{x.value});
    file.attribute("/estimates/" + name, "error", x.error);
  };
  with_error("statistical_dimension", e.dimension);
  with_error("log_determinant", e.log_determinant);
}

}  // namespace

template <class T>
void write(io::Hdf5File& file, const Spectrum<T>& spectrum) {
  spectral::write(file, spectrum.pairs);
  if (spectrum.next_vector.cols() > 0) file.write("/eigenvector_next", spectrum.next_vector);
  if (spectrum.estimates.has_value()) write_estimates(file, *spectrum.estimates);
}

std::uint64_t rows_hash(const gram::Source& kernel, const comm::Communicator& comm) {
  if (!kernel.is_stored()) return 0;
  const auto file = io::Hdf5File::open(comm, kernel.matrix_path());
  if (!file.has_attribute("/", "data_hash")) return 0;
  return parse_hash(file.text_attribute("/", "data_hash"));
}

#define MERCER_INSTANTIATE(T)                                                                   \
  template struct Spectrum<T>;                                                                  \
  template Spectrum<T> solve<T>(const SpectrumPlan&, const gram::Source&, const data::Dataset&, \
                                const dist::ProcessGrid&, Monitor&);                            \
  template void write<T>(io::Hdf5File&, const Spectrum<T>&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::jobs
