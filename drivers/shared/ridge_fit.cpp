#include "shared/ridge_fit.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/dist/redistribute.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/msk/preconditioner.hpp"
#include "mercer/spectral/stored.hpp"

namespace mercer::drivers {

using dist::RowBlock;

void say_cut(const Session& session, const msk::SpectrumMap& g, const msk::Cut& cut, Index n,
             const std::string& of) {
  for (const auto& line : cut.notes()) session.say("g       {}", line);
  session.say(
      "g       {} on the top {} of {} eigenvalues{}; {} modes at or below {:.0e} lambda_1 "
      "left as they are",
      g.text(), cut.k, n, of, cut.spectrum.left_out, cut.spectrum.tolerance);
  if (const auto warning = cut.warning(); !warning.empty()) session.warn(warning);
}

std::string what_scores_estimate(const RidgeJob& job) {
  if (!job.modified()) return "";
  return "leave-one-out estimates the error of refitting without each row: alpha = S (K S + gamma "
         "I)^-1 Y with the S of all rows; gcv and holdout are of the fixed matrix K_g, whose "
         "spectrum is that of all rows";
}

void check_stored_pairs(const std::string& spectrum, Index top, const comm::Communicator& comm) {
  if (spectrum.empty()) return;
  const auto file = dist::Hdf5File::open(comm, spectrum, dist::Origin::mercer);
  if (!file.contains("/eigenvectors")) return;  // read() says what is missing
  const Index stored = file.extents("/eigenvectors").back();
  if (top > stored)
    throw InputError(
        "--top {}: --spectrum {} holds {} eigenpairs: give --top {} or less, or let "
        "mercer-spectrum store more",
        top, spectrum, stored, stored);
}

namespace {

/// What the user should know of a ridge at the end of the range searched.
template <class T>
void note_edge(const typename krr::SpectralPath<T>::Selection& chosen, Solution<T>& solution) {
  using Edge = typename krr::SpectralPath<T>::Edge;
  solution.searched_from = chosen.smallest;
  solution.searched_to = chosen.largest;
  if (chosen.edge == Edge::none) return;
  const auto range =
      fmt::format("the range searched, {:.2e} ... {:.2e}", chosen.smallest, chosen.largest);
  if (chosen.edge == Edge::largest) {
    solution.edge_side = "upper";
    solution.edge = "the ridge is at the upper end of " + range;
    return;
  }
  solution.edge_side = "lower";
  solution.edge =
      chosen.ridge > 1.01 * chosen.smallest
          ? fmt::format(
                "every ridge from {:.2e}, the lower end of the range searched, to {:.2e} "
                "has the same score to rounding: the largest of them is taken",
                chosen.smallest, chosen.ridge)
          : "the ridge is at the lower end of " + range;
}

}  // namespace

template <class T>
Solution<T> Fitting<T>::solve() {
  if (!job_.by_eigenpairs()) return by_cholesky();
  Solution<T> solution;
  const auto g = msk::SpectrumMap::parse(job_.modified() ? job_.g : "identity");
  auto [pairs, cut] = eigenpairs(g);
  solution.method = spectral::name(pairs.method);
  solution.mean_diagonal = pairs.trace / static_cast<double>(n());
  if (job_.modified()) say_cut(session_, g, cut, n());
  solution.top = cut.k;
  solution.spectrum = std::move(cut.spectrum);
  solution.pairs = std::move(pairs);
  if (solution.pairs->k() < n())
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
bool Fitting<T>::room_for_pairs(Index k) const {
  const double limit = session_.options().memory_limit;
  if (limit <= 0 || k <= top()) return true;  // --top itself is in the plan that was accepted
  RidgeJob more = job_;
  more.top = k;
  Plan plan = session_.plan();
  plan_direct(plan, more,
              {.n = n(),
               .d = train_.dimension(),
               .c = train_.outputs(),
               .shape = session_.grid().shape(),
               .nb = assembly_.nb,
               .single = std::is_same_v<T, float>,
               .kernel = forecast::kernel_of(kernel_)},
              {});
  return plan.peak() <= limit;
}

template <class T>
msk::CutPairs<spectral::Eigenpairs<T>> Fitting<T>::eigenpairs(const msk::SpectrumMap& g) {
  using Pairs = spectral::Eigenpairs<T>;
  auto options = msk::cut_options<T>(top(), n(), msk::SpectrumMap::Positivity::nonnegative);
  if (!job_.spectrum.empty()) {
    check_stored_pairs(job_.spectrum, job_.modified() ? job_.top : -1, session_.comm());
    auto stored = session_.phase("load", [&] {
      return spectral::read<T>(
          dist::Hdf5File::open(session_.comm(), job_.spectrum, dist::Origin::mercer),
          {kernel_.text(), n(), train_.hash}, session_.grid(), assembly_.nb);
    });
    if (job_.score.has_value() && stored.k() < n())
      throw InputError(
          "--spectrum {}: holds {} of {} eigenpairs, but choosing the ridge by loo or gcv takes "
          "them all",
          job_.spectrum, stored.k(), n());
    if (!job_.modified() || job_.top < 0) options.top = stored.k();
    const msk::SolveOptions how{.most = stored.k(),
                                .where = fmt::format("--spectrum {} holds no more", job_.spectrum)};
    return msk::solve_and_cut<Pairs>(
        g, options, how, [&](Index, double, const Pairs*) { return std::move(stored); });
  }
  // Several ridges, or one that is to be chosen, want all pairs; one ridge only those that g
  // changes.
  const bool all = job_.score.has_value() || job_.ridges.size() > 1;
  const auto method = job_.eigensolver();
  Index most = n();
  while (!all && !room_for_pairs(most)) most = std::max(options.top, most - most / 8 - 1);
  const msk::SolveOptions how{
      .pairs = all ? n() : 0,
      .most = most,
      .tolerance = method == spectral::Method::krylov ? spectral::Options{}.krylov_tolerance : 0,
      .where = "--memory-limit leaves room for no more"};
  return msk::solve_and_cut<Pairs>(g, options, how, [&](Index k, double tolerance, const Pairs*) {
    auto K = assemble();
    return session_.phase("eigensolve", [&] {
      spectral::Options solve{.top = k, .method = method, .seed = job_.common.seed};
      if (tolerance > 0) solve.krylov_tolerance = tolerance;
      solve.say = [&](const std::string& text) { session_.say("solver  {}", text); };
      return spectral::eigenpairs(std::move(K), solve);
    });
  });
}

template <class T>
Solution<T> Fitting<T>::by_cholesky() {
  Solution<T> solution;
  auto K = assemble();
  solution.mean_diagonal = la::trace(K) / static_cast<double>(n());
  solution.fits.push_back(session_.phase("solve", [&] {
    return krr::fit_cholesky(std::move(K), train_.targets,
                             job_.gammas(solution.mean_diagonal).front());
  }));
  return solution;
}

template <class T>
void Fitting<T>::by_modified_cholesky(Solution<T>& solution) {
  for (const double gamma : job_.gammas(solution.mean_diagonal)) {
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
  auto ridges = job_.gammas(solution.mean_diagonal);
  if (job_.score.has_value()) {
    const auto chosen = path.select(
        *job_.score == krr::RidgeCriterion::gcv ? Path::Score::gcv : Path::Score::leave_one_out);
    ridges = {chosen.ridge};
    note_edge(chosen, solution);
  }
  solution.fits = path.fit(ridges);
  solution.estimates = what_scores_estimate(job_);
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
