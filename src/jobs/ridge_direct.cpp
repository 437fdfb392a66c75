#include <algorithm>

#include "mercer/base/error.hpp"
#include "mercer/krr/cost.hpp"
#include "mercer/la/scalapack.hpp"
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
    if (pairs.k() < n())
      by_modified_cholesky(pairs, fit);
    else
      along_path(pairs, fit);
    pairs_of<T>(fit) = std::move(pairs);
    return fit;
  }

  /// Of all that run() did. Local.
  double flops() const { return flops_; }

 private:
  Index n() const { return train_.rows(); }
  Index top() const { return options_.top < 0 ? n() : options_.top; }

  dist::DistMatrix<T> assemble() {
    return monitor_.phase("assemble", [&] {
      return gram::assemble<T>(kernel_, train_.inputs, grid_,
                               {.nb = plan_.nb, .progress = monitor_.shares()});
    });
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
    // Several ridges, or a choice of the ridge, need all pairs; one ridge those that g changes.
    const bool all = options_.choice.has_value() || options_.ridges.size() > 1;
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
