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
double Fitting<T>::check(const Solution<T>& solution, const krr::Fit& fit) {
  auto residual = session_.phase(
      "check", [&] { return gram::apply(kernel_, train_.inputs, fit.alpha, assembly_); });
  const auto y = train_.targets.values();
  for (std::size_t i = 0; i < y.size(); ++i) residual.values()[i] = y[i] - residual.values()[i];
  if (job_.modified()) {
    RowBlock<T> rows(session_.comm(), n(), residual.cols());
    std::ranges::copy(residual.values(), rows.values().begin());
    dist::DistMatrix<T> R(session_.grid(), n(), residual.cols(), assembly_.nb);
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
  session_.comm().all_reduce(std::span<double>(sums), comm::Op::sum);
  return std::sqrt(sums[0]) /
         (std::sqrt(sums[1]) +
          solution.mean_diagonal * static_cast<double>(n()) * std::sqrt(sums[2]));
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
                       .method = spectral::parse_method(job_.solver),
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
    const auto chosen = path.select(static_cast<typename Path::Score>(*job_.score));
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

/// Memory and flops of the job, by the way that Fitting will take.
template <class T>
Plan plan(const RidgeJob& job, const gram::Source& kernel, const data::Split& sets, Index nb,
          const Session& session) {
  const auto shape = session.grid().shape();
  const double ranks = session.comm().size();
  const Index points =
      sets.train.rows() + (job.transductive() && sets.test.has_value() ? sets.test->rows() : 0);
  const double n = static_cast<double>(points), d = static_cast<double>(sets.train.dimension());
  const double m = sets.test.has_value() ? static_cast<double>(sets.test->rows()) : 0;
  const double rows = static_cast<double>(sets.train.rows()) + m;
  const double outputs = static_cast<double>(sets.train.outputs());
  const double data = 8.0 * rows * (d + outputs) / ranks;
  const double share = sizeof(T) * n * n / ranks;
  const gram::Options assembly{.nb = nb};
  const double overhead = kernel.is_stored()
                              ? share
                              : gram::assemble_overhead(kernel.kernel(), points,
                                                        sets.train.dimension(), shape, assembly);
  Plan plan = session.plan();
  plan.stage("load", 2 * data, 0);
  plan.stage("assemble", data + share + overhead, n * n * d);
  if (job.by_eigenpairs() || job.transductive()) {
    const bool all = job.score.has_value() || job.ridges.size() > 1 || job.top < 0;
    const Index k = all ? points : std::min(job.top, points);
    const auto named = spectral::parse_method(job.solver);
    const bool single = std::is_same_v<T, float>;
    const auto method = named != spectral::Method::automatic
                            ? named
                            : spectral::choose(points, k, true, shape, single).method;
    if (job.spectrum.empty()) {
      const auto solve = spectral::plan(points, k, true, method, shape, nb, single);
      plan.stage("eigensolve", data + solve.bytes_per_rank, solve.flops, spectral::name(method));
    }
    const double pairs = sizeof(T) * n * static_cast<double>(k) / ranks;
    if (k < points || job.transductive())
      plan.stage("solve", data + pairs + share + overhead,
                 n * n * n / 3 + n * n * static_cast<double>(k), "rank-k update, Cholesky");
    else
      plan.stage("solve", data + pairs, 10 * n * n * outputs, "ridge path");
  } else {
    plan.stage("solve", data + share + 8.0 * n * (2 * outputs + 32) / ranks,
               n * n * n / 3 + 2 * n * n * outputs, "Cholesky");
  }
  if (!job.transductive() && m > 0)
    plan.stage("predict", data + std::min(assembly.panel_bytes, overhead),
               2 * m * n * (d + outputs));
  return plan;
}

template class Fitting<double>;
template class Fitting<float>;
template Plan plan<double>(const RidgeJob&, const gram::Source&, const data::Split&, Index,
                           const Session&);
template Plan plan<float>(const RidgeJob&, const gram::Source&, const data::Split&, Index,
                          const Session&);

}  // namespace mercer::drivers
