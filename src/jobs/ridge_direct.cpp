#include <algorithm>
#include <numeric>

#include "mercer/base/error.hpp"
#include "mercer/krr/cost.hpp"
#include "mercer/krr/predict.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/spectral/krylov.hpp"
#include "ridge_parts.hpp"

namespace mercer::jobs {
namespace {

/// Notes the range searched, and whether the chosen ridge is at one of its ends.
template <class T>
void note_edge(const typename krr::SpectralPath<T>::Selection& chosen, RidgeFit& fit) {
  using Edge = typename krr::SpectralPath<T>::Edge;
  fit.searched_from = chosen.smallest;
  fit.searched_to = chosen.largest;
  if (chosen.edge == Edge::none) return;
  const auto range =
      fmt::format("the range searched, {:.2e} ... {:.2e}", chosen.smallest, chosen.largest);
  if (chosen.edge == Edge::largest) {
    fit.edge_side = "upper";
    fit.edge = "the ridge is at the upper end of " + range;
    return;
  }
  fit.edge_side = "lower";
  fit.edge = chosen.ridge > 1.01 * chosen.smallest
                 ? fmt::format(
                       "every ridge from {:.2e}, the lower end of the range searched, to {:.2e} "
                       "has the same score to rounding: the largest of them is taken",
                       chosen.smallest, chosen.ridge)
                 : "the ridge is at the lower end of " + range;
}

/// Which rows are left out: about a tenth, and at least two on either side.
std::vector<char> held_out_rows(Index n, std::uint64_t seed) {
  std::vector<char> held;
  for (Index i = 0; i < n; ++i) held.push_back(krr::held_out(i, 0.1, seed));
  const auto left_out = std::ranges::count(held, 1);
  if (left_out < 2) std::fill_n(held.begin(), 2, 1);
  return held;
}

/// K -> coefficients by Cholesky, or from eigenpairs. Borrows its arguments. Calls are collective.
template <class T>
class DirectFit {
 public:
  DirectFit(const RidgePlan& plan, const data::Dataset& train, const dist::ProcessGrid& grid,
            Monitor& monitor)
      : plan_(plan),
        options_(plan.options),
        kernel_(plan.kernel),
        train_(train),
        grid_(grid),
        monitor_(monitor) {}

  RidgeFit run() {
    if (!options_.by_eigenpairs()) return by_cholesky();
    RidgeFit fit;
    const auto g = spectrum_map(options_);
    auto [pairs, cut] = eigenpairs(g);
    fit.method = spectral::name(pairs.method);
    fit.mean_diagonal = pairs.trace / static_cast<double>(n());
    if (options_.modified()) report_cut(monitor_, g, cut, n());
    fit.top = cut.k;
    fit.spectrum = std::move(cut.spectrum);
    fit.orthogonality = pairs.orthogonality;
    if (pairs.k() < n() && options_.time.asked()) {
      const auto top = take_by_rows(std::move(pairs));
      const Index times = fit_top_times(plan_, train_, top, monitor_, fit);
      flops_ += top_times_flops(top.k(), times);
      return fit;
    }
    if (pairs.k() < n())
      by_modified_cholesky(pairs, fit);
    else if (options_.time.asked())
      along_times(pairs, fit);
    else
      along_path(pairs, fit);
    pairs_of<T>(fit) = std::move(pairs);
    return fit;
  }

  /// Of all that run() did. Local.
  double flops() const { return flops_; }

 private:
  Index n() const { return train_.rows(); }
  static double real(Index count) { return static_cast<double>(count); }
  Index top() const { return options_.top < 0 ? n() : options_.top; }

  dist::DistMatrix<T> assemble() {
    return monitor_.phase("assemble", [&] {
      return gram::assemble<T>(kernel_, train_.inputs, grid_,
                               {.nb = plan_.nb, .progress = monitor_.shares()});
    });
  }

  /// The pairs by rows; those on the grid are freed.
  static spectral::TopPairs take_by_rows(spectral::Eigenpairs<T> pairs) {
    return spectral::by_rows(pairs);
  }

  /// Of fit_top_times(): one product with K, and 4 n k c for Y outside the pairs and each time.
  double top_times_flops(Index k, Index times) const {
    auto sizes = plan_.sizes;
    sizes.m = n();
    return gram::apply_cross_cost(sizes).flops +
           4 * real(n()) * real(k) * real(train_.outputs()) * real(times + 1);
  }

  /// About the largest number of pairs that fits the memory limit; at least `top`, which was
  /// planned.
  Index most_pairs() const {
    Index most = n();
    while (plan_.pairs_limit > 0 && most > top() && pairs_bytes(plan_, most) > plan_.pairs_limit)
      most = std::max(top(), most - most / 8 - 1);
    return most;
  }

  msk::CutPairs<spectral::Eigenpairs<T>> stored_pairs(const msk::SpectrumMap& g,
                                                      msk::CutOptions options) {
    using Pairs = spectral::Eigenpairs<T>;
    auto stored = read<T>(options_.spectrum, kernel_, train_, grid_, plan_.nb, monitor_);
    if (!options_.modified() || options_.top < 0) options.top = stored.k();
    const msk::SolveOptions how{.most = stored.k(),
                                .where = options_.spectrum.text() + " holds no more"};
    return msk::solve_and_cut<Pairs>(
        g, options, how, [&](Index, double, const Pairs*) { return std::move(stored); });
  }

  msk::CutPairs<spectral::Eigenpairs<T>> eigenpairs(const msk::SpectrumMap& g) {
    using Pairs = spectral::Eigenpairs<T>;
    const auto options = msk::cut_options<T>(top(), n(), msk::SpectrumMap::Positivity::nonnegative);
    if (!options_.spectrum.empty()) return stored_pairs(g, options);
    const bool all = options_.compares();  // otherwise those that g changes
    const auto method = plan_.strategy.eigensolver;
    const msk::SolveOptions how{
        .pairs = all ? n() : 0,
        .most = all ? n() : most_pairs(),
        .tolerance = method == spectral::Method::krylov ? spectral::Options{}.krylov_tolerance : 0,
        .where = "`memory_limit` leaves room for no more"};
    return msk::solve_and_cut<Pairs>(g, options, how, [&](Index k, double tolerance, const Pairs*) {
      auto K = assemble();
      return monitor_.phase("eigensolve", [&] {
        spectral::Options solve{.top = k,
                                .method = method,
                                .seed = plan_.seed,
                                .reason = plan_.strategy.eigensolver_reason};
        if (tolerance > 0) solve.krylov_tolerance = tolerance;
        solve.say = monitor_.lines("solver");
        auto pairs = spectral::eigenpairs(std::move(K), solve);
        flops_ += gram::assemble_cost(plan_.sizes).flops +
                  spectral::eigensolve_cost(plan_.sizes, pairs.method, pairs.k()).flops;
        return pairs;
      });
    });
  }

  RidgeFit by_cholesky() {
    RidgeFit fit;
    flops_ += gram::assemble_cost(plan_.sizes).flops + krr::cholesky_cost(plan_.sizes).flops;
    auto K = assemble();
    fit.mean_diagonal = la::trace(K) / static_cast<double>(n());
    fit.fits.push_back(monitor_.phase("solve", [&] {
      return krr::fit_cholesky(std::move(K), train_.targets,
                               options_.gammas(fit.mean_diagonal).front());
    }));
    return fit;
  }

  void by_modified_cholesky(const spectral::Eigenpairs<T>& pairs, RidgeFit& fit) {
    for (const double gamma : options_.gammas(fit.mean_diagonal)) {
      auto K = assemble();
      flops_ += krr::modified_cholesky_cost(plan_.sizes, pairs.k()).flops;
      fit.fits.push_back(monitor_.phase("solve", [&] {
        return krr::fit_modified(std::move(K), pairs, fit.spectrum, train_.targets, gamma);
      }));
    }
  }

  /// The time chosen by the error on rows that are held out: of training with the rows and columns
  /// of K that belong to the others.
  krr::GradientFlow hold_out(const krr::GradientFlow& like, const msk::SpectrumMap& g,
                             RidgeFit& fit) {
    const auto held = held_out_rows(n(), plan_.seed);
    const auto kept = [&](Index i) { return held[static_cast<std::size_t>(i)] == 0; };
    auto K = assemble();
    const Monitor::Phase scope(monitor_, "choose");
    for (Index j = 0; j < K.local_cols(); ++j)
      for (Index i = 0; i < K.local_rows(); ++i)
        if (!kept(K.row_map().global({i}).value) || !kept(K.col_map().global({j}).value))
          K.local()(i, j) = 0;
    auto Y = train_.targets.copy();
    for (Index i = 0; i < Y.local_rows(); ++i)
      if (!kept(Y.first_row() + i)) std::ranges::fill(Y.row(i), 0.0);
    const auto pairs = spectral::eigenpairs(
        std::move(K), {.top = n(), .method = plan_.strategy.eigensolver, .seed = plan_.seed});
    const auto cut = msk::cut_spectrum(
        g, pairs.values, pairs.next, pairs.residuals,
        msk::cut_options<T>(top(), n(), msk::SpectrumMap::Positivity::nonnegative));
    const krr::SpectralPath<T> path(pairs, cut.spectrum, Y);
    const auto& values = cut.spectrum.g;
    const auto flows = krr::time_grid(like, *std::ranges::max_element(values),
                                      std::reduce(values.begin(), values.end()) / real(n()));
    const auto fits = path.fit(flows);
    const auto F = gram::apply(kernel_, train_.inputs, krr::side_by_side(fits),
                               {.panel_bytes = plan_.panel_bytes, .nb = plan_.nb});
    const auto scores = held_out_errors(F, held, std::ssize(flows));
    flops_ += gram::assemble_cost(plan_.sizes).flops +
              spectral::eigensolve_cost(plan_.sizes, pairs.method, n()).flops;
    const std::vector<double> errors(scores.size(), 1e-9);
    const auto best = krr::best_time(flows, scores, errors);
    fit.holdout_rmse = scores[best];
    fit.searched_from = flows.front().time;
    fit.searched_to = flows.back().time;
    note_edge(flows[best], best == 0, best + 1 == flows.size(), fit);
    return flows[best];
  }
  /// Rmse of the predictions F, n x c columns for each of `times`, on the rows held out.
  std::vector<double> held_out_errors(const dist::RowBlock<double>& F,
                                      const std::vector<char>& held, Index times) const {
    const auto& Y = train_.targets;
    const Index c = Y.cols();
    std::vector<double> squares(static_cast<std::size_t>(times), 0.0);
    for (Index i = 0; i < Y.local_rows(); ++i) {
      if (held[static_cast<std::size_t>(Y.first_row() + i)] == 0) continue;
      for (Index t = 0; t < times; ++t)
        for (Index o = 0; o < c; ++o) {
          const double away =
              F.row(i)[static_cast<std::size_t>(t * c + o)] - Y.row(i)[static_cast<std::size_t>(o)];
          squares[static_cast<std::size_t>(t)] += away * away;
        }
    }
    grid_.all().all_reduce(std::span<double>(squares), comm::Op::sum);
    const auto count = static_cast<double>(std::ranges::count(held, 1) * c);
    for (double& square : squares) square = std::sqrt(square / count);
    return squares;
  }

  void along_times(const spectral::Eigenpairs<T>& pairs, RidgeFit& fit) {
    using Path = krr::SpectralPath<T>;
    const auto& time = options_.time;
    if (time.choice.has_value() && !(fit.mean_diagonal > 0))
      throw InputError(
          "`times` {}: a time is chosen on the scale of K, but K is zero: give inputs that vary",
          name(*time.choice));
    const double gamma = options_.gammas(fit.mean_diagonal).front();
    auto flows = time.flows(gamma, n());
    const auto like = time.flow(gamma, n());
    fit.step = like.step;
    if (time.choice == krr::RidgeCriterion::holdout)
      flows = {hold_out(like, spectrum_map(options_), fit)};
    const Monitor::Phase scope(monitor_, "solve");
    const Path path(pairs, fit.spectrum, train_.targets);
    Index scored = 0;
    if (flows.empty()) {
      const bool gcv = *time.choice == krr::RidgeCriterion::gcv;
      const auto chosen =
          path.select_time(gcv ? Path::Score::gcv : Path::Score::leave_one_out, like);
      flows = {chosen.flow};
      if (!gcv) scored = chosen.scored;
      fit.searched_from = chosen.shortest;
      fit.searched_to = chosen.longest;
      note_edge(chosen.flow, chosen.edge == Path::Edge::smallest,
                chosen.edge == Path::Edge::largest, fit);
    }
    fit.fits = path.fit(flows);
    flops_ +=
        krr::path_cost(plan_.sizes, static_cast<double>(flows.size()), static_cast<double>(scored))
            .flops;
    fit.estimates = what_scores_estimate(options_);
    if (flows.size() == 1) return;
    std::vector<double> scores;
    for (const auto& one : fit.fits) scores.push_back(one.loo_rmse);
    fit.best = krr::best_time(flows, scores, path.rounding(Path::Score::leave_one_out, flows));
  }

  void along_path(const spectral::Eigenpairs<T>& pairs, RidgeFit& fit) {
    const Monitor::Phase scope(monitor_, "solve");
    using Path = krr::SpectralPath<T>;
    const Path path(pairs, fit.spectrum, train_.targets);
    auto ridges = options_.gammas(fit.mean_diagonal);
    Index scored = 0;  // by leave-one-out errors; GCV takes only sums over the eigenvalues
    if (options_.choice.has_value()) {
      const auto chosen =
          path.select(*options_.choice == krr::RidgeCriterion::gcv ? Path::Score::gcv
                                                                   : Path::Score::leave_one_out);
      ridges = {chosen.ridge};
      if (options_.choice == krr::RidgeCriterion::leave_one_out) scored = chosen.scored;
      note_edge<T>(chosen, fit);
    }
    fit.fits = path.fit(ridges);
    flops_ +=
        krr::path_cost(plan_.sizes, static_cast<double>(ridges.size()), static_cast<double>(scored))
            .flops;
    fit.estimates = what_scores_estimate(options_);
    if (ridges.size() == 1) return;
    std::vector<double> scores;
    for (const auto& one : fit.fits) scores.push_back(one.loo_rmse);
    fit.best = krr::best_ridge(ridges, scores, path.rounding(Path::Score::leave_one_out, ridges));
  }

  const RidgePlan& plan_;
  const RidgeOptions& options_;
  const gram::Source& kernel_;
  const data::Dataset& train_;
  const dist::ProcessGrid& grid_;
  Monitor& monitor_;
  double flops_ = 0;
};

}  // namespace

void note_edge(const krr::GradientFlow& chosen, bool shortest, bool longest, RidgeFit& fit) {
  const auto range =
      fmt::format("the range searched, t = {:.2e} ... {:.2e}", fit.searched_from, fit.searched_to);
  if (shortest) {
    fit.edge_side = "lower";
    fit.edge = "the time is at the lower end of " + range;
  } else if (longest) {
    fit.edge_side = "upper";
    fit.edge = fmt::format("no longer training is worse than t = {:.2e}, up to the end of {}",
                           chosen.time, range);
  }
}

template <class T>
RidgeFit fit_directly(const RidgePlan& plan, const data::Dataset& train,
                      const dist::ProcessGrid& grid, Monitor& monitor) {
  DirectFit<T> direct(plan, train, grid, monitor);
  auto fit = direct.run();
  fit.flops = direct.flops();
  return fit;
}

template RidgeFit fit_directly<double>(const RidgePlan&, const data::Dataset&,
                                       const dist::ProcessGrid&, Monitor&);
template RidgeFit fit_directly<float>(const RidgePlan&, const data::Dataset&,
                                      const dist::ProcessGrid&, Monitor&);

}  // namespace mercer::jobs
