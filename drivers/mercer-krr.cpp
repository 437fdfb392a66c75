// Kernel ridge regression with K or with a Modified Spectrum Kernel:
// data -> K -> eigenpairs -> g -> K_g -> coefficients -> predictions.

#include <algorithm>
#include <cmath>

#include "mercer/dist/redistribute.hpp"
#include "mercer/krr/predict.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/msk/preconditioner.hpp"
#include "mercer/report/plot.hpp"
#include "mercer/spectral/stored.hpp"
#include "shared/ridge_job.hpp"

namespace mercer::drivers {
namespace {

using dist::RowBlock;

/// What the fit leaves behind for predictions and reports.
template <class T>
struct Solution {
  std::vector<krr::Fit> fits;  ///< one a ridge
  std::size_t best = 0;        ///< of least leave-one-out error where there are several
  std::optional<spectral::Eigenpairs<T>> pairs;
  msk::ModifiedSpectrum spectrum;
  double mean_diagonal = 0;  ///< trace(K)/n
};

/// g on the first `top` of all n eigenvalues; the others stay as they are.
msk::ModifiedSpectrum modified_spectrum(const msk::SpectrumMap& g, std::span<const double> lambda,
                                        double next, Index top, Index n, double tolerance) {
  const auto k = static_cast<std::size_t>(top);
  const double after = k < lambda.size() ? lambda[k] : next;
  auto spectrum = g.apply(lambda.first(k), after, top == n,
                          msk::SpectrumMap::Positivity::nonnegative, tolerance);
  for (const double rest : lambda.subspan(k)) {
    spectrum.lambda.push_back(rest);
    spectrum.g.push_back(rest);
  }
  return spectrum;
}

/// Fitting: the three ways of RidgeJob, each a few calls.
template <class T>
class Fitting {
 public:
  Fitting(const RidgeJob& job, const gram::Source& kernel, const data::Dataset& train, Index nb,
          Session& session)
      : job_(job), kernel_(kernel), train_(train), session_(session), assembly_{.nb = nb} {}

  Solution<T> solve() {
    if (!job_.by_eigenpairs()) return by_cholesky();
    Solution<T> solution;
    solution.pairs = eigenpairs();
    const auto& pairs = *solution.pairs;
    solution.mean_diagonal = pairs.trace / static_cast<double>(n());
    const Index top = job_.modified() ? std::min(this->top(), pairs.k()) : pairs.k();
    const auto g = msk::SpectrumMap::parse(job_.modified() ? job_.g : "identity");
    solution.spectrum =
        modified_spectrum(g, pairs.values, pairs.next, top, n(), msk::kModeTolerance<T>);
    if (job_.modified())
      session_.say(
          "g       {} on the top {} of {} eigenvalues; {} modes at or below {:.0e} lambda_1 left "
          "as they are",
          g.text(), top, n(), solution.spectrum.left_out, solution.spectrum.tolerance);
    if (pairs.k() < n())
      by_modified_cholesky(solution);
    else
      along_path(solution);
    return solution;
  }

  /// |S (Y - K alpha) - gamma alpha|_F / (|Y|_F + trace(K) |alpha|_F) with K's entries evaluated
  /// again: alpha = S (K S + gamma I)^-1 Y is its zero. S = I for plain ridge regression.
  double check(const Solution<T>& solution, const krr::Fit& fit) {
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

 private:
  Index n() const { return train_.rows(); }
  Index top() const { return job_.top < 0 ? n() : job_.top; }

  dist::DistMatrix<T> assemble() {
    return session_.long_phase("assemble", [&](auto progress) {
      assembly_.progress = progress;
      return gram::assemble<T>(kernel_, train_.inputs, session_.grid(), assembly_);
    });
  }

  spectral::Eigenpairs<T> eigenpairs() {
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
      return spectral::eigenpairs(std::move(K), {.top = all ? n() : top(),
                                                 .method = spectral::parse_method(job_.solver),
                                                 .seed = job_.common.seed,
                                                 .say = [&](const std::string& text) {
                                                   session_.say("solver  {}", text);
                                                 }});
    });
  }

  std::vector<double> gammas(double mean_diagonal) const {
    auto gammas = job_.ridges;
    if (job_.relative)
      for (double& gamma : gammas) gamma *= mean_diagonal;
    return gammas;
  }

  Solution<T> by_cholesky() {
    Solution<T> solution;
    auto K = assemble();
    solution.mean_diagonal = la::trace(K) / static_cast<double>(n());
    solution.fits.push_back(session_.phase("solve", [&] {
      return krr::fit_cholesky(std::move(K), train_.targets,
                               gammas(solution.mean_diagonal).front());
    }));
    return solution;
  }

  void by_modified_cholesky(Solution<T>& solution) {
    for (const double gamma : gammas(solution.mean_diagonal)) {
      auto K = assemble();
      solution.fits.push_back(session_.phase("solve", [&] {
        return krr::fit_modified(std::move(K), *solution.pairs, solution.spectrum, train_.targets,
                                 gamma);
      }));
    }
  }

  void along_path(Solution<T>& solution) {
    const auto scope = session_.phases().time("solve");
    const krr::SpectralPath<T> path(*solution.pairs, solution.spectrum, train_.targets);
    auto ridges = gammas(solution.mean_diagonal);
    if (job_.score.has_value())
      ridges = {path.select(static_cast<typename krr::SpectralPath<T>::Score>(*job_.score))};
    solution.fits = path.fit(ridges);
    for (std::size_t r = 0; r < solution.fits.size(); ++r)
      if (solution.fits[r].loo_rmse < solution.fits[solution.best].loo_rmse) solution.best = r;
  }

  const RidgeJob& job_;
  const gram::Source& kernel_;
  const data::Dataset& train_;
  Session& session_;
  gram::Options assembly_;
};

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

void print_scores(const Session& session, double ridge, const Scores& s, double loo, double gcv) {
  const auto shown = [](double value) {
    return value < 0 ? std::string("-") : fmt::format("{:.8g}", value);
  };
  session.say("{:>14.6e}  {:>14}  {:>14}  {:>10}  {:>14}  {:>14}", ridge, shown(s.rmse),
              shown(s.mse), s.accuracy < 0 ? "-" : fmt::format("{:.4f}", s.accuracy), shown(loo),
              shown(gcv));
}

void print_header(const Session& session) {
  session.say("\n{:>14}  {:>14}  {:>14}  {:>10}  {:>14}  {:>14}", "ridge", "test rmse", "test mse",
              "accuracy", "leave-one-out", "gcv");
}

report::Plot plot_predictions(const RowBlock<double>& predictions, const data::Dataset& test) {
  report::Series points{.label = "test rows", .x = {}, .y = {}, .style = report::Style::points};
  const auto f = dist::all_rows(predictions);
  const auto y = dist::all_rows(test.targets);
  for (Index i = 0; i < std::min<Index>(f.cols(), 4000); ++i)
    for (Index c = 0; c < f.rows(); ++c) {
      points.x.push_back(y(c, i));
      points.y.push_back(f(c, i));
    }
  return {.title = "Predictions", .x_label = "target", .y_label = "prediction", .series = {points}};
}

template <class T>
void plot(const Session& session, const Solution<T>& solution, const std::vector<Scores>& scores,
          const RowBlock<double>& predictions, const std::optional<data::Dataset>& test) {
  std::vector<report::Plot> panels;
  if (!solution.spectrum.lambda.empty()) {
    report::Series lambda{.label = "lambda_i", .x = {}, .y = {}},
        g{.label = "g(lambda_i)", .x = {}, .y = {}};
    for (std::size_t i = 0; i < solution.spectrum.lambda.size(); ++i) {
      lambda.x.push_back(static_cast<double>(i + 1));
      lambda.y.push_back(solution.spectrum.lambda[i]);
      g.x.push_back(static_cast<double>(i + 1));
      g.y.push_back(solution.spectrum.g[i]);
    }
    panels.push_back({.title = "Spectrum",
                      .x_label = "i",
                      .y_label = "eigenvalue of K",
                      .log_x = true,
                      .log_y = true,
                      .series = {lambda, g}});
  }
  if (solution.fits.size() > 1) {
    report::Series loo{
        .label = "leave-one-out", .x = {}, .y = {}, .style = report::Style::linespoints},
        rmse{.label = "test", .x = {}, .y = {}, .style = report::Style::linespoints};
    for (std::size_t r = 0; r < solution.fits.size(); ++r) {
      loo.x.push_back(solution.fits[r].ridge);
      loo.y.push_back(solution.fits[r].loo_rmse);
      if (r >= scores.size()) continue;
      rmse.x.push_back(solution.fits[r].ridge);
      rmse.y.push_back(scores[r].rmse);
    }
    panels.push_back({.title = "Error against ridge",
                      .x_label = "gamma",
                      .y_label = "rmse",
                      .log_x = true,
                      .log_y = true,
                      .series = {loo, rmse}});
  }
  if (test.has_value()) panels.push_back(plot_predictions(predictions, *test));
  report::write_svg(session.comm(), session.options().plot, panels);
}

/// The options that a stored model needs again, as the text of a configuration file.
std::string model_options(const CommandLine& line) {
  std::string text;
  for (const auto& [name, value] : line.settings())
    for (const char* needed :
         {"kernel", "arch", "depth", "activation", "weight-std", "bias-std", "bandwidth", "split",
          "limit", "scale", "standardize", "unit-norm", "one-hot", "target", "seed"})
      if (name == needed && line.given(name)) text += fmt::format("{}={}\n", name, value);
  return text;
}

void write_scores(dist::Hdf5File& file, const std::string& group,
                  const std::vector<Scores>& scores) {
  const auto column = [&](const char* name, double Scores::*value) {
    std::vector<double> values;
    for (const auto& s : scores) values.push_back(s.*value);
    if (!values.empty() && values.front() >= 0) file.write(group + "/" + name, values);
  };
  column("rmse", &Scores::rmse);
  column("mse", &Scores::mse);
  column("rmse_standardized", &Scores::rmse_standardized);
  column("accuracy", &Scores::accuracy);
}

void note_scores(Session& session, const Scores& scores) {
  auto& result = session.record().result;
  result["rmse"] = scores.rmse;
  result["mse"] = scores.mse;
  if (scores.rmse_standardized >= 0) result["rmse_standardized"] = scores.rmse_standardized;
  if (scores.accuracy >= 0) result["accuracy"] = scores.accuracy;
}

template <class T>
int ridge_regression(const RidgeJob& job, const CommandLine& line, const gram::Source& kernel,
                     Session& session) {
  const auto sets = session.phase(
      "load", [&] { return data::load(job.train, job.test, job.preparation, session.comm()); });
  const auto& train = sets.train;
  if (job.top > train.rows() || job.top == 0 || job.top < -1)
    throw InputError("--top {}: give 1 ... n = {} eigenpairs", job.top, train.rows());
  const Index nb = job.common.nb > 0
                       ? job.common.nb
                       : spectral::recommended_block(train.rows(), session.grid().shape());
  session.begin(train.rows(), train.dimension(), nb, kernel.text(), train.hash);
  if (session.stop_at_plan(plan<T>(job, kernel, sets, nb, session))) return 0;

  Fitting<T> fitting(job, kernel, train, nb, session);
  const Solution<T> solution = fitting.solve();
  std::vector<Scores> scores;
  RowBlock<double> predictions;
  print_header(session);
  for (std::size_t r = 0; r < solution.fits.size(); ++r) {
    const auto& fit = solution.fits[r];
    Scores s{-1, -1, -1, -1};
    if (sets.test.has_value()) {
      auto f = session.long_phase("predict", [&](auto progress) {
        return gram::apply_cross(kernel, sets.test->inputs, train.inputs, fit.alpha,
                                 {.progress = progress});
      });
      s = evaluate(f, *sets.test, sets.preparation.standardization);
      scores.push_back(s);
      if (r == solution.best) predictions = std::move(f);
    }
    print_scores(session, fit.ridge, s, fit.loo_rmse, fit.gcv);
  }
  const auto& fit = solution.fits[solution.best];
  bool ok = true;
  auto& record = session.record();
  record.method = solution.pairs.has_value() ? spectral::name(solution.pairs->method) : "cholesky";
  record.residual = fit.residual;
  if (solution.pairs.has_value()) record.orthogonality = solution.pairs->orthogonality;
  record.result["ridge"] = fit.ridge;
  record.result["ridge_relative"] = fit.ridge / solution.mean_diagonal;
  if (!scores.empty()) note_scores(session, scores[solution.best]);
  if (fit.loo_rmse >= 0) record.result["loo_rmse"] = fit.loo_rmse;
  if (fit.gcv >= 0) record.result["gcv"] = fit.gcv;
  session.say("\nridge {:.6e} = {:.4e} trace(K)/n; residual of the solve {:.1e} ({})", fit.ridge,
              fit.ridge / solution.mean_diagonal, fit.residual,
              fit.residual_exact ? "exact" : "estimated");
  if (job.common.check) {
    const double error = fitting.check(solution, fit);
    ok = error <= (std::is_same_v<T, float> ? 1e-4 : 1e-9);
    record.result["check"] = error;
    session.say("check   residual with every entry of K evaluated again: {:.1e} ({})", error,
                ok ? "good" : "failed");
  }
  if (!job.common.out.empty())
    session.phase("write", [&] {
      auto file = session.create_result();
      std::vector<double> ridges, loo, gcv;
      for (const auto& f : solution.fits) {
        ridges.push_back(f.ridge);
        if (f.loo_rmse >= 0) loo.push_back(f.loo_rmse);
        if (f.gcv >= 0) gcv.push_back(f.gcv);
      }
      file.write("/ridge", std::vector<double>{fit.ridge});
      if (sets.test.has_value()) {
        file.write("/predictions", predictions);
        write_scores(file, "/score", {scores[solution.best]});
      }
      if (fit.loo_rmse >= 0) file.write("/score/loo_rmse", std::vector<double>{fit.loo_rmse});
      if (fit.gcv >= 0) file.write("/score/gcv", std::vector<double>{fit.gcv});
      if (solution.fits.size() > 1) {
        file.write("/path/ridge", ridges);
        write_scores(file, "/path", scores);
        if (loo.size() == ridges.size()) file.write("/path/loo_rmse", loo);
        if (gcv.size() == ridges.size()) file.write("/path/gcv", gcv);
      }
      write_model(file, {model_options(line), job.train, sets.preparation, fit.alpha.copy()});
      file.finish();
    });
  if (!job.common.plot.empty()) plot(session, solution, scores, predictions, sets.test);
  return session.finish(ok);
}

/// Transductive predictions: the test rows take part in the spectrum, so that there is no alpha.
template <class T>
int transductive(const RidgeJob& job, const gram::Source& kernel, Session& session) {
  const auto sets = session.phase(
      "load", [&] { return data::load(job.train, job.test, job.preparation, session.comm()); });
  if (!sets.test.has_value())
    throw InputError("--predict transductive: needs test rows: give --test or --split");
  const Index N = sets.train.rows() + sets.test->rows();
  if (job.top > N || job.top == 0 || job.top < -1)
    throw InputError("--top {}: give 1 ... n + m = {} eigenpairs", job.top, N);
  const Index nb =
      job.common.nb > 0 ? job.common.nb : spectral::recommended_block(N, session.grid().shape());
  session.begin(sets.train.rows(), sets.train.dimension(), nb, kernel.text(), sets.train.hash);
  if (session.stop_at_plan(plan<T>(job, kernel, sets, nb, session))) return 0;

  const auto g = msk::SpectrumMap::parse(job.modified() ? job.g : "identity");
  double ridge = job.ridges.front();
  if (job.relative) {
    auto K = gram::assemble<T>(kernel.kernel(), sets.train.inputs, session.grid(), {.nb = nb});
    ridge *= la::trace(K) / static_cast<double>(sets.train.rows());
  }
  typename krr::Transductive<T>::Options options;
  options.gram.nb = nb;
  options.spectral.top = job.top < 0 ? N : job.top;
  options.spectral.method = spectral::parse_method(job.solver);
  options.spectral.seed = job.common.seed;
  const auto predictor = session.phase("eigensolve", [&] {
    return krr::Transductive<T>(kernel.kernel(), sets.train.inputs, sets.test->inputs,
                                session.grid(), g, options);
  });
  auto f = session.phase("solve", [&] { return predictor.predict(sets.train.targets, ridge); });
  const Scores scores = evaluate(f.values, *sets.test, sets.preparation.standardization);
  print_header(session);
  print_scores(session, ridge, scores, -1, -1);
  session.say("\nresidual of the solve {:.1e}; {} modes left as they are", f.residual,
              predictor.spectrum().left_out);
  const bool ok = !job.common.check || f.residual <= (std::is_same_v<T, float> ? 1e-3 : 1e-8);
  session.record().residual = f.residual;
  session.record().result["ridge"] = ridge;
  note_scores(session, scores);
  if (!job.common.out.empty())
    session.phase("write", [&] {
      auto file = session.create_result();
      file.write("/ridge", std::vector<double>{ridge});
      file.write("/predictions", f.values);
      write_scores(file, "/score", {scores});
      file.finish();
    });
  return session.finish(ok);
}

/// Predictions of a stored model for new rows.
int predict_from_model(RidgeJob& job, CommandLine& line, const comm::Communicator& comm) {
  const auto file = dist::Hdf5File::open(comm, job.model);
  const auto model = read_model(file);
  line.adopt(model.options, job.model);
  job.train = model.train;
  const auto kernel = line.kernel_source();
  Session session(line, job.common, comm);
  const auto [train, test] = session.phase("load", [&] {
    job.preparation.targets_required = true;
    auto split = data::load(job.train, "", job.preparation, comm);
    auto rows = data::load_test(job.test.empty() ? job.train : job.test, model.preparation,
                                job.preparation, comm);
    return std::pair(std::move(split.train), std::move(rows));
  });
  const auto hash = spectral::hash_text(train.hash);
  if (file.text_attribute("/", "data_hash") != hash)
    throw InputError("--model {}: was trained on other rows than {} holds now (hash {}, now {})",
                     job.model, job.train, file.text_attribute("/", "data_hash"), hash);
  session.begin(train.rows(), train.dimension(), 0, kernel.text(), train.hash);
  Plan plan = session.plan();
  plan.stage("predict", gram::Options{}.panel_bytes,
             2.0 * static_cast<double>(train.rows()) *
                 static_cast<double>(test.rows() * train.dimension()));
  if (session.stop_at_plan(plan)) return 0;
  auto predictions = session.long_phase("predict", [&](auto progress) {
    return gram::apply_cross(kernel, test.inputs, train.inputs, model.alpha,
                             {.progress = progress});
  });
  const double ridge = file.read_vector("/ridge").at(0);
  const Scores scores = evaluate(predictions, test, model.preparation.standardization);
  print_header(session);
  print_scores(session, ridge, scores, -1, -1);
  session.record().method = "stored model";
  session.record().result["ridge"] = ridge;
  note_scores(session, scores);
  if (!job.common.out.empty())
    session.phase("write", [&] {
      auto out = session.create_result();
      out.write("/ridge", std::vector<double>{ridge});
      out.write("/predictions", predictions);
      write_scores(out, "/score", {scores});
      out.finish();
    });
  return session.finish();
}

}  // namespace
}  // namespace mercer::drivers

int main(int argc, char** argv) {
  using namespace mercer::drivers;
  using mercer::InputError;
  namespace po = boost::program_options;
  return run(argc, argv, "mercer-krr", [&](const mercer::comm::Communicator& comm) {
    RidgeJob job;
    CommandLine line(
        "mercer-krr", "--train SPEC --test SPEC --ridge G [options]   |   --model R.h5 --test SPEC",
        "Kernel ridge regression, alpha = (K + gamma I)^-1 Y with K = k/n, or with a Modified\n"
        "Spectrum Kernel, whose top eigenvalues lambda are replaced by g(lambda).");
    line.add_data(job.preparation, job.train, job.test, true);
    line.add_kernel();
    auto add = line.group("Ridge regression").add_options();
    add("ridge", po::value(&job.ridge)->value_name("G[,G2,...]|loo|gcv"),
        "gamma on K = k/n (a ridge of h on the kernel that is not divided by n is gamma = h/n); "
        "loo, gcv: "
        "chosen by leave-one-out or generalised cross-validation; of a modified kernel, of the "
        "fixed matrix K_g");
    add("ridge-relative", po::value(&job.ridge_relative)->value_name("G[,...]"),
        "gamma = G trace(K)/n, K before g");
    add("top", po::value(&job.top)->value_name("K")->default_value(-1, "n"),
        "how many eigenvalues g changes");
    add("g", po::value(&job.g)->value_name("NAME|EXPR")->implicit_value("flat"),
        "flat, flat:c, identity, power:p, inverse, table:FILE, or an expression in l (lambda_i), "
        "lk "
        "(lambda_(k+1)), l1 (lambda_1), i, e.g. \"sqrt(l*lk)\"");
    add("predict", po::value(&job.predict)->value_name("NAME")->default_value("inductive"),
        "inductive (Nystrom, any number of test rows) or transductive (test rows take part in the "
        "spectrum)");
    add("solver", po::value(&job.solver)->value_name("NAME")->default_value("auto"),
        "eigensolver: auto, elpa1, elpa2, scalapack, lapack");
    add("spectrum", po::value(&job.spectrum)->value_name("S.h5"),
        "stored eigenpairs of the same data and kernel, by mercer-spectrum");
    add("model", po::value(&job.model)->value_name("R.h5"), "predict from a stored result");
    line.add_common(job.common);
    if (!line.parse(argc, argv, comm)) return 0;
    job.preparation.seed = job.common.seed;
    if (!job.model.empty()) return predict_from_model(job, line, comm);

    if (job.train.empty())
      throw InputError("--train: give the training set, e.g. --train circle:n=512,freq=5");
    job.parse_ridges();
    if (job.predict != "inductive" && job.predict != "transductive")
      throw InputError("--predict {}: give inductive or transductive", job.predict);
    if (job.top != -1 && job.g.empty()) job.g = "flat";
    const auto kernel = line.kernel_source();
    if (job.transductive()) {
      if (job.score.has_value() || job.ridges.size() != 1)
        throw InputError(
            "--predict transductive: takes one ridge, --ridge G or --ridge-relative G");
      if (kernel.is_stored() || !job.spectrum.empty())
        throw InputError(
            "--predict transductive: needs a kernel function, its spectrum is that of training and "
            "test rows together: leave file: and --spectrum out");
    }
    Session session(line, job.common, comm);
    if (job.transductive())
      return job.common.single_precision ? transductive<float>(job, kernel, session)
                                         : transductive<double>(job, kernel, session);
    return job.common.single_precision ? ridge_regression<float>(job, line, kernel, session)
                                       : ridge_regression<double>(job, line, kernel, session);
  });
}
