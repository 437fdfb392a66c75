// Preconditioned gradient descent of a wide network, [G] Algorithm 1 (arXiv 2307.14531):
// data -> network -> plan -> train (K -> eigenpairs -> g -> S -> descend) -> report.

#include <cmath>

#include "mercer/base/text.hpp"
#include "mercer/jobs/advice.hpp"
#include "mercer/jobs/network_model.hpp"
#include "mercer/jobs/pictures.hpp"
#include "mercer/net/empirical.hpp"
#include "shared/train_options.hpp"
#include "shared/train_output.hpp"

namespace mercer::drivers {
namespace {

template <class T>
void say_rates(const jobs::TrainingPlan& plan, const jobs::Training<T>& training,
               Session& session) {
  session.say("rate    {}", jobs::rate_text(plan, training));
  if (training.bound_from > 0) session.record().result["lr_theorem"] = training.bound_from;
  if (!training.operator_spectrum.has_value()) return;
  const auto& extremes = *training.operator_spectrum;
  session.say("K_0 S   eigenvalues {:.6g} ... {:.6g}", extremes.smallest, extremes.largest);
  session.record().result["operator_lambda_max"] = extremes.largest;
  session.record().result["operator_lambda_min"] = extremes.smallest;
}

/// Prints the table of records and a line of totals, and notes both in the JSON record.
template <class T>
void report_descent(const jobs::TrainingPlan& plan, const jobs::Training<T>& training,
                    const data::Preparation& preparation, Session& session) {
  const auto& state = training.state;
  const auto& outcome = training.outcome;
  const auto& history = state.history;
  // NaN where there was no step to time.
  const double rank_seconds = outcome.seconds_per_step * session.comm().size();
  const double gflops = rank_seconds > 0 ? 1e-9 * plan.flops.step / rank_seconds : NAN;
  print_history(session, history, preparation);
  session.say("\n{} after {}{}, {} rejected by the safeguard", train::name(outcome.stop_reason),
              counted(state.step, "step"),
              rank_seconds > 0 ? fmt::format(": {:.4g} s a step (median), {:.1f} GFLOP/s a rank",
                                             outcome.seconds_per_step, gflops)
                               : std::string(),
              state.rejected);
  session.record().flops = training.flops;
  session.record().method = plan.options.text();
  auto& result = session.record().result;
  result["steps"] = state.step;
  result["ending"] = train::name(outcome.stop_reason);
  result["converged"] = outcome.stop_reason == train::StopReason::converged ||
                        outcome.stop_reason == train::StopReason::loss_reached;
  result["loss_train"] = history.back().loss;
  result["residual"] = history.back().residual;
  result["lr"] = state.rate;
  result["beta"] = training.batch_bound.known() ? training.batch_bound.beta : NAN;
  result["lambda_next"] = training.batch_bound.known() ? training.batch_bound.tail : NAN;
  result["lambda_max"] = state.lambda_max > 0 ? state.lambda_max : NAN;  // null: not measured
  result["rejected"] = state.rejected;
  result["distance"] = history.back().distance;
  result["seconds_per_step"] = outcome.seconds_per_step;
  result["gflops_per_rank"] = gflops;  // NaN is null
  result["sum_share"] = outcome.sum_share;
  result["bytes_per_step"] = outcome.bytes_per_step;
  result["pairs"] = !plan.options.spectrum.empty() ? "stored"
                    : !plan.solves                 ? "none"
                    : plan.pairs.iterative         ? "krylov"
                                                   : "direct";
  result["units"]["loss_train"] = fmt::format("({})^2", jobs::prepared_unit(preparation));
}

/// Predicts the test rows with the trained network; prints the scores and notes them in the record.
template <class T>
jobs::Predictions report_test(const jobs::Training<T>& training, const net::Network& network,
                              const data::Split& sets, Session& session) {
  const auto& w = training.state.w;
  auto predictions = session.phase("predict", [&] {
    return jobs::evaluate(
        net::outputs(network, std::vector<double>(w.begin(), w.end()), sets.test->inputs),
        *sets.test, sets.preparation);
  });
  auto& result = session.record().result;
  if (predictions.scores.known()) {
    result["loss_test"] = training.state.history.back().loss_test;
    result["units"]["loss_test"] = result["units"]["loss_train"];
  }
  note_errors(session, {.scores = predictions.scores}, sets.preparation);
  print_test(session, *sets.test, sets.preparation, predictions);
  return predictions;
}

template <class T>
bool check(const jobs::Training<T>& training, const net::Network& network,
           const data::Dataset& rows, Session& session) {
  const auto check = jobs::check(training, network, rows, session);
  session.record().result["check"] = check.error;
  session.say(
      "check   weights {} on all ranks; |r| evaluated again in double: off by {:.1e} |r_0| ({})",
      check.equal ? "equal to the bit" : "NOT equal", check.error,
      check.good() ? "good" : "failed");
  return check.good();
}

int report_advice(const jobs::Advice& advice, Session& session) {
  session.say("\nlinear theory on {} of {} rows, times of this machine",
              advice.rows == advice.of ? "all" : std::to_string(advice.rows), advice.of);
  for (const auto& line : advice.lines()) session.say("{}", line);
  auto& result = session.record().result;
  for (const auto& top : advice.tops)
    result["advice"].push_back({{"top", top.k},
                                {"spread", top.spread},
                                {"lr", top.rate},
                                {"steps", top.steps},
                                {"reached", top.reached},
                                {"seconds_S", top.seconds_S},
                                {"seconds_step", top.seconds_step},
                                {"bytes", top.bytes}});
  if (advice.any) result["top_advised"] = advice.tops[advice.best].k;
  return session.finish(true);
}

template <class T>
int training(const TrainLine& job, const CommandLine& line, const gram::Source& analytic,
             Session& session) {
  const auto& comm = session.comm();
  const auto sets =
      session.phase("load", [&] { return data::load(job.train, job.test, job.preparation, comm); });
  const Index given = job.options.spectrum.count(comm, sets.train.rows());
  auto options = job.options.validated(sets.train.rows(), given);
  if (job.advise) options = jobs::advised(std::move(options));
  const auto network = job.network(line, sets.train);
  auto w_0 = job.start<T>(network, sets.preparation, session);
  const auto kernel = jobs::training_kernel<T>(options, analytic, network, w_0);
  const Index n = sets.train.rows(), d = sets.train.dimension();
  session.begin(n, d, session.block_of(n), kernel.text(), sets.train.hash);
  say_notes(session, sets);
  session.say("network {}, {} parameters", network.text(), network.parameters());
  session.say("S       {}", options.text());
  const auto resources = options.computes_kernel() || job.advise
                             ? session.resources(kernel, jobs::kernel_columns(options, network))
                             : session.resources(session.machine());
  if (job.advise) {
    const auto plan = jobs::advice_plan<T>(options, network, analytic, sets, w_0, resources,
                                           session.took("load"));
    if (session.stop_at_plan(plan)) return 0;
    return report_advice(
        jobs::advise<T>(options, network, analytic, sets, w_0, resources, session.grid(), session),
        session);
  }
  const auto plan =
      jobs::plan<T>(options, network, kernel, sets, w_0, resources, comm, session.took("load"));
  session.log("kernel", plan.notes);
  if (plan.solves) session.log("pairs", plan.pairs.reason);
  if (session.stop_at_plan(plan.stages)) return 0;

  const auto training =
      jobs::train<T>(plan, network, sets, std::move(w_0), session.grid(), session);
  say_rates(plan, training, session);
  report_descent(plan, training, sets.preparation, session);
  print_track(plan, training, session);
  if (training.functions.has_value())
    print_functions(*training.functions, training.state.history, sets.preparation, session);
  jobs::Predictions predictions;
  if (sets.test.has_value()) predictions = report_test(training, network, sets, session);
  const bool ok = !job.common.check || check(training, network, sets.train, session);
  session.write_result(
      [&](io::Hdf5File& file) { jobs::write(file, plan, training, network, sets, predictions); });
  if (!job.csv.empty()) jobs::write_csv(comm, job.csv, plan, training);
  if (!job.common.plot.empty()) session.draw(jobs::picture(plan, training, sets.preparation));
  return session.finish(ok);
}

/// Predictions of a stored network for new rows.
int predict_from_model(const TrainLine& job, const arch::Image& image, Session& session) {
  const auto& comm = session.comm();
  const auto model = jobs::read_network_model(io::Hdf5File::open(comm, job.model),
                                              job.common.single_precision, image);
  const auto test = session.phase(
      "load", [&] { return jobs::load_new_rows(model, job.test, job.preparation, comm); });
  session.begin(model.n, model.network.inputs(), 0, "none", model.rows_hash);
  session.say("network {}, {} parameters", model.network.text(), model.network.parameters());
  session.say("data    {}", model.text());
  say_test_notes(session, test);
  const auto resources = session.resources(session.machine());
  if (session.stop_at_plan(
          jobs::plan_prediction(model, test.rows(), resources, session.took("load"))))
    return 0;
  const auto predictions = jobs::predict(model, test, session);
  session.record().method = "stored network";
  const jobs::RidgeErrors errors{.scores = predictions.scores};
  note_errors(session, errors, model.preparation);
  print_test(session, test, model.preparation, predictions);
  session.write_result([&](io::Hdf5File& file) { jobs::write(file, model, test, predictions); });
  if (!job.common.plot.empty())
    session.draw(jobs::picture({}, {errors}, predictions, &test, model.preparation));
  return session.finish();
}

}  // namespace
}  // namespace mercer::drivers

int main(int argc, char** argv) {
  using namespace mercer::drivers;
  return run(argc, argv, "mercer-train", [&](const mercer::comm::Communicator& comm) {
    TrainLine job;
    CommandLine line(
        "mercer-train",
        "--train SPEC --arch TEXT [--test SPEC] [--top K --g NAME] [options]   |   --model T.h5 "
        "--test SPEC",
        "Trains a wide network by preconditioned gradient descent, w <- w - eta J^T S r: training\n"
        "follows K S instead of K and learns high frequencies as fast as low ones.\n"
        "--precision is that of the network; K and its eigenpairs are computed in double.");
    line.add_data(job.preparation, job.train, &job.test, true);
    line.add_kernel(1, true);
    job.add(line);
    line.add_common(job.common);
    if (!line.parse(argc, argv, comm)) return 0;
    job.preparation.seed = job.common.seed;
    if (!job.model.empty()) {
      job.expect_no_training(line);
      Session session(line, job.common, comm);
      return predict_from_model(job, line.stated_image(), session);
    }
    job.read(line);
    const auto analytic = line.kernel_source(comm);
    if (job.options.eigenfunctions.empty()) line.expect_no_cross(analytic);
    Session session(line, job.common, comm);
    using mercer::report::Content;
    if (!job.csv.empty()) mercer::report::check_writable(comm, Content::text, "--csv", job.csv);
    session.check_checkpoint({.path = job.options.checkpoint, .resume = job.options.resume});
    return job.common.single_precision ? training<float>(job, line, analytic, session)
                                       : training<double>(job, line, analytic, session);
  });
}
