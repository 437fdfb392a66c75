#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/base/text.hpp"
#include "mercer/krr/cost.hpp"
#include "mercer/plan/forecast.hpp"
#include "ridge_parts.hpp"

namespace mercer::jobs {
namespace {

constexpr double kPairs = 1e-10;      // residuals of the pairs that g acts on
constexpr double kRoughPairs = 1e-4;  // of those that only precondition
constexpr auto kFewerVectors = "more ranks, a smaller `rank` or fewer rows";
constexpr Index kModerate = 10000;  // rows up to which a direct solve is taken where it fits

/// Default rank of a sketch: n/4, at most 500, and less where it would take more than half of the
/// memory; larger where products with K are expensive, as long as the sketch takes no longer than
/// 16 of them and at most half of the memory. Decided by the reference machine: the same in every
/// run.
Index chosen_rank(const RidgeOptions& options, const gram::Source& kernel, const gram::Sizes& sizes,
                  double room) {
  constexpr double kProducts = 16;
  const auto bytes = [&](Index r) { return krr::conjugate_gradients_bytes(sizes, r); };
  Index rank = std::clamp<Index>(sizes.n / 4, 1, 500);
  while (rank > 1 && bytes(rank) > 0.5 * room) rank /= 2;
  if (bytes(rank) > 0.5 * room) return rank;  // size_iterative() says what is missing

  const plan::Machine reference;
  const Index columns = std::max<Index>(1, sizes.c);
  const auto op =
      plan_products(kernel, sizes, options.storage, room - bytes(rank), 2 * columns).cost;
  const double product = plan::product_seconds(reference, sizes, op, static_cast<double>(columns));
  for (;;) {
    const Index more = rank + rank / 8;
    if (rank < 500 || more > sizes.n / 4 || bytes(more) > 0.5 * room ||
        plan::sketch(reference, sizes, op, more).seconds > kProducts * product)
      return rank;
    rank = more;
  }
}

/// Decides which preconditioner and pairs are set up, and their sizes. `asked`: the rank; 0:
/// chosen.
void size_preconditioner(const RidgeOptions& options, const gram::Source& kernel,
                         const gram::Sizes& sizes, double room, Index asked,
                         RidgeStrategy& strategy) {
  const bool pairs_there = options.modified() || !options.spectrum.empty();
  strategy.preconditioner = options.preconditioner != Preconditioning::automatic
                                ? options.preconditioner
                            : pairs_there ? Preconditioning::eigenpairs
                                          : Preconditioning::cholesky;
  const bool of_pairs = strategy.preconditioner == Preconditioning::eigenpairs;
  if (strategy.preconditioner == Preconditioning::cholesky || (of_pairs && !pairs_there))
    strategy.rank = asked > 0 ? asked : chosen_rank(options, kernel, sizes, room);
  if (!options.spectrum.empty() || !(options.modified() || of_pairs)) return;
  strategy.pairs_tolerance = options.modified() ? kPairs : kRoughPairs;
  const Index top = options.modified() ? std::min(options.top, sizes.n) : strategy.rank;
  spectral::KrylovOptions krylov{.top = top, .tolerance = strategy.pairs_tolerance};
  krylov.basis_bytes = std::max(1.0, 0.5 * room);
  strategy.run = spectral::krylov_plan(sizes, krylov);
}

/// The vectors that S and, where it is made of pairs, the preconditioner hold beside conjugate
/// gradients.
double kept_bytes(const RidgeOptions& options, const RidgeStrategy& strategy,
                  const gram::Sizes& sizes) {
  const bool M = strategy.preconditioner == Preconditioning::eigenpairs;
  return ((options.modified() ? 1 : 0) + (M ? 1 : 0)) * vectors_bytes(sizes, strategy.pairs);
}

void size_iterative(const RidgeOptions& options, const gram::Source& kernel,
                    const gram::Sizes& sizes, double room, Index pairs_stored,
                    const io::Hdf5File* resume, RidgeStrategy& strategy) {
  const Index asked =
      resume != nullptr ? resume->count_attribute("/", "cg_rank", 0, sizes.n) : options.rank;
  size_preconditioner(options, kernel, sizes, room, std::clamp<Index>(asked, 0, sizes.n), strategy);
  strategy.pairs = strategy.run.has_value() ? strategy.run->k : pairs_stored;
  const Index pairs = strategy.pairs;
  strategy.iterations = expected_iterations(options, sizes.n, std::max(strategy.rank, pairs));
  const double kept = kept_bytes(options, strategy, sizes);
  double beside = kept + krr::conjugate_gradients_bytes(sizes, strategy.rank);
  if (estimated(options)) beside += krr::estimates_bytes(sizes, kRidgeProbes);
  // The pairs are there until S and M are made of them.
  const double copies = options.spectrum.empty() ? 1 : kCopiesByRows;
  beside = std::max(
      beside, std::max(kept + vectors_bytes(sizes, pairs), copies * vectors_bytes(sizes, pairs)));
  if (strategy.run.has_value())
    beside = std::max(beside, spectral::krylov_bytes(sizes.n, strategy.run->k, sizes.rank_count(),
                                                     strategy.run->sizes));
  if (beside >= room)
    throw MemoryError(
        "conjugate gradients take {} a rank beside products with K, but the rows and the process "
        "itself leave {} of the limit: use {}",
        format_bytes(beside), format_bytes(std::max(0.0, room)), kFewerVectors);
  Index block = 2 * std::max<Index>(1, sizes.c);  // a step's product and a measured residual
  if (strategy.run.has_value())
    block = std::max(block, strategy.run->sizes.block + spectral::kResidualProbes);
  if (estimated(options)) block = std::max(block, kRidgeProbes + sizes.c);
  strategy.products = resume != nullptr
                          ? resumed_products(*resume, options.storage, kernel, sizes, room - beside)
                          : plan_products(kernel, sizes, options.storage, room - beside, block);
}

/// Notes the direct strategy's eigensolver.
void choose_eigensolver(const RidgeOptions& options, const gram::Sizes& sizes,
                        const Resources& resources, RidgeStrategy& strategy) {
  const Index k = direct_pairs(options, sizes.n);
  if (k == 0) return;
  strategy.eigensolver = options.eigensolver;
  if (options.eigensolver != spectral::Method::automatic) return;
  const auto choice = spectral::choose(sizes.n, k, true, sizes.shape, sizes.single,
                                       resources.whole_room(sizes), sizes.nb);
  strategy.eigensolver = choice.method;
  strategy.eigensolver_reason = "auto: " + choice.reason;
}

}  // namespace

double expected_iterations(const RidgeOptions& options, Index n, Index rank) {
  const double N = static_cast<double>(n);
  double G = 1e-3;
  if (!options.choice.has_value() && !options.ridges.empty()) {
    const double ridge = *std::ranges::min_element(options.ridges);
    G = options.relative ? ridge : N * ridge;  // as if k(x, x) were 1
  }
  const double r = rank > 0 ? static_cast<double>(rank) : 30;
  const double digits = std::log(options.cg_tol) / std::log(1e-8);
  const double most = static_cast<double>(options.max_iterations);
  return std::clamp(3 * digits * std::sqrt(N / (r * std::max(G, 1e-12))), 1.0, std::max(1.0, most));
}

RidgeStrategy choose(const RidgeOptions& options, const gram::Source& kernel,
                     const gram::Sizes& sizes, const Resources& resources, Index pairs_stored,
                     const io::Hdf5File* resume) {
  RidgeStrategy strategy;
  choose_eigensolver(options, sizes, resources, strategy);
  const bool direct_asked =
      options.solver == RidgeSolver::direct || options.eigensolver != spectral::Method::automatic;
  if (direct_asked || options.transductive || options.time.asked() || options.curve.asked())
    return strategy;
  const double room = resources.room(sizes);
  if (const auto asked = options.iterative_asked_by(); !asked.empty()) {
    resources.require_room(room);
    strategy.iterative = true;
    strategy.reason = "asked for by " + asked;
    size_iterative(options, kernel, sizes, room, pairs_stored, resume, strategy);
    return strategy;
  }
  if (options.modified() && options.top < 0 && options.spectrum.empty()) return strategy;
  const plan::Machine reference;  // not measured rates: the same choice in every run
  plan::Plan direct(0, true);
  plan_direct(direct, options, sizes, reference, pairs_stored, strategy.eigensolver);
  const bool fits = direct.peak() - sizes.data_bytes() <= room;
  if (fits && sizes.n <= kModerate) return strategy;
  const RidgeStrategy directly = strategy;
  try {
    size_iterative(options, kernel, sizes, room, pairs_stored, nullptr, strategy);
  } catch (const MemoryError& error) {
    strategy = directly;
    if (!fits) strategy.lacks = error.what();
    return strategy;  // where the direct strategy does not fit either, its plan is refused
  }
  plan::Plan iterative(0, true);
  plan_iterative(iterative, options, strategy, sizes, reference);
  strategy.iterative = !fits || iterative.seconds() < direct.seconds();
  strategy.reason =
      fmt::format("predicted for the reference machine: cg {}, direct {}{}",
                  plan::format_seconds(iterative.seconds()), plan::format_seconds(direct.seconds()),
                  fits ? "" : ", which does not fit the memory");
  return strategy;
}

namespace {

/// The identity of a checkpoint: the problem, and the settings on which accuracy and rounding
/// depend. Collective.
CheckpointIdentity identity(const RidgeOptions& options, const gram::Source& kernel,
                            const data::Dataset& train, const Resources& resources,
                            const comm::Communicator& comm) {
  const auto whole = [](Index x) { return fmt::format("{}", x); };
  CheckpointIdentity id = settings_of(resources, comm.size());
  id.problem = {{"checkpoint of", "conjugate gradients"},
                {"the kernel", kernel.text()},
                {"entries of the kernel's file", contents_of(comm, kernel)},
                {"training rows", whole(train.rows())},
                {"data hash", hash_text(train.hash)},
                {"target hash", hash_text(train.target_hash)},
                {"`ridges`", ridges_text(options)},
                {"`top`", options.top < 0 ? "all" : whole(options.top)},
                {"`g`", options.modified() ? options.map() : "none"},
                {"table of `g`", contents_of_table(comm, options.map())},
                {"pairs of `spectrum`", options.spectrum.contents(comm)},
                {"`preconditioner`", name(options.preconditioner)},
                {"`rank`", options.rank > 0 ? whole(options.rank) : "chosen"},
                {"precision", options.single ? "single" : "double"},
                {"`seed`", fmt::format("{}", resources.seed)}};
  id.settings.emplace_back("`cg_tol`", fmt::format("{}", options.cg_tol));
  id.settings.emplace_back("`max_iterations`", whole(options.max_iterations));
  id.settings.emplace_back("`storage`", gram::name(options.storage));
  return id;
}

/// Number of pairs in options.spectrum. Throws InputError where g acts on more. Collective.
Index count_given_pairs(const RidgeOptions& options, Index n, const comm::Communicator& comm) {
  const Index given = options.spectrum.count(comm, n);
  if (given > 0 && options.modified() && options.top > given)  // read() says what is missing at 0
    throw InputError(
        "`top` {}: {} holds {} eigenpairs: give `top` {} or less, or pairs of more eigenvalues",
        options.top, options.spectrum.text(), given, given);
  return given;
}

/// Verifies the files of a stored kernel; nothing else for a function. Collective.
std::vector<std::string> verify(gram::Source& kernel, const data::Split& sets,
                                const comm::Communicator& comm) {
  const auto train = identity_of("training", sets.train);
  auto lines = kernel.verify(comm, train);
  if (!sets.test.has_value()) return lines;
  const auto more = kernel.verify_cross(comm, identity_of("test", *sets.test), train);
  lines.insert(lines.end(), more.begin(), more.end());
  return lines;
}

/// What would take less memory than the plan does.
std::string less_memory(const RidgeOptions& options, bool iterative) {
  if (iterative) return kFewerVectors;
  const std::string fewer =
      fmt::format("more ranks, {}fewer rows", options.single ? "" : "`single`, ");
  if (options.transductive) return fewer + " or a smaller `top`";
  if (options.time.asked() && !options.spectrum.empty()) return fewer + " or fewer times";
  if (options.time.asked()) return fewer + " or a `spectrum` of the top eigenvalues";
  return fewer + (options.modified() ? ", or `solver` cg with a smaller `top`" : " or `solver` cg");
}

}  // namespace

RidgePlan plan(const RidgeOptions& options, const gram::Source& kernel, const data::Split& sets,
               const Resources& resources, const comm::Communicator& comm, double load_seconds) {
  options.validate();
  options.validate(kernel);
  const Index n = sets.train.rows(), m = sets.test.has_value() ? sets.test->rows() : 0;
  options.validate(sets);
  const Index N = options.transductive ? n + m : n;
  RidgePlan result{
      .options = options, .kernel = kernel, .seed = resources.seed, .stages = resources.plan()};
  result.notes = verify(result.kernel, sets, comm);
  result.rows_hash = sets.train.hash;
  result.nb = resources.block_of(N);
  result.sizes = {.n = N,
                  .d = sets.train.dimension(),
                  .c = sets.train.outputs(),
                  .m = options.transductive ? 0 : m,
                  .shape = resources.shape,
                  .nb = result.nb,
                  .single = options.single,
                  .kernel = gram::kernel_of(result.kernel)};
  if (options.checkpoints.asked())
    result.identity = identity(options, kernel, sets.train, resources, comm);
  const Index stored = count_given_pairs(options, n, comm);
  if (options.checkpoints.resume) {
    Monitor silent;
    const auto file = Checkpoints(options.checkpoints, comm, silent, result.identity).open();
    result.strategy = choose(options, kernel, result.sizes, resources, stored, &file);
  } else {
    result.strategy = choose(options, kernel, result.sizes, resources, stored);
  }
  if (stored > 0 && stored < n && !result.strategy.iterative) {
    const bool holdout = options.time.choice == krr::RidgeCriterion::holdout;
    if (holdout || options.time.covariance)
      throw InputError("{}: holds {} of {} eigenpairs, but {} all", options.spectrum.text(), stored,
                       n, holdout ? "`times` holdout takes" : "`covariance` takes");
    if (options.curve.asked())
      throw InputError("{}: holds {} of {} eigenpairs, but a learning curve takes them all",
                       options.spectrum.text(), stored, n);
    if (estimated(options) && !options.time.asked())
      throw InputError(
          "{}: holds {} of {} eigenpairs, but a direct solver takes them all to compare ridges by "
          "leave-one-out errors: give one ridge, `solver` cg, or all pairs",
          options.spectrum.text(), stored, n);
    if (!options.modified() && !options.time.asked())
      throw InputError(
          "{}: holds {} of {} eigenpairs, which a direct solver does not need without `g`: leave "
          "it out, or give `solver` cg, whose preconditioner takes them",
          options.spectrum.text(), stored, n);
  }
  constexpr double kLeast = 16.0 * 1024 * 1024;
  const double room = resources.room(result.sizes);
  result.panel_bytes = std::clamp(0.75 * room, kLeast, gram::Options{}.panel_bytes);
  if (resources.limit() > 0) result.pairs_limit = resources.limit() - resources.baseline;
  result.stages.suggest(less_memory(options, result.strategy.iterative), result.strategy.lacks);
  result.stages.stage(plan::load(result.sizes, load_seconds));
  if (result.sizes.kernel != nullptr)
    result.stages.stage(plan::prepare(resources.machine, result.sizes));
  if (result.strategy.iterative)
    plan_iterative(result.stages, options, result.strategy, result.sizes, resources.machine);
  else
    plan_direct(result.stages, options, result.sizes, resources.machine, stored,
                result.strategy.eigensolver);
  if (result.sizes.m > 0) {
    auto sizes = result.sizes;
    sizes.c *= std::max({Index{1}, std::ssize(options.ridges), std::ssize(options.time.times)});
    auto stage = plan::predict(resources.machine, sizes);
    stage.bytes = std::min(stage.bytes, result.sizes.data_bytes() + result.panel_bytes) +
                  times_bytes(options, result.sizes, result.sizes.n + 2 * result.sizes.m);
    result.stages.stage(stage);
    if (options.time.covariance) plan_covariance(result, resources.machine);
  }
  if (options.curve.asked()) plan_curve(result, sets, resources.machine);
  return result;
}

}  // namespace mercer::jobs
