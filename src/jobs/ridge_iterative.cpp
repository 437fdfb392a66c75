#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/io/columns_file.hpp"
#include "mercer/krr/cg_file.hpp"
#include "mercer/krr/conjugate_gradients.hpp"
#include "mercer/krr/cost.hpp"
#include "mercer/spectral/estimates.hpp"
#include "ridge_parts.hpp"

namespace mercer::jobs {
namespace {

constexpr Index kMorePairs = 64;  // where `top` cuts an eigenspace, up to 4 top + 64 pairs

/// What a checkpoint holds beside identity and sizes: the ridges, how many are done, their
/// solutions B of A B = Y side by side (A = K + gamma I or K_g + gamma I), and the state of the
/// next one.
struct Resumed {
  std::vector<double> ridges;
  Index done = 0;
  Matrix<double> solutions;
  krr::CgState state;
  bool continued = true;  ///< false: K was rounded differently; the state is only a first guess
};

/// K as an operator -> eigenpairs where g or the preconditioner needs them -> preconditioner ->
/// choice of the ridge -> coefficients by conjugate gradients. Borrows its arguments. Calls are
/// collective.
class IterativeFit {
 public:
  IterativeFit(const RidgePlan& plan, const data::Dataset& train, const dist::ProcessGrid& grid,
               Monitor& monitor)
      : plan_(plan),
        options_(plan.options),
        strategy_(plan.strategy),
        kernel_(plan.kernel),
        train_(train),
        grid_(grid),
        monitor_(monitor),
        checkpoints_(options_.checkpoints, grid.all(), monitor, plan.identity) {}

  RidgeFit run() {
    if (options_.checkpoints.resume) resume();
    const Products products(kernel_, train_.inputs, grid_, plan_.nb, strategy_.products, monitor_,
                            checkpoints_.interruption());
    const gram::Operator& K = products.K();
    monitor_.log("storage", products.text());
    RidgeFit fit;
    fit.method = "cg";
    fit.storage = products.storage();
    fit.stored_share = products.stored_share();
    fit.mean_diagonal = spectral::trace(K) / static_cast<double>(n());
    if (strategy_.run.has_value() || !options_.spectrum.empty()) take_pairs(K, fit);

    std::optional<krr::ModifiedOperator> K_g;
    if (options_.modified()) {
      fit.S.emplace(pairs_, fit.spectrum);
      fit.orthogonality = pairs_.orthogonality;
      K_g.emplace(K, *fit.S);
    }
    K_g_ = K_g.has_value() ? &*K_g : nullptr;
    const auto M =
        preconditioner(K_g_ != nullptr ? static_cast<const gram::Operator&>(*K_g_) : K, fit);
    pairs_ = {};
    gammas_ = options_.gammas(fit.mean_diagonal);
    if (resumed_.has_value())
      take_resumed_ridges();
    else if (options_.choice.has_value())
      choose_ridge(K, M, fit);
    if (gammas_.size() > 1) compare(K, M, fit);
    solve(K, M, fit);
    fit.flops = counted_flops(fit);
    return fit;
  }

 private:
  Index n() const { return train_.rows(); }

  void resume() {
    const auto file = checkpoints_.open();
    resumed_.emplace();
    const Index ridges = options_.choice.has_value() ? 1 : std::ssize(options_.ridges);
    resumed_->ridges = file.read_finite("/ridges", ridges);
    if (std::ranges::any_of(resumed_->ridges, [](double gamma) { return gamma < 0; }))
      throw InputError("{}: /ridges holds a negative number", file.path());
    resumed_->done = file.count_attribute("/", "cg_done", 0, ridges - 1);
    resumed_->solutions =
        io::read_columns(file, "/solutions", n(), resumed_->done * train_.outputs());
    resumed_->state = krr::read_cg_state(file, n(), train_.outputs());
    resumed_->continued = same_entries(file, kernel_, strategy_.products, grid_.all().size());
    monitor_.log("resume",
                 fmt::format("{}: ridge {} of {}, {} iterations{}", options_.checkpoints.path,
                             resumed_->done + 1, resumed_->ridges.size(),
                             resumed_->state.iterations, checkpoints_.differences(file)));
  }

  /// Takes the ridges of the checkpoint: a ridge is not chosen again. Throws where given ridges
  /// differ from them; ridges relative to trace(K)/n may differ by its rounding.
  void take_resumed_ridges() {
    if (!options_.choice.has_value())
      for (std::size_t r = 0; r < gammas_.size(); ++r) {
        const double there = resumed_->ridges[r];
        const double tolerance = options_.relative ? 1e-6 * gammas_[r] : 0;
        if (!(std::abs(there - gammas_[r]) <= tolerance))
          io::require_same(options_.checkpoints.path, "a ridge", fmt::format("{}", there),
                           fmt::format("{}", gammas_[r]));
      }
    gammas_ = resumed_->ridges;
  }

  spectral::TopPairs compute_pairs(const gram::Operator& K, Index k, double tolerance,
                                   const spectral::TopPairs* before) {
    auto pairs = krylov_pairs(K, *strategy_.run, k, tolerance, before, plan_.seed, monitor_);
    pair_products_ += pairs.products;
    return pairs;
  }

  /// Takes stored pairs or computes them; for a modified kernel also applies g to them.
  void take_pairs(const gram::Operator& K, RidgeFit& fit) {
    using Pairs = spectral::TopPairs;
    const bool stored = !options_.spectrum.empty();
    if (stored)
      pairs_ = spectral::by_rows(
          read<double>(options_.spectrum, kernel_, train_, grid_, plan_.nb, monitor_));
    if (!options_.modified()) {
      if (!stored) pairs_ = compute_pairs(K, strategy_.run->k, strategy_.pairs_tolerance, nullptr);
      return;
    }
    const Index top = std::min(options_.top < 0 ? pairs_.k() : options_.top, n());
    const auto g = spectrum_map(options_);
    auto cut = msk::cut_options<double>(top, n(), msk::SpectrumMap::Positivity::nonnegative);
    cut.agreement = std::max(cut.agreement, 0.1 * options_.cg_tol);
    msk::SolveOptions how{.most = pairs_.k(), .where = options_.spectrum.text() + " holds no more"};
    if (!stored)
      how = {.most = 4 * top + kMorePairs,
             .tolerance = strategy_.pairs_tolerance,
             .where = "`solver` cg computes no more"};
    auto found =
        msk::solve_and_cut<Pairs>(g, cut, how, [&](Index k, double tolerance, const Pairs* before) {
          return stored ? std::move(pairs_) : compute_pairs(K, k, tolerance, before);
        });
    report_cut(monitor_, g, found.cut, n());
    pairs_ = std::move(found.pairs);
    fit.top = found.cut.k;
    fit.spectrum = std::move(found.cut.spectrum);
  }

  krr::LowRankPreconditioner preconditioner(const gram::Operator& A, RidgeFit& fit) {
    krr::LowRankPreconditioner M;
    if (strategy_.preconditioner != Preconditioning::none) {
      M = monitor_.phase("precondition", [&] {
        return strategy_.preconditioner == Preconditioning::eigenpairs
                   ? krr::LowRankPreconditioner::from_pairs(pairs_, fit.spectrum.g)
                   : krr::LowRankPreconditioner::pivoted_cholesky(A, strategy_.rank, plan_.seed);
      });
      monitor_.log("M", fmt::format("{}, {:.4g} of the trace", M.text(), M.captured()));
    }
    fit.preconditioner = M.text();
    return M;
  }

  krr::RidgeEstimates estimates(const gram::Operator& K, const krr::LowRankPreconditioner& M,
                                krr::RidgeCriterion criterion, krr::RidgeEstimateOptions options) {
    options.probes = kRidgeProbes;
    options.max_iterations = options_.max_iterations;
    options.seed = plan_.seed;
    return K_g_ != nullptr ? krr::RidgeEstimates(*K_g_, M, train_.targets, criterion, options)
                           : krr::RidgeEstimates(K, M, train_.targets, criterion, options);
  }

  void choose_ridge(const gram::Operator& K, const krr::LowRankPreconditioner& M, RidgeFit& fit) {
    using Edge = krr::RidgeSelection::Edge;
    const Monitor::Phase scope(monitor_, "choose");
    monitor_.line("\nscores of the prepared targets (standardised or one-hot, where they are)");
    monitor_.line(fmt::format("{:>14}  {:>14}  {:>10}  {:>10}", "ridge tried",
                              name(*options_.choice), "error", "iterations"));
    krr::RidgeEstimateOptions options;
    options.done = [&](const krr::RidgeScore& s) {
      choice_iterations_ += s.iterations;
      monitor_.line(fmt::format("{:>14.6e}  {:>14.8g}  {:>10.1e}  {:>10}{}", s.ridge, s.score,
                                s.error, s.iterations, s.converged ? "" : "  not converged"));
    };
    const auto chosen = estimates(K, M, *options_.choice, options).select();
    gammas_ = {chosen.ridge};
    fit.tried = chosen.tried;
    fit.chosen = chosen.best;
    fit.estimates = what_scores_estimate(options_);
    fit.searched_from = chosen.tried.front().ridge;
    fit.searched_to = chosen.tried.back().ridge;
    if (chosen.edge == Edge::none) return;
    fit.edge_side = chosen.edge == Edge::largest ? "upper" : "lower";
    fit.edge = fmt::format("the ridge is at the {} end of the range searched, {:.2e} ... {:.2e}",
                           fit.edge_side, fit.searched_from, fit.searched_to);
  }

  /// Estimates leave-one-out errors of several ridges, and finds the best of these.
  void compare(const gram::Operator& K, const krr::LowRankPreconditioner& M, RidgeFit& fit) {
    const Monitor::Phase scope(monitor_, "choose");
    fit.estimates = what_scores_estimate(options_);
    fit.tried = estimates(K, M, krr::RidgeCriterion::leave_one_out, {}).scores(gammas_);
    for (const auto& tried : fit.tried) choice_iterations_ += tried.iterations;
    fit.best = krr::RidgeEstimates::best(fit.tried);
  }

  /// Notes the estimated score of the r-th ridge in its fit, where there is one.
  void take_score(std::size_t r, const RidgeFit& fit, krr::Fit& one) const {
    if (fit.chosen.has_value() && options_.choice == krr::RidgeCriterion::gcv)
      one.gcv = fit.chosen->score;
    else if (fit.chosen.has_value() && options_.choice == krr::RidgeCriterion::leave_one_out)
      one.loo_rmse = fit.chosen->score;
    else if (!fit.tried.empty() && !fit.chosen.has_value())
      one.loo_rmse = fit.tried[r].score;
  }

  void solve(const gram::Operator& K, const krr::LowRankPreconditioner& M, RidgeFit& fit) {
    const Monitor::Phase scope(monitor_, "solve");
    const Index c = train_.outputs(), own = K.local_rows(), ridges = std::ssize(gammas_);
    Matrix<double> solutions(own, ridges * c, 0.0);
    if (resumed_.has_value())
      std::copy_n(resumed_->solutions.data(), resumed_->solutions.size(), solutions.data());
    fit.resumed = resumed_.has_value();
    checkpoints_.begin();
    for (Index r = 0; r < ridges; ++r) {
      auto fitted = solve_one(K, M, r, solutions);
      const auto& run = fitted.solution;
      const MatrixView<double> kept = solutions.view().block(0, r * c, own, c);
      for (Index j = 0; j < c; ++j) std::copy_n(run.X.column(j), own, kept.column(j));
      fit.runs.push_back({run.iterations, run.products, run.converged, run.stagnation});
      take_score(static_cast<std::size_t>(r), fit, fitted.fit);
      fit.fits.push_back(std::move(fitted.fit));
    }
    checkpoints_.end();
  }

  krr::CgFit solve_one(const gram::Operator& K, const krr::LowRankPreconditioner& M, Index r,
                       Matrix<double>& solutions) {
    const Index c = train_.outputs(), own = K.local_rows(), ridges = std::ssize(gammas_);
    krr::CgOptions cg{.tolerance = options_.cg_tol, .max_iterations = options_.max_iterations};
    if (resumed_.has_value() && r < resumed_->done)
      cg.start = solutions.view().block(0, r * c, own, c);
    if (resumed_.has_value() && r == resumed_->done) {
      if (resumed_->continued)
        cg.resume = &resumed_->state;
      else
        cg.start = resumed_->state.X.view();
    }
    cg.progress = [&](Index iteration, double residual) {
      const double share = std::log(residual) / std::log(options_.cg_tol);
      monitor_.progress(
          std::clamp((static_cast<double>(r) + share) / static_cast<double>(ridges), 0.0, 0.99),
          fmt::format("iteration {}, residual {:.1e}", iteration, residual));
    };
    Index iterations = 0;
    cg.checkpoint = [&](const krr::CgState& state) {
      iterations = state.iterations;
      return checkpoints_.step([&](io::Hdf5File& file) {
        write_storage(file, strategy_.products);
        file.attribute("/", "cg_rank", strategy_.rank);
        file.attribute("/", "cg_done", r);
        file.write("/ridges", gammas_);
        io::write_columns(file, "/solutions", n(), solutions.view().block(0, 0, own, r * c));
        krr::write(file, n(), state);
      });
    };
    const double gamma = gammas_[static_cast<std::size_t>(r)];
    auto fitted = K_g_ != nullptr ? krr::fit_modified_by_cg(*K_g_, M, train_.targets, gamma, cg)
                                  : krr::fit_by_cg(K, M, train_.targets, gamma, cg);
    if (!fitted.solution.finished)
      checkpoints_.interrupted(fmt::format("{} iterations", iterations));
    return fitted;
  }

  /// Flops of `vectors` products of K with one vector, in blocks of `block`.
  double product_flops(Index vectors, Index block) const {
    const double b = static_cast<double>(std::max<Index>(1, block));
    return static_cast<double>(vectors) / b *
           gram::product_cost(plan_.sizes, strategy_.products.cost, b).flops;
  }

  /// Flops of set-up, pairs, sketch, choice of the ridge and solves, by the products that they took.
  double counted_flops(const RidgeFit& fit) const {
    const auto& op = strategy_.products.cost;
    const Index c = train_.outputs();
    double flops = op.set_up.flops;
    if (strategy_.run.has_value()) {
      auto run = *strategy_.run;
      run.products = static_cast<double>(pair_products_);
      flops += spectral::krylov_cost(plan_.sizes, op, run).flops;
    }
    if (strategy_.preconditioner == Preconditioning::cholesky)
      flops += krr::sketch_cost(plan_.sizes, op, strategy_.rank).flops;
    // An iteration for the choice of the ridge multiplies the targets and, but for holdout, probes.
    const Index width = c + (options_.choice == krr::RidgeCriterion::holdout ? 0 : kRidgeProbes);
    flops += product_flops(choice_iterations_ * width, width);
    for (const CgRun& run : fit.runs) flops += product_flops(run.products, c);
    return flops;
  }

  const RidgePlan& plan_;
  const RidgeOptions& options_;
  const RidgeStrategy& strategy_;
  const gram::Source& kernel_;
  const data::Dataset& train_;
  const dist::ProcessGrid& grid_;
  Monitor& monitor_;
  Checkpoints checkpoints_;
  const krr::ModifiedOperator* K_g_ = nullptr;
  spectral::TopPairs pairs_;
  Index pair_products_ = 0, choice_iterations_ = 0;
  std::vector<double> gammas_;
  std::optional<Resumed> resumed_;
};

}  // namespace

RidgeFit fit_iteratively(const RidgePlan& plan, const data::Dataset& train,
                         const dist::ProcessGrid& grid, Monitor& monitor) {
  return IterativeFit(plan, train, grid, monitor).run();
}

}  // namespace mercer::jobs
