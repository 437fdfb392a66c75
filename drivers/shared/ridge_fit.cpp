#include "shared/ridge_fit.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/dist/redistribute.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/msk/preconditioner.hpp"
#include "mercer/spectral/stored.hpp"

namespace mercer::drivers {

using dist::RowBlock;

msk::ModifiedSpectrum modified_spectrum(const msk::SpectrumMap& g, std::span<const double> lambda,
                                        double next, Index top, Index n,
                                        msk::SpectrumMap::Positivity positivity, double tolerance) {
  const auto k = static_cast<std::size_t>(top);
  const double after = k < lambda.size() ? lambda[k] : next;
  auto spectrum = g.apply(lambda.first(k), after, top == n, positivity, tolerance);
  for (const double rest : lambda.subspan(k)) {
    spectrum.lambda.push_back(rest);
    spectrum.g.push_back(rest);
  }
  return spectrum;
}

namespace {

/// What the user should know of a ridge at the end of the range searched; else empty.
template <class T>
std::string edge_line(const typename krr::SpectralPath<T>::Selection& chosen) {
  using Edge = typename krr::SpectralPath<T>::Edge;
  if (chosen.edge == Edge::none) return "";
  const auto range =
      fmt::format("the range searched, {:.2e} ... {:.2e}", chosen.smallest, chosen.largest);
  if (chosen.edge == Edge::largest) return "the ridge is at the upper edge of " + range;
  return "the ridge is at the lower edge of " + range +
         (chosen.ridge > 1.01 * chosen.smallest
              ? ": no smaller one has a score lower by more than rounding"
              : "");
}

}  // namespace

template <class T>
Solution<T> Fitting<T>::solve() {
  if (!job_.by_eigenpairs()) return by_cholesky();
  Solution<T> solution;
  solution.pairs = eigenpairs();
  const auto& pairs = *solution.pairs;
  solution.method = spectral::name(pairs.method);
  solution.mean_diagonal = pairs.trace / static_cast<double>(n());
  const Index top = job_.modified() ? std::min(this->top(), pairs.k()) : pairs.k();
  const auto g = msk::SpectrumMap::parse(job_.modified() ? job_.g : "identity");
  solution.spectrum =
      modified_spectrum(g, pairs.values, pairs.next, top, n(),
                        msk::SpectrumMap::Positivity::nonnegative, msk::kModeTolerance<T>);
  if (job_.modified())
    session_.say(
        "g       {} on the top {} of {} eigenvalues; {} modes at or below {:.0e} lambda_1 left "
        "as they are",
        g.text(), top, n(), solution.spectrum.left_out, solution.spectrum.tolerance);
  if (job_.score.has_value() && pairs.k() < n())
    throw InputError(
        "--spectrum {}: holds {} of {} eigenpairs, but choosing the ridge by loo or gcv takes them "
        "all",
        job_.spectrum, pairs.k(), n());
  if (pairs.k() < n())
    by_modified_cholesky(solution);
  else
    along_path(solution);
  return solution;
}

template <class T>
double check(const RidgeJob& job, const gram::Source& kernel, const data::Dataset& train,
             const gram::Options& assembly, const Solution<T>& solution, const krr::Fit& fit,
             Session& session) {
  auto residual = session.phase(
      "check", [&] { return gram::apply(kernel, train.inputs, fit.alpha, assembly); });
  const auto y = train.targets.values();
  for (std::size_t i = 0; i < y.size(); ++i) residual.values()[i] = y[i] - residual.values()[i];
  if (job.modified()) {
    RowBlock<T> rows(session.comm(), train.rows(), residual.cols());
    std::ranges::copy(residual.values(), rows.values().begin());
    dist::DistMatrix<T> R(session.grid(), train.rows(), residual.cols(), assembly.nb);
    dist::copy(rows, R);
    msk::Preconditioner<T>(*solution.pairs, solution.spectrum).apply(R);
    dist::copy(R, rows);
    std::ranges::copy(rows.values(), residual.values().begin());
  }
  double sums[3] = {0, 0, 0};  // of squares: residual, Y, alpha
  const auto a = fit.alpha.values();
  for (std::size_t i = 0; i < y.size(); ++i) {
    sums[0] += std::pow(residual.values()[i] - fit.ridge * a[i], 2);
    sums[1] += y[i] * y[i];
    sums[2] += a[i] * a[i];
  }
  session.comm().all_reduce(std::span<double>(sums), comm::Op::sum);
  const double trace = solution.mean_diagonal * static_cast<double>(train.rows());
  return std::sqrt(sums[0]) / (std::sqrt(sums[1]) + trace * std::sqrt(sums[2]));
}

template <class T>
dist::DistMatrix<T> Fitting<T>::assemble() {
  return session_.long_phase("assemble", [&](auto progress) {
    auto options = assembly_;
    options.progress = progress;
    return gram::assemble<T>(kernel_, train_.inputs, session_.grid(), options);
  });
}

template <class T>
spectral::Eigenpairs<T> Fitting<T>::eigenpairs() {
  if (!job_.spectrum.empty())
    return session_.phase("load", [&] {
      return spectral::read<T>(dist::Hdf5File::open(session_.comm(), job_.spectrum),
                               {kernel_.text(), n(), train_.hash}, session_.grid(), assembly_.nb);
    });
  // Several ridges, or one that is to be chosen, want all pairs; one ridge only those that g
  // changes.
  const bool all = job_.score.has_value() || job_.ridges.size() > 1;
  auto K = assemble();
  return session_.phase("eigensolve", [&] {
    return spectral::eigenpairs(
        std::move(K), {.top = all ? n() : top(),
                       .method = job_.eigensolver(),
                       .seed = job_.common.seed,
                       .say = [&](const std::string& text) { session_.say("solver  {}", text); }});
  });
}

template <class T>
std::vector<double> Fitting<T>::gammas(double mean_diagonal) const {
  auto gammas = job_.ridges;
  if (job_.relative)
    for (double& gamma : gammas) gamma *= mean_diagonal;
  return gammas;
}

template <class T>
Solution<T> Fitting<T>::by_cholesky() {
  Solution<T> solution;
  auto K = assemble();
  solution.mean_diagonal = la::trace(K) / static_cast<double>(n());
  solution.fits.push_back(session_.phase("solve", [&] {
    return krr::fit_cholesky(std::move(K), train_.targets, gammas(solution.mean_diagonal).front());
  }));
  return solution;
}

template <class T>
void Fitting<T>::by_modified_cholesky(Solution<T>& solution) {
  for (const double gamma : gammas(solution.mean_diagonal)) {
    auto K = assemble();
    solution.fits.push_back(session_.phase("solve", [&] {
      return krr::fit_modified(std::move(K), *solution.pairs, solution.spectrum, train_.targets,
                               gamma);
    }));
  }
}

template <class T>
void Fitting<T>::along_path(Solution<T>& solution) {
  const auto scope = session_.phases().time("solve");
  using Path = krr::SpectralPath<T>;
  const Path path(*solution.pairs, solution.spectrum, train_.targets);
  auto ridges = gammas(solution.mean_diagonal);
  if (job_.score.has_value()) {
    const auto chosen = path.select(
        *job_.score == krr::RidgeCriterion::gcv ? Path::Score::gcv : Path::Score::leave_one_out);
    ridges = {chosen.ridge};
    solution.edge = edge_line<T>(chosen);
  }
  solution.fits = path.fit(ridges);
  if (ridges.size() == 1) return;
  std::vector<double> scores;
  for (const auto& fit : solution.fits) scores.push_back(fit.loo_rmse);
  solution.best =
      krr::best_ridge(ridges, scores, path.rounding(Path::Score::leave_one_out, ridges));
}

void plan_direct(Plan& plan, const RidgeJob& job, const forecast::Sizes& sizes,
                 const Machine& machine) {
  plan.stage(forecast::assemble(machine, sizes));
  if (!job.by_eigenpairs() && !job.transductive()) {
    plan.stage(forecast::cholesky(machine, sizes));
    return;
  }
  const bool all = job.score.has_value() || job.ridges.size() > 1 || job.top < 0;
  const Index k = all ? sizes.n : std::min(job.top, sizes.n);
  const auto named = job.eigensolver();
  const auto method = named != spectral::Method::automatic
                          ? named
                          : spectral::choose(sizes.n, k, true, sizes.shape, sizes.single).method;
  if (job.spectrum.empty()) plan.stage(forecast::eigensolve(machine, sizes, method, k));
  if (k < sizes.n || job.transductive())
    plan.stage(forecast::modified_cholesky(machine, sizes, k));
  else
    plan.stage(forecast::ridge_path(  // the grid of 41 ridges and golden section
        machine, sizes, std::max(1.0, static_cast<double>(job.ridges.size())),
        job.score == krr::RidgeCriterion::leave_one_out ? 56.0 : 0.0));
}

template double check<double>(const RidgeJob&, const gram::Source&, const data::Dataset&,
                              const gram::Options&, const Solution<double>&, const krr::Fit&,
                              Session&);
template double check<float>(const RidgeJob&, const gram::Source&, const data::Dataset&,
                             const gram::Options&, const Solution<float>&, const krr::Fit&,
                             Session&);
template class Fitting<double>;
template class Fitting<float>;

}  // namespace mercer::drivers
