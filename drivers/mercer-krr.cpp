// Kernel ridge regression with K or with a Modified Spectrum Kernel:
// data -> K -> eigenpairs -> g -> K_g -> coefficients -> predictions.

#include <algorithm>
#include <cmath>

#include "mercer/krr/predict.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/spectral/stored.hpp"
#include "shared/ridge_output.hpp"

namespace mercer::drivers {
namespace {

using dist::RowBlock;

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

  session.warn_of_kernel_error(kernel, train.inputs);
  Fitting<T> fitting(job, kernel, train, nb, session);
  const Solution<T> solution = fitting.solve();
  std::vector<Scores> scores;
  RowBlock<double> predictions, all;
  if (sets.test.has_value())  // one pass over k(test, train) for all ridges
    all = session.long_phase("predict", [&](auto progress) {
      return gram::apply_cross(kernel, sets.test->inputs, train.inputs,
                               krr::side_by_side(solution.fits), {.progress = progress});
    });
  print_header(session);
  for (std::size_t r = 0; r < solution.fits.size(); ++r) {
    const auto& fit = solution.fits[r];
    Scores s;
    if (sets.test.has_value()) {
      auto f = krr::take_columns(all, static_cast<Index>(r) * train.outputs(), train.outputs());
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
  if (!solution.edge.empty()) session.say("edge    {}", solution.edge);
  if (job.common.check) {
    const double error = fitting.check(solution, fit);
    ok = error <= (std::is_same_v<T, float> ? 1e-5 : 1e-12);
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
  if (!job.common.plot.empty())
    plot(session, solution, scores, predictions, sets.test.has_value() ? &*sets.test : nullptr,
         sets.preparation.standardization);
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

  session.warn_of_kernel_error(kernel, sets.train.inputs);
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
  if (!job.common.plot.empty()) {
    Solution<T> shown;
    shown.spectrum = predictor.spectrum();
    plot(session, shown, {scores}, f.values, &*sets.test, sets.preparation.standardization);
  }
  return session.finish(ok);
}

/// Predictions of a stored model for new rows.
int predict_from_model(RidgeJob& job, CommandLine& line, const comm::Communicator& comm) {
  const auto file = dist::Hdf5File::open(comm, job.model);
  const auto model = read_model(file);
  line.adopt(model.options, job.model);
  job.train = model.train;
  const auto kernel = line.kernel_source(comm);
  if (file.text_attribute("/", "kernel") != kernel.text())
    throw InputError("--model {}: was fitted with the kernel {}, which is now {}", job.model,
                     file.text_attribute("/", "kernel"), kernel.text());
  Session session(line, job.common, comm);
  const auto [train, test] = session.phase("load", [&] {
    job.preparation.targets_required = false;  // rows to predict may come without
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
  session.record().method = "stored model";
  session.record().result["ridge"] = ridge;
  Scores scores;
  if (test.outputs() > 0) {
    scores = evaluate(predictions, test, model.preparation.standardization);
    print_header(session);
    print_scores(session, ridge, scores, -1, -1);
    note_scores(session, scores);
  } else {
    data::to_target_units(model.preparation.standardization, predictions);
    session.say("\n{} rows without targets predicted", test.rows());
  }
  if (!job.common.out.empty())
    session.phase("write", [&] {
      auto out = session.create_result();
      out.write("/ridge", std::vector<double>{ridge});
      out.write("/predictions", predictions);
      write_scores(out, "/score", {scores});
      out.finish();
    });
  if (!job.common.plot.empty())
    plot(session, Solution<double>{}, {scores}, predictions, &test,
         model.preparation.standardization);
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
        "chosen by leave-one-out or generalised cross-validation among 1e-10 ... 10 trace(K)/n, "
        "the largest of those whose scores differ by no more than rounding; of a modified kernel, "
        "of the fixed matrix K_g");
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
    const auto kernel = line.kernel_source(comm);
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
