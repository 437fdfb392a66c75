// Kernel ridge regression with K or with a Modified Spectrum Kernel:
// data -> plan -> fit (K -> eigenpairs -> g -> K_g -> alpha) -> predictions -> report.

#include "mercer/base/text.hpp"
#include "mercer/jobs/pictures.hpp"
#include "shared/entry_check.hpp"
#include "shared/ridge_options.hpp"
#include "shared/ridge_output.hpp"

namespace mercer::drivers {
namespace {

/// Reads both sets and prints what was read.
data::Split load(const RidgeLine& job, const gram::Source& kernel, Session& session) {
  auto sets = session.phase(
      "load", [&] { return data::load(job.train, job.test, job.preparation, session.comm()); });
  job.options.validate(sets);
  const Index n = sets.train.rows();
  const Index N = n + (job.options.transductive && sets.test ? sets.test->rows() : 0);
  session.begin(n, sets.train.dimension(), session.block_of(N), kernel.text(), sets.train.hash);
  say_notes(session, sets);
  return sets;
}

/// --check: the residual with every entry of K evaluated again, and some entries compared with the
/// scalar formulas.
bool check(const jobs::RidgePlan& plan, const jobs::RidgeFit& fit, const data::Dataset& train,
           Session& session) {
  const auto check = jobs::check(plan, fit, train, session.grid(), session);
  session.record().result["check"] = check.error;
  session.say("check   residual with every entry of K evaluated again: {:.1e} ({})", check.error,
              check.good() ? "good" : "failed");
  return check_kernel(session, plan.kernel, train.inputs) && check.good();
}

int fit_and_predict(const RidgeLine& job, const jobs::RidgePlan& plan, data::Split& sets,
                    Session& session) {
  const data::Preparation preparation = sets.preparation;
  const auto fit = jobs::fit(plan, sets, session.grid(), session);
  const auto along = jobs::errors_along(plan, fit, sets, session);
  std::optional<jobs::Covariances> covariances;
  if (plan.options.time.covariance)
    covariances = jobs::covariances(plan, fit, sets, session.grid(), session);
  std::optional<jobs::LearningCurve> curve;
  if (plan.options.curve.asked())
    curve = jobs::learning_curve(plan, fit, sets, session.grid(), session);

  const auto unit = score_unit(job.options, preparation);
  print_errors(session, preparation, along.errors);
  print_fit(session, fit, unit);
  if (covariances.has_value()) print_covariances(session, fit, *covariances, unit);
  const std::string prepared = jobs::prepared_unit(preparation);
  if (curve.has_value()) print_curve(session, *curve, sets.train.rows(), prepared);
  if (!fit.calibration.empty()) session.say("\n{}", fit.calibration);
  if (sets.test.has_value()) print_predictions(session, *sets.test, along.best);
  note_errors(session, along.errors[fit.best], preparation);
  note_fit(session, fit, unit);
  session.record().flops += along.flops;
  if (curve.has_value()) note_curve(session, *curve, prepared);
  const bool ok = (!job.common.check || check(plan, fit, sets.train, session)) && fit.converged();
  const data::Dataset* test = sets.test.has_value() ? &*sets.test : nullptr;
  session.write_result([&](io::Hdf5File& file) {
    jobs::write(file, fit, along, preparation);
    if (covariances.has_value()) jobs::write(file, *covariances);
    if (curve.has_value()) jobs::write(file, *curve, preparation);
    if (test != nullptr) jobs::write_predictions(file, *test, preparation, along.best);
    jobs::write(file, jobs::model_of(plan, fit, std::move(sets.train), preparation), job.reference);
  });
  if (!job.common.plot.empty()) {
    auto panels = jobs::picture(fit.spectrum, along.errors, along.best, test, preparation);
    if (curve.has_value()) panels.push_back(jobs::picture(*curve, preparation));
    session.draw(panels);
  }
  return session.finish(ok);
}

/// Writes and draws predictions that are not those of a fit. `spectrum` may be empty.
void write(const RidgeLine& job, const jobs::RidgeErrors& errors, const data::Dataset& test,
           const data::Preparation& preparation, const jobs::Predictions& predictions,
           const msk::ModifiedSpectrum& spectrum, Session& session) {
  session.write_result([&](io::Hdf5File& file) {
    file.write("/ridge", std::vector<double>{errors.ridge});
    jobs::write_errors(file, "/score", {errors}, preparation);
    jobs::write_predictions(file, test, preparation, predictions);
  });
  if (!job.common.plot.empty())
    session.draw(jobs::picture(spectrum, {errors}, predictions, &test, preparation));
}

/// Transductive predictions: the test rows take part in the spectrum, so that there is no alpha.
int transduce(const RidgeLine& job, const jobs::RidgePlan& plan, const data::Split& sets,
              Session& session) {
  auto result = jobs::transduce(plan, sets, session.grid(), session);
  const auto predictions = jobs::evaluate(std::move(result.values), *sets.test, sets.preparation);
  const jobs::RidgeErrors errors{.ridge = result.ridge, .scores = predictions.scores};
  print_errors(session, sets.preparation, {errors});
  const Index left_out = result.spectrum.left_out;
  session.say("\nridge {:.6e}; residual of the solve {:.1e}{}", result.ridge, result.residual,
              job.options.modified()
                  ? fmt::format("; {} at rounding level left unchanged", counted(left_out, "mode"))
                  : std::string());
  print_predictions(session, *sets.test, predictions);
  session.record().residual = result.residual;
  session.record().result["ridge"] = result.ridge;
  note_errors(session, errors, sets.preparation);
  write(job, errors, *sets.test, sets.preparation, predictions, result.spectrum, session);
  return session.finish(!job.common.check || result.good());
}

int ridge_regression(const RidgeLine& job, const gram::Source& kernel, Session& session) {
  auto sets = load(job, kernel, session);
  const auto plan =
      jobs::plan(job.options, kernel, sets, session.resources(kernel, sets.train.dimension()),
                 session.comm(), session.took("load"));
  session.log("kernel", plan.notes);
  if (!plan.strategy.reason.empty())
    session.log("solver", fmt::format("{} ({})", plan.strategy.iterative ? "cg" : "direct",
                                      plan.strategy.reason));
  if (session.stop_at_plan(plan.stages)) return 0;
  return job.options.transductive ? transduce(job, plan, sets, session)
                                  : fit_and_predict(job, plan, sets, session);
}

/// The stored model, with the kernel of the command line where the stored one was a matrix. Throws
/// InputError for options that the model has already.
jobs::RidgeModel stored_model(const RidgeLine& job, const CommandLine& line,
                              const comm::Communicator& comm) {
  auto model = jobs::read_model(io::Hdf5File::open(comm, job.model, io::Origin::mercer));
  if (model.kernel.is_stored() && line.given("kernel")) {  // k(test, train) of other test rows
    model.kernel = line.kernel_source(comm);
    if (!model.kernel.is_stored())
      throw InputError(
          "--kernel {}: --model {} was fitted with a matrix from a file: give "
          "file:K.h5,CROSS.h5, where CROSS.h5 holds k(test, train)",
          model.kernel.text(), job.model);
  } else if (line.given("kernel")) {
    throw InputError("--kernel: is part of the stored model {}: leave it out", job.model);
  }
  const data::Options none;
  for (const auto& [option, stored] :
       {std::pair{"target", model.reading.csv_target != none.csv_target},
        {"header", model.reading.csv_header != none.csv_header}})
    if (stored && line.given(option))
      throw InputError("--{}: is part of the stored model {}: leave it out", option, job.model);
  if (!model.refers() && !job.train.empty())
    throw InputError("--train: --model {} holds its training rows: leave it out", job.model);
  return model;
}

/// The record tells how the model was made, not the defaults of options that were not given.
void note_model(const jobs::RidgeModel& model, report::Record& record) {
  for (const auto& [name, value] : jobs::settings_of(model.reading))
    if (name != "seed" && !value.empty() && value != "-1") record.config[name] = value;
  record.config["kernel"] = model.kernel.text();
}

/// Predictions of a stored model for new rows.
int predict_from_model(const RidgeLine& job, const CommandLine& line, Session& session) {
  const auto& comm = session.comm();
  auto model = stored_model(job, line, comm);
  const std::string& train = job.train.empty() ? model.preparation.train : job.train;
  for (const auto& read : {train, model.reading.split, model.parameters})
    if (!read.empty()) session.places().require_not_written({"--model", read});
  auto test = session.phase("load", [&] {
    if (model.refers()) jobs::load_rows(model, job.train, job.preparation, comm);
    auto options = job.preparation;
    options.targets_required = false;
    if (job.test.empty()) options.split = model.reading.split;  // test rows of the training file
    return data::load_test(job.test.empty() ? train : job.test, model.preparation, options, comm);
  });
  session.begin(model.n(), model.preparation.dimension, 0, model.kernel.text(), model.rows_hash);
  session.say("data    {}", data::reading(model.preparation, model.n()));
  note_model(model, session.record());
  say_test_notes(session, test);
  jobs::verify_kernel(model, test, session);
  const auto resources = session.resources(model.kernel, model.preparation.dimension);
  if (session.stop_at_plan(jobs::plan_prediction(model, test.rows(), resources))) return 0;

  const auto predictions = jobs::predict(model, test, session);
  const jobs::RidgeErrors errors{.ridge = model.ridge, .scores = predictions.scores};
  session.record().method = "stored model";
  session.record().result["ridge"] = model.ridge;
  print_errors(session, model.preparation, {errors});
  print_predictions(session, test, predictions);
  note_errors(session, errors, model.preparation);
  write(job, errors, test, model.preparation, predictions, {}, session);
  return session.finish();
}

}  // namespace
}  // namespace mercer::drivers

int main(int argc, char** argv) {
  using namespace mercer::drivers;
  return run(argc, argv, "mercer-krr", [&](const mercer::comm::Communicator& comm) {
    RidgeLine job;
    CommandLine line(
        "mercer-krr", "--train SPEC --test SPEC --ridge G [options]   |   --model R.h5 --test SPEC",
        "Kernel ridge regression, alpha = (K + gamma I)^-1 Y with K = k/n, or with a Modified\n"
        "Spectrum Kernel, whose top eigenvalues lambda are replaced by g(lambda).");
    line.add_data(job.preparation, job.train, &job.test, true);
    line.add_kernel();
    job.add(line);
    line.add_common(job.common);
    if (!line.parse(argc, argv, comm)) return 0;
    job.preparation.seed = job.common.seed;
    if (!job.model.empty()) {
      job.expect_no_fit(line);
      Session session(line, job.common, comm);
      return predict_from_model(job, line, session);
    }
    if (job.train.empty())
      throw mercer::InputError("--train: give the training set, e.g. --train circle:n=512,freq=5");
    const auto kernel = line.kernel_source(comm);
    job.read(line, kernel);
    Session session(line, job.common, comm);
    session.check_checkpoint(job.options.checkpoints);
    return ridge_regression(job, kernel, session);
  });
}
