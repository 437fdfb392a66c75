#include "shared/ridge_cg.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/dist/columns_file.hpp"
#include "mercer/krr/cg_file.hpp"
#include "mercer/krr/conjugate_gradients.hpp"
#include "mercer/spectral/estimates.hpp"
#include "mercer/spectral/stored.hpp"

namespace mercer::drivers {

using dist::RowBlock;

namespace {

constexpr Index kProbes = 32;         // of the estimates that choose a ridge
constexpr double kPairs = 1e-10;      // residuals of the pairs that g acts on
constexpr Index kMorePairs = 64;      // beside four times --top, where it cuts an eigenspace
constexpr double kRoughPairs = 1e-4;  // of those that only precondition
constexpr Index kModerate = 10000;    // rows up to which a direct solve is taken where it fits

/// Iterations that the plan counts: 3 sqrt(n/(r G)) to 1e-8 at the relative ridge G. trace(K)/r
/// bounds the eigenvalues beside a sketch of rank r, so that conjugate gradients take at most about
/// 10 sqrt(n/(r G)); a third of that was seen on kin40k and on all of MNIST, less on easier sets.
/// Plain ones find the largest eigenvalues themselves, as if r were 30. Where the ridge is still to
/// be chosen: as for 1e-3.
double expected_iterations(const RidgeJob& job, double n, Index rank) {
  double G = 1e-3;
  if (!job.score.has_value() && !job.ridges.empty()) {
    const double ridge = *std::ranges::min_element(job.ridges);
    G = job.relative ? ridge : n * ridge;  // entries on the diagonal of order one
  }
  const double r = rank > 0 ? static_cast<double>(rank) : 30;
  const double digits = std::log(job.cg_tolerance) / std::log(1e-8);
  const double most = static_cast<double>(job.max_iterations);
  return std::clamp(3 * digits * std::sqrt(n / (r * std::max(G, 1e-12))), 1.0, std::max(1.0, most));
}

double bytes_of_columns(const forecast::Sizes& sizes, Index columns) {
  return 8 * static_cast<double>(sizes.n) * static_cast<double>(columns) / sizes.ranks();
}

/// Are scores estimated: to choose a ridge, or to compare several?
bool estimated(const RidgeJob& job) {
  return job.score.has_value() || job.ridges.size() > 1;
}

/// Rank of a sketch that nobody chose: n/4 and at most 500; more where products with K cost much,
/// as long as the sketch costs no more than 16 of them and takes half of the memory. By the
/// reference machine: the same choice in every run.
Index chosen_rank(const RidgeJob& job, const gram::Source& kernel, const forecast::Sizes& sizes,
                  double room) {
  constexpr double kProducts = 16;
  const auto bytes = [&](Index r) { return forecast::conjugate_gradients_bytes(sizes, r); };
  Index rank = std::clamp<Index>(sizes.n / 4, 1, 500);
  while (rank > 1 && bytes(rank) > 0.5 * room) rank /= 2;

  const Machine reference;
  const Index columns = std::max<Index>(1, sizes.c);
  const auto op = plan_products(kernel, sizes, job.storage.storage(), room - bytes(rank),
                                2 * columns, reference)
                      .cost;
  const double product =
      forecast::product_seconds(reference, sizes, op, static_cast<double>(columns));
  for (;;) {
    const Index more = rank + rank / 8;
    if (rank < 500 || more > sizes.n / 4 || bytes(more) > 0.5 * room ||
        forecast::sketch(reference, sizes, op, more).seconds > kProducts * product)
      return rank;
    rank = more;
  }
}

/// What is set up beside K, and how large: of rank `asked`, 0: chosen.
void size_preconditioner(const RidgeJob& job, const gram::Source& kernel,
                         const forecast::Sizes& sizes, double room, Index asked, RidgeWay& way) {
  const bool pairs_there = job.modified() || !job.spectrum.empty();
  way.preconditioner = job.preconditioner != "auto" ? job.preconditioner
                       : pairs_there                ? "eigenpairs"
                                                    : "cholesky";
  if (way.preconditioner == "cholesky" || (way.preconditioner == "eigenpairs" && !pairs_there))
    way.rank = asked > 0 ? asked : chosen_rank(job, kernel, sizes, room);
  const bool computed =
      job.spectrum.empty() && (job.modified() || way.preconditioner == "eigenpairs");
  if (!computed) return;
  way.pairs_tolerance = job.modified() ? kPairs : kRoughPairs;
  const Index top = job.modified() ? std::min(job.top, sizes.n) : way.rank;
  spectral::KrylovOptions options{.top = top, .tolerance = way.pairs_tolerance};
  options.basis_bytes = std::max(1.0, 0.5 * room);
  way.run = forecast::krylov_run(sizes, options);
}

/// Collective.
Index pairs_stored(const RidgeJob& job, const comm::Communicator& comm) {
  const auto file = dist::Hdf5File::open(comm, job.spectrum, dist::Origin::mercer);
  return file.contains("/eigenvectors") ? file.extents("/eigenvectors").back() : 0;
}

/// `resume`: the checkpoint to go on from, whose rank is kept; may be null.
void size_iterative(const RidgeJob& job, const gram::Source& kernel, const forecast::Sizes& sizes,
                    double room, const Session& session, const dist::Hdf5File* resume,
                    RidgeWay& way) {
  const Index asked =
      resume != nullptr ? resume->count_attribute("/", "cg_rank", 0, sizes.n) : job.rank;
  size_preconditioner(job, kernel, sizes, room, std::clamp<Index>(asked, 0, sizes.n), way);
  const Index pairs = way.run.has_value()     ? way.run->k
                      : !job.spectrum.empty() ? pairs_stored(job, session.comm())
                                              : 0;
  way.iterations =
      expected_iterations(job, static_cast<double>(sizes.n), std::max(way.rank, pairs));
  double beside =
      bytes_of_columns(sizes, 2 * pairs) + forecast::conjugate_gradients_bytes(sizes, way.rank);
  if (estimated(job)) beside += bytes_of_columns(sizes, 9 * kProbes + 8 * sizes.c);
  if (way.run.has_value())
    beside = std::max(
        beside, spectral::krylov_bytes(sizes.n, way.run->k, sizes.shape.rows * sizes.shape.cols,
                                       way.run->sizes));
  Index block = 2 * std::max<Index>(1, sizes.c);  // a residual is measured beside a step's product
  if (way.run.has_value()) block = std::max(block, way.run->sizes.block + 16);
  if (estimated(job)) block = std::max(block, kProbes + sizes.c);
  way.products =
      resume != nullptr
          ? resumed_products(*resume, job.storage, kernel, sizes, room - beside)
          : plan_products(kernel, sizes, job.storage.storage(), room - beside, block, {});
}

}  // namespace

RidgeWay decide(const RidgeJob& job, const gram::Source& kernel, const forecast::Sizes& sizes,
                const Session& session, const dist::Hdf5File* resume) {
  RidgeWay way;
  check_stored_pairs(job.spectrum, job.modified() ? job.top : -1, session.comm());
  const double room = room_for_solver(session, sizes);
  if (job.direct_asked() || job.transductive()) return way;
  if (job.iterative_asked()) {
    require_room(session, room);
    way.iterative = true;
    way.reason = "asked for by " + job.iterative_asked_by();
    size_iterative(job, kernel, sizes, room, session, resume, way);
    return way;
  }
  if (job.modified() && job.top < 0 && job.spectrum.empty()) return way;  // all pairs
  const Machine reference;  // the same choice in every run, whatever a measurement would say
  Plan direct(0, true);
  plan_direct(direct, job, sizes, reference);
  const bool fits = direct.peak() - sizes.data_bytes() <= room;
  if (fits && sizes.n <= kModerate) return way;
  try {
    size_iterative(job, kernel, sizes, room, session, nullptr, way);
  } catch (const MemoryError&) {
    return {};  // where the direct way does not fit either, its plan is refused
  }
  Plan iterative(0, true);
  plan(iterative, job, way, sizes, reference);
  way.iterative = !fits || iterative.seconds() < direct.seconds();
  way.reason =
      fmt::format("predicted: cg {}, direct {}{}", format_seconds(iterative.seconds()),
                  format_seconds(direct.seconds()), fits ? "" : ", which does not fit the memory");
  return way;
}

void plan(Plan& plan, const RidgeJob& job, const RidgeWay& way, const forecast::Sizes& sizes,
          const Machine& machine) {
  auto op = way.products.cost;
  if (way.products.stored) {
    plan.stage(forecast::assemble(machine, sizes));
  } else {
    op =
        forecast::kernel_operator(machine, sizes, way.products.options, way.products.options.block);
    if (op.stored_share > 0) plan.stage(forecast::store(machine, sizes, op));
  }
  if (way.run.has_value()) plan.stage(forecast::krylov(machine, sizes, op, *way.run));
  if (way.preconditioner == "cholesky") plan.stage(forecast::sketch(machine, sizes, op, way.rank));
  const double ridges = std::max<double>(1, static_cast<double>(job.ridges.size()));
  if (estimated(job)) {  // about twenty ridges are tried
    auto with_probes = sizes;
    if (job.score != krr::RidgeCriterion::holdout) with_probes.c += kProbes;
    auto stage = forecast::conjugate_gradients(
        machine, with_probes, op, way.rank, (job.score.has_value() ? 20 : ridges) * way.iterations);
    stage.name = "choose";
    plan.stage(stage);
  }
  plan.stage(forecast::conjugate_gradients(machine, sizes, op, way.rank, ridges * way.iterations));
}

CheckpointIdentity identity(const RidgeJob& job, const gram::Source& kernel,
                            const data::Dataset& train, const comm::Communicator& comm) {
  const auto whole = [](Index x) { return fmt::format("{}", x); };
  std::string ridges = job.ridge;  // what chooses it, or the numbers, however they are typed
  if (!job.score.has_value())
    ridges = fmt::format("{}{}", fmt::join(job.ridges, ","), job.relative ? " relative" : "");
  CheckpointIdentity id;
  id.problem = {{"checkpoint of", "conjugate gradients"},
                {"kernel", kernel.text()},
                {"entries of the kernel's file", contents_of(comm, kernel)},
                {"training rows", whole(train.rows())},
                {"data hash", spectral::hash_text(train.hash)},
                {"target hash", spectral::hash_text(train.target_hash)},
                {"--ridge", ridges},
                {"--top", job.top < 0 ? "all" : whole(job.top)},
                {"--g", job.g.empty() ? "none" : job.g},
                {"table of --g", contents_of_table(comm, job.g)},
                {"--spectrum", job.spectrum.empty() ? "none" : job.spectrum},
                {"pairs of --spectrum", contents_of(comm, job.spectrum)},
                {"--preconditioner", job.preconditioner},
                {"--rank", job.rank > 0 ? whole(job.rank) : "chosen"},
                {"--precision", job.common.single_precision ? "single" : "double"},
                {"--seed", fmt::format("{}", job.common.seed)}};
  id.settings = settings_of(job.common, comm.size());
  id.settings.emplace_back("--cg-tol", fmt::format("{}", job.cg_tolerance));
  id.settings.emplace_back("--max-iterations", whole(job.max_iterations));
  id.settings.emplace_back("--storage", gram::name(job.storage.storage()));
  return id;
}

/// What a checkpoint holds beside identity and sizes: the ridges, how many of them are done, their
/// solutions B of A B = Y side by side, and the state of the next one.
struct IterativeFitting::Resumed {
  std::vector<double> ridges;
  Index done = 0;
  Matrix<double> solutions;
  krr::CgState state;
  bool continued = true;  ///< false: K was rounded otherwise, only the vectors are of use
};

IterativeFitting::IterativeFitting(const RidgeJob& job, const RidgeWay& way,
                                   const gram::Source& kernel, const data::Dataset& train, Index nb,
                                   Checkpoints& checkpoints, Session& session)
    : job_(job),
      way_(way),
      kernel_(kernel),
      train_(train),
      checkpoints_(checkpoints),
      session_(session),
      nb_(nb) {}

IterativeFitting::~IterativeFitting() = default;

Solution<double> IterativeFitting::solve() {
  if (job_.checkpoints.resume) {
    const auto file = checkpoints_.open();
    resumed_ = std::make_unique<Resumed>();
    const Index ridges = job_.score.has_value() ? 1 : static_cast<Index>(job_.ridges.size());
    resumed_->ridges = file.read_finite("/ridges", ridges);
    if (std::ranges::any_of(resumed_->ridges, [](double gamma) { return gamma < 0; }))
      throw InputError("{}: /ridges holds a negative number", file.path());
    resumed_->done = file.count_attribute("/", "cg_done", 0, ridges - 1);
    resumed_->solutions =
        dist::read_columns(file, "/solutions", n(), resumed_->done * train_.outputs());
    resumed_->state = krr::read_cg_state(file, n(), train_.outputs());
    resumed_->continued = same_entries(file, kernel_, way_.products, session_.comm().size());
    session_.say("resume  {}: ridge {} of {}, {} iterations{}", job_.checkpoints.path,
                 resumed_->done + 1, resumed_->ridges.size(), resumed_->state.iterations,
                 checkpoints_.differences(file));
  }
  const Products products(kernel_, train_.inputs, nb_, way_.products, session_);
  const gram::Operator& K = products.K();
  session_.say("storage {}", products.text());
  Solution<double> solution;
  solution.method = "cg";
  solution.storage = products.storage();
  solution.stored_share = products.stored_share();
  solution.mean_diagonal = spectral::trace(K) / static_cast<double>(n());
  if (way_.run.has_value() || !job_.spectrum.empty()) take_pairs(K, solution);

  std::optional<krr::ModifiedOperator> K_g;
  if (job_.modified()) K_g.emplace(K, pairs_, solution.spectrum);
  const auto* modified = K_g.has_value() ? &*K_g : nullptr;
  const gram::Operator& A = K_g.has_value() ? static_cast<const gram::Operator&>(*K_g) : K;
  const auto M = preconditioner(A, solution.spectrum);
  solution.preconditioner = M.text();
  gammas_ = job_.gammas(solution.mean_diagonal);
  if (resumed_ != nullptr)
    take_resumed_ridges();
  else if (job_.score.has_value())
    choose(K, modified, M, solution);
  if (gammas_.size() > 1) compare(K, modified, M, solution);
  fit(K, modified, M, solution);
  if (job_.modified())
    solution.pairs = spectral::on_grid<double>(pairs_, n(), session_.grid(), nb_);
  pairs_ = {};
  return solution;
}

spectral::TopPairs IterativeFitting::stored_pairs() {
  return session_.phase("load", [&] {
    const auto stored = spectral::read<double>(
        dist::Hdf5File::open(session_.comm(), job_.spectrum, dist::Origin::mercer),
        {kernel_.text(), n(), train_.hash}, session_.grid(), nb_);
    return spectral::by_rows(stored);
  });
}

spectral::TopPairs IterativeFitting::pairs(const gram::Operator& K, Index k, double tolerance,
                                           const spectral::TopPairs* before) {
  const auto scope = session_.phases().time("eigensolve");
  auto progress = session_.progress("eigensolve");
  Matrix<double> start;
  if (before != nullptr) start = spectral::warm_start(*before);
  spectral::KrylovOptions options{.top = k,
                                  .tolerance = tolerance,
                                  .block = way_.run->sizes.block,
                                  .basis = way_.run->sizes.basis,
                                  .seed = job_.common.seed,
                                  .start = start.view()};
  options.say = [&](const std::string& text) { session_.say("solver  {}", text); };
  options.progress = [&](Index count, Index converged, double residual) {
    progress.update(
        std::min(0.99, static_cast<double>(count) / way_.run->products),
        fmt::format("{} products, {} of {} pairs, residual {:.1e}", count, converged, k, residual));
  };
  return spectral::krylov(K, options);
}

/// What chose the ridge is not asked again. Ridges that were given are those of before, those
/// relative to trace(K)/n to what its rounding leaves.
void IterativeFitting::take_resumed_ridges() {
  if (!job_.score.has_value())
    for (std::size_t r = 0; r < gammas_.size(); ++r) {
      const double there = resumed_->ridges[r], tolerance = job_.relative ? 1e-6 * gammas_[r] : 0;
      if (!(std::abs(there - gammas_[r]) <= tolerance))
        dist::require_same(job_.checkpoints.path, "a ridge", fmt::format("{}", there),
                           fmt::format("{}", gammas_[r]));
    }
  gammas_ = resumed_->ridges;
}

void IterativeFitting::take_pairs(const gram::Operator& K, Solution<double>& solution) {
  using Pairs = spectral::TopPairs;
  const bool stored = !job_.spectrum.empty();
  if (stored) pairs_ = stored_pairs();
  if (!job_.modified()) {
    if (!stored) pairs_ = pairs(K, way_.run->k, way_.pairs_tolerance, nullptr);
    return;
  }
  const Index top = std::min(job_.top < 0 ? pairs_.k() : job_.top, n());
  const auto g = msk::SpectrumMap::parse(job_.g);
  auto options = msk::cut_options<double>(top, n(), msk::SpectrumMap::Positivity::nonnegative);
  options.agreement = std::max(options.agreement, 0.1 * job_.cg_tolerance);
  msk::SolveOptions how{.most = pairs_.k(),
                        .where = fmt::format("--spectrum {} holds no more", job_.spectrum)};
  if (!stored)
    how = {.most = 4 * top + kMorePairs,
           .tolerance = way_.pairs_tolerance,
           .where = "--solver cg computes no more"};
  auto found = msk::solve_and_cut<Pairs>(
      g, options, how, [&](Index k, double tolerance, const Pairs* before) {
        return stored ? std::move(pairs_) : pairs(K, k, tolerance, before);
      });
  say_cut(session_, g, found.cut, n());
  pairs_ = std::move(found.pairs);
  solution.top = found.cut.k;
  solution.spectrum = std::move(found.cut.spectrum);
}

krr::LowRankPreconditioner IterativeFitting::preconditioner(const gram::Operator& A,
                                                            const msk::ModifiedSpectrum& spectrum) {
  if (way_.preconditioner == "none") return {};
  auto M = session_.phase("precondition", [&] {
    return way_.preconditioner == "eigenpairs"
               ? krr::LowRankPreconditioner::from_pairs(pairs_, spectrum.g)
               : krr::LowRankPreconditioner::pivoted_cholesky(A, way_.rank, job_.common.seed);
  });
  session_.say("M       {}, {:.4g} of the trace", M.text(), M.captured());
  return M;
}

krr::RidgeEstimates IterativeFitting::estimates(const gram::Operator& K,
                                                const krr::ModifiedOperator* K_g,
                                                const krr::LowRankPreconditioner& M,
                                                krr::RidgeCriterion criterion,
                                                const krr::RidgeEstimateOptions& options) {
  return K_g != nullptr ? krr::RidgeEstimates(*K_g, M, train_.targets, criterion, options)
                        : krr::RidgeEstimates(K, M, train_.targets, criterion, options);
}

void IterativeFitting::choose(const gram::Operator& K, const krr::ModifiedOperator* K_g,
                              const krr::LowRankPreconditioner& M, Solution<double>& solution) {
  using Edge = krr::RidgeSelection::Edge;
  const auto scope = session_.phases().time("choose");
  krr::RidgeEstimateOptions options{
      .probes = kProbes, .max_iterations = job_.max_iterations, .seed = job_.common.seed};
  session_.say("\n{:>14}  {:>14}  {:>10}  {:>10}", "ridge tried", job_.ridge, "error",
               "iterations");
  options.done = [&](const krr::RidgeScore& s) {
    session_.say("{:>14.6e}  {:>14.8g}  {:>10.1e}  {:>10}{}", s.ridge, s.score, s.error,
                 s.iterations, s.converged ? "" : "  not converged");
  };
  const auto chosen = estimates(K, K_g, M, *job_.score, options).select();
  gammas_ = {chosen.ridge};
  solution.tried = chosen.tried;
  solution.chosen = chosen.best;
  solution.estimates = what_scores_estimate(job_);
  solution.searched_from = chosen.tried.front().ridge;
  solution.searched_to = chosen.tried.back().ridge;
  if (chosen.edge == Edge::none) return;
  solution.edge_side = chosen.edge == Edge::largest ? "upper" : "lower";
  solution.edge = fmt::format("the ridge is at the {} end of the range searched, {:.2e} ... {:.2e}",
                              solution.edge_side, solution.searched_from, solution.searched_to);
}

/// Leave-one-out errors of several ridges, and which of these is best.
void IterativeFitting::compare(const gram::Operator& K, const krr::ModifiedOperator* K_g,
                               const krr::LowRankPreconditioner& M, Solution<double>& solution) {
  const auto scope = session_.phases().time("choose");
  solution.estimates = what_scores_estimate(job_);
  solution.tried =
      estimates(
          K, K_g, M, krr::RidgeCriterion::leave_one_out,
          {.probes = kProbes, .max_iterations = job_.max_iterations, .seed = job_.common.seed})
          .scores(gammas_);
  solution.best = krr::RidgeEstimates::best(solution.tried);
}

void IterativeFitting::fit(const gram::Operator& K, const krr::ModifiedOperator* K_g,
                           const krr::LowRankPreconditioner& M, Solution<double>& solution) {
  const auto scope = session_.phases().time("solve");
  auto progress = session_.progress("solve");
  const Index c = train_.outputs(), own = K.local_rows();
  const auto ridges = static_cast<Index>(gammas_.size());
  Matrix<double> solutions(own, ridges * c, 0.0);
  const auto solution_of = [&](Index r) { return solutions.view().block(0, r * c, own, c); };
  if (resumed_ != nullptr)
    std::copy_n(resumed_->solutions.data(), resumed_->solutions.size(), solutions.data());
  solution.resumed = resumed_ != nullptr;
  checkpoints_.begin();
  for (Index r = 0; r < ridges; ++r) {
    const double gamma = gammas_[static_cast<std::size_t>(r)];
    krr::CgOptions options{.tolerance = job_.cg_tolerance, .max_iterations = job_.max_iterations};
    if (resumed_ != nullptr && r < resumed_->done) options.start = solution_of(r);
    if (resumed_ != nullptr && r == resumed_->done) {
      if (resumed_->continued)
        options.resume = &resumed_->state;
      else
        options.start = resumed_->state.X.view();
    }
    options.progress = [&](Index iteration, double residual) {
      const double share = std::log(residual) / std::log(job_.cg_tolerance);
      progress.update(
          std::clamp((static_cast<double>(r) + share) / static_cast<double>(ridges), 0.0, 0.99),
          fmt::format("iteration {}, residual {:.1e}", iteration, residual));
    };
    Index iterations = 0;
    options.checkpoint = [&](const krr::CgState& state) {
      iterations = state.iterations;
      return checkpoints_.step([&](dist::Hdf5File& file) {
        write_storage(file, way_.products);
        file.attribute("/", "cg_rank", way_.rank);
        file.attribute("/", "cg_done", r);
        file.write("/ridges", gammas_);
        dist::write_columns(file, "/solutions", n(), solutions.view().block(0, 0, own, r * c));
        krr::write(file, n(), state);
      });
    };
    auto fitted = K_g != nullptr ? krr::fit_modified_by_cg(*K_g, M, train_.targets, gamma, options)
                                 : krr::fit_by_cg(K, M, train_.targets, gamma, options);
    if (!fitted.solution.finished)
      checkpoints_.interrupted(fmt::format("{} iterations", iterations));
    const auto& run = fitted.solution;
    const MatrixView<double> kept = solution_of(r);
    for (Index j = 0; j < c; ++j) std::copy_n(run.X.column(j), own, kept.column(j));
    solution.runs.push_back({run.iterations, run.products, run.converged, run.stagnation});
    if (solution.chosen.has_value() && job_.score == krr::RidgeCriterion::gcv)
      fitted.fit.gcv = solution.chosen->score;
    else if (solution.chosen.has_value() && job_.score == krr::RidgeCriterion::leave_one_out)
      fitted.fit.loo_rmse = solution.chosen->score;
    else if (!solution.tried.empty() && !solution.chosen.has_value())
      fitted.fit.loo_rmse = solution.tried[static_cast<std::size_t>(r)].score;
    solution.fits.push_back(std::move(fitted.fit));
  }
  checkpoints_.end();
}

}  // namespace mercer::drivers
