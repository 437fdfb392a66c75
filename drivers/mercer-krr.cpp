// Kernel ridge regression with K or with a Modified Spectrum Kernel:
// data -> K -> eigenpairs -> g -> K_g -> coefficients -> predictions. K is assembled for the direct
// solvers (Fitting), and known by its products to conjugate gradients (IterativeFitting).

#include <algorithm>
#include <optional>

#include "mercer/base/text.hpp"
#include "mercer/krr/predict.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/spectral/stored.hpp"
#include "shared/data_notes.hpp"
#include "shared/kernel_files.hpp"
#include "shared/ridge_cg.hpp"
#include "shared/ridge_output.hpp"

namespace mercer::drivers {
namespace {

using dist::RowBlock;

/// Rows of both sets, and what the plan needs to know of them.
template <class T>
forecast::Sizes sizes_of(const RidgeJob& job, const gram::Source& kernel, const data::Split& sets,
                         Index nb, const Session& session) {
  const Index m = sets.test.has_value() ? sets.test->rows() : 0;
  return {.n = sets.train.rows() + (job.transductive() ? m : 0),
          .d = sets.train.dimension(),
          .c = sets.train.outputs(),
          .m = job.transductive() ? 0 : m,
          .shape = session.shape(),
          .nb = nb,
          .single = std::is_same_v<T, float>,
          .kernel = forecast::kernel_of(kernel)};
}

/// Rows of X that predictions and checks hold at a time: what the memory leaves.
double panel_bytes(const Session& session, const forecast::Sizes& sizes) {
  constexpr double kLeast = 16.0 * 1024 * 1024;
  return std::clamp(0.75 * room_for_solver(session, sizes), kLeast, gram::Options{}.panel_bytes);
}

Plan plan(const RidgeJob& job, const RidgeWay& way, const gram::Source& kernel,
          const forecast::Sizes& sizes, Session& session) {
  const Machine machine = session.machine(kernel, sizes.d);
  Plan plan = session.plan();
  plan.stage(forecast::load(sizes, session.took("load")));
  if (way.iterative)
    drivers::plan(plan, job, way, sizes, machine);
  else
    plan_direct(plan, job, sizes, machine);
  if (sizes.m > 0) {
    auto stage = forecast::predict(machine, sizes);
    stage.bytes = std::min(stage.bytes, sizes.data_bytes() + panel_bytes(session, sizes));
    plan.stage(stage);
  }
  return plan;
}

/// Coefficients -> predictions -> scores, files and the record. Returns the exit code.
template <class T>
int report(const RidgeJob& job, const CommandLine& line, const gram::Source& kernel,
           const data::Split& sets, const gram::Options& assembly, const Solution<T>& solution,
           Session& session) {
  const auto& train = sets.train;
  const data::Dataset* test = sets.test.has_value() ? &*sets.test : nullptr;
  const Calibration calibration = calibrate(solution, sets);
  RowBlock<double> all;
  if (test != nullptr)  // one pass over k(test, train) for all ridges
    all = session.long_phase("predict", [&](auto progress) {
      return gram::apply_cross(kernel, test->inputs, train.inputs, krr::side_by_side(solution.fits),
                               {.panel_bytes = assembly.panel_bytes, .progress = progress});
    });
  std::vector<RidgeErrors> errors;
  Predictions predictions;
  for (std::size_t r = 0; r < solution.fits.size(); ++r) {
    errors.push_back(errors_of(solution.fits[r], sets.preparation));
    if (test == nullptr) continue;
    auto f = krr::take_columns(all, static_cast<Index>(r) * train.outputs(), train.outputs());
    const bool best = r == solution.best;
    auto evaluated = evaluate(std::move(f), *test, sets.preparation,
                              best ? calibration.temperature : std::nullopt);
    errors.back().scores = evaluated.scores;
    if (best) predictions = std::move(evaluated);
  }
  print_errors(session, sets.preparation, errors);
  const std::string score = score_unit(job, sets.preparation);
  bool ok = print_solution(session, solution, score);
  if (!calibration.text.empty()) session.say("\n{}", calibration.text);
  if (test != nullptr) print_predictions(session, *test, predictions);
  note_errors(session, errors[solution.best], sets.preparation);
  note_solution(session, solution, score);
  if (job.common.check) {
    const auto& fit = solution.fits[solution.best];
    const double error = check(job, kernel, train, assembly, solution, fit, session);
    const bool good = error <= accepted_error(job, solution);
    ok = ok && good;
    session.record().result["check"] = error;
    session.say("check   residual with every entry of K evaluated again: {:.1e} ({})", error,
                good ? "good" : "failed");
    ok = check_kernel(session, kernel, train.inputs) && ok;
  }
  if (!job.common.out.empty())
    session.phase("write", [&] {
      auto file = session.create_result();
      write_solution(file, solution, errors, sets.preparation);
      if (test != nullptr) write_predictions(file, *test, sets.preparation, predictions);
      write_model(file, {model_options(line), job.train, sets.preparation,
                         solution.fits[solution.best].alpha.copy(), calibration.temperature});
      file.finish();
    });
  if (!job.common.plot.empty())
    plot(session, solution, errors, predictions, test, sets.preparation);
  return session.finish(ok);
}

template <class T>
int ridge_regression(const RidgeJob& job, const CommandLine& line, const gram::Source& source,
                     Session& session) {
  const auto sets = session.phase(
      "load", [&] { return data::load(job.train, job.test, job.preparation, session.comm()); });
  const auto& train = sets.train;
  if (job.top > train.rows() || job.top == 0 || job.top < -1)
    throw InputError("--top {}: give 1 ... n = {} eigenpairs", job.top, train.rows());
  const Index nb = job.common.nb > 0 ? job.common.nb
                                     : spectral::recommended_block(train.rows(), session.shape());
  session.begin(train.rows(), train.dimension(), nb, source.text(), train.hash);
  say_notes(session, sets);
  const auto kernel =
      verified(session, source, train, sets.test.has_value() ? &*sets.test : nullptr);

  CheckpointIdentity problem;
  if (job.checkpoints.asked()) problem = identity(job, kernel, train, session.comm());
  Checkpoints checkpoints(job.checkpoints, session, std::move(problem));
  std::optional<dist::Hdf5File> before;
  if (job.checkpoints.resume) before.emplace(checkpoints.open());
  const auto sizes = sizes_of<T>(job, kernel, sets, nb, session);
  const RidgeWay way = decide(job, kernel, sizes, session, before ? &*before : nullptr);
  before.reset();
  if (!way.reason.empty())
    session.say("solver  {} ({})", way.iterative ? "cg" : "direct", way.reason);
  if (session.stop_at_plan(plan(job, way, kernel, sizes, session))) return 0;

  session.check_range(kernel, train.inputs);
  const gram::Options assembly{.panel_bytes = panel_bytes(session, sizes), .nb = nb};
  if (way.iterative) {
    IterativeFitting fitting(job, way, kernel, train, nb, checkpoints, session);
    const auto solution = fitting.solve();
    const double n = static_cast<double>(sizes.n), c = static_cast<double>(sizes.c);
    for (const CgRun& run : solution.runs)  // the plan had the iterations that were expected
      session.record().flops +=
          2 * n * n * (static_cast<double>(run.products) - c * way.iterations);
    return report(job, line, kernel, sets, assembly, solution, session);
  }
  Fitting<T> fitting(job, kernel, train, nb, session);
  return report(job, line, kernel, sets, assembly, fitting.solve(), session);
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
      job.common.nb > 0 ? job.common.nb : spectral::recommended_block(N, session.shape());
  session.begin(sets.train.rows(), sets.train.dimension(), nb, kernel.text(), sets.train.hash);
  say_notes(session, sets);
  const auto sizes = sizes_of<T>(job, kernel, sets, nb, session);
  if (session.stop_at_plan(plan(job, {}, kernel, sizes, session))) return 0;

  session.check_range(kernel, sets.train.inputs);
  const auto g = msk::SpectrumMap::parse(job.modified() ? job.g : "identity");
  double ridge = job.ridges.front();
  if (job.relative) {
    auto K = gram::assemble<T>(kernel.kernel(), sets.train.inputs, session.grid(), {.nb = nb});
    ridge = job.gammas(la::trace(K) / static_cast<double>(sets.train.rows())).front();
  }
  typename krr::Transductive<T>::Options options;
  options.gram.nb = nb;
  options.spectral.top = job.top < 0 ? N : job.top;
  options.spectral.method = job.eigensolver();
  options.spectral.seed = job.common.seed;
  const auto predictor = session.phase("eigensolve", [&] {
    return krr::Transductive<T>(kernel.kernel(), sets.train.inputs, sets.test->inputs,
                                session.grid(), g, options);
  });
  for (const auto& line : predictor.cut().notes()) session.say("g       {}", line);
  if (const auto warning = predictor.cut().warning(); !warning.empty()) session.warn(warning);
  auto f = session.phase("solve", [&] { return predictor.predict(sets.train.targets, ridge); });
  const auto predictions = evaluate(std::move(f.values), *sets.test, sets.preparation);
  const std::vector<RidgeErrors> errors{{.ridge = ridge, .scores = predictions.scores}};
  print_errors(session, sets.preparation, errors);
  session.say("\nridge {:.6e}; residual of the solve {:.1e}{}", ridge, f.residual,
              job.modified()
                  ? fmt::format("; {} at rounding's level left as {}",
                                counted(predictor.spectrum().left_out, "mode"),
                                predictor.spectrum().left_out == 1 ? "it is" : "they are")
                  : std::string());
  print_predictions(session, *sets.test, predictions);
  const bool ok = !job.common.check || f.residual <= (std::is_same_v<T, float> ? 1e-3 : 1e-8);
  session.record().residual = f.residual;
  session.record().result["ridge"] = ridge;
  note_errors(session, errors.front(), sets.preparation);
  if (!job.common.out.empty())
    session.phase("write", [&] {
      auto file = session.create_result();
      file.write("/ridge", std::vector<double>{ridge});
      write_errors(file, "/score", errors, sets.preparation);
      write_predictions(file, *sets.test, sets.preparation, predictions);
      file.finish();
    });
  if (!job.common.plot.empty()) {
    Solution<T> shown;
    shown.spectrum = predictor.spectrum();
    plot(session, shown, errors, predictions, &*sets.test, sets.preparation);
  }
  return session.finish(ok);
}

/// What was typed beside --model has an effect. Throws InputError.
void expect_no_fit(const RidgeJob& job, const CommandLine& line) {
  for (const char* option :
       {"train", "ridge", "ridge-relative", "top", "g", "predict", "solver", "spectrum", "storage",
        "preconditioner", "rank", "cg-tol", "max-iterations", "checkpoint", "precision", "check"})
    if (line.given(option))
      throw InputError("--{}: belongs to a fit, --model {} is one that is done: leave it out",
                       option, job.model);
  for (const char* option :
       {"split", "index", "limit", "scale", "standardize", "unit-norm", "one-hot"})
    if (line.given(option))
      throw InputError(
          "--{}: decides how the training rows were read or prepared, and --model {} knows: leave "
          "it out",
          option, job.model);
  if (job.preparation.csv_target == "none")
    throw InputError(
        "--target none: --model {} knows its targets, and test rows may be without: leave it out",
        job.model);
}

/// Predictions of a stored model for new rows.
int predict_from_model(RidgeJob& job, CommandLine& line, const comm::Communicator& comm) {
  expect_no_fit(job, line);
  const auto file = dist::Hdf5File::open(comm, job.model, dist::Origin::mercer);
  const auto model = read_model(file);
  const bool target = line.given("target"), header = line.given("header");
  adopt_options(line, model, job.model);
  job.train = model.train;
  auto kernel = line.kernel_source(comm);
  // Of a matrix from a file the rows count, which verified() looks at, not the file's name.
  const bool files = kernel.is_stored() && file.text_attribute("/", "kernel").starts_with("file:");
  if (!files && file.text_attribute("/", "kernel") != kernel.text())
    throw InputError("--model {}: was fitted with the kernel {}, which is now {}", job.model,
                     file.text_attribute("/", "kernel"), kernel.text());
  Session session(line, job.common, comm);
  session.places().require_not_written("--model", job.train);
  const auto sets = session.phase("load", [&] {
    auto options = job.preparation;
    options.targets_required = false;
    options.limit_test = -1;
    if (target) options.csv_target.clear();  // what was typed is the test file's
    if (header) options.csv_header = "auto";
    auto split = [&] {
      try {
        return data::load(job.train, "", options, comm);
      } catch (const InputError& error) {
        throw InputError("--model {}: its training rows, {}, are needed again: {}", job.model,
                         job.train, error.what());
      }
    }();
    options = job.preparation;
    if (!job.test.empty()) options.split.clear();  // the mask is the training file's
    auto rows =
        data::load_test(job.test.empty() ? job.train : job.test, model.preparation, options, comm);
    return std::pair(std::move(split.train), std::move(rows));
  });
  const data::Dataset &train = sets.first, &test = sets.second;
  const auto hash = spectral::hash_text(train.hash);
  if (file.text_attribute("/", "data_hash") != hash)
    throw InputError("--model {}: was trained on other rows than {} holds now (hash {}, now {})",
                     job.model, job.train, file.text_attribute("/", "data_hash"), hash);
  if (train.rows() != model.alpha.rows() || train.dimension() != model.preparation.dimension)
    throw InputError("--model {}: is one of {} x {} training rows, {} holds {} x {}", job.model,
                     model.alpha.rows(), model.preparation.dimension, job.train, train.rows(),
                     train.dimension());
  session.begin(train.rows(), train.dimension(), 0, kernel.text(), train.hash);
  say_notes_of_model(session, train, test);
  kernel = verified(session, kernel, train, &test, false);
  Plan plan = session.plan();
  plan.stage(forecast::predict(session.machine(kernel, train.dimension()),
                               {.n = train.rows(),
                                .d = train.dimension(),
                                .c = model.alpha.cols(),
                                .m = test.rows(),
                                .shape = session.shape(),
                                .kernel = forecast::kernel_of(kernel)}));
  if (session.stop_at_plan(plan)) return 0;
  auto f = session.long_phase("predict", [&](auto progress) {
    return gram::apply_cross(kernel, test.inputs, train.inputs, model.alpha,
                             {.progress = progress});
  });
  const auto predictions = evaluate(std::move(f), test, model.preparation, model.temperature);
  const std::vector<RidgeErrors> errors{{.ridge = model.ridge, .scores = predictions.scores}};
  session.record().method = "stored model";
  session.record().result["ridge"] = errors.front().ridge;
  print_errors(session, model.preparation, errors);
  print_predictions(session, test, predictions);
  note_errors(session, errors.front(), model.preparation);
  if (!job.common.out.empty())
    session.phase("write", [&] {
      auto out = session.create_result();
      out.write("/ridge", std::vector<double>{errors.front().ridge});
      write_errors(out, "/score", errors, model.preparation);
      write_predictions(out, test, model.preparation, predictions);
      out.finish();
    });
  if (!job.common.plot.empty())
    plot(session, Solution<double>{}, errors, predictions, &test, model.preparation);
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
    job.add(line);
    line.add_common(job.common);
    if (!line.parse(argc, argv, comm)) return 0;
    job.preparation.seed = job.common.seed;
    if (!job.model.empty()) return predict_from_model(job, line, comm);

    if (job.train.empty())
      throw InputError("--train: give the training set, e.g. --train circle:n=512,freq=5");
    job.settle(line);
    const auto kernel = line.kernel_source(comm);
    job.settle(kernel);
    Session session(line, job.common, comm);
    if (job.checkpoints.asked())
      mercer::report::check_writable(comm, mercer::report::Content::hdf5, "--checkpoint",
                                     job.checkpoints.path);
    if (job.transductive())
      return job.common.single_precision ? transductive<float>(job, kernel, session)
                                         : transductive<double>(job, kernel, session);
    return job.common.single_precision ? ridge_regression<float>(job, line, kernel, session)
                                       : ridge_regression<double>(job, line, kernel, session);
  });
}
