// Preconditioned gradient descent of a wide network, [G] Algorithm 1 (arXiv 2307.14531):
// data -> network -> K -> eigenpairs -> g -> S -> descend -> report.

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include "mercer/base/text.hpp"
#include "mercer/data/preparation_file.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/net/parameters.hpp"
#include "mercer/report/record.hpp"
#include "shared/checkpoints.hpp"
#include "shared/data_notes.hpp"
#include "shared/kernel_files.hpp"
#include "shared/signals.hpp"
#include "shared/train_output.hpp"
#include "shared/train_preconditioner.hpp"

namespace mercer::drivers {
namespace {

template <class T>
void say_rates(const TrainJob& job, const Preconditioning<T>& preconditioning,
               const train::State<T>& state, Session& session) {
  std::string text = state.lambda_max > 0 ? fmt::format("1/lambda_max(J J^T S) = {:.6g}, measured",
                                                        1 / state.lambda_max)
                                          : "not measured";
  const double from = preconditioning.bound_from(), to = preconditioning.bound_to();
  const std::string product = job.preconditioned() ? "K S" : "K";
  if (to > from)
    text += fmt::format(
        "; Theorem 4.1: 2/(n (lambda_max + lambda_min)) of {} is {:.6g} ... {:.6g}, lambda_min "
        "being unknown",
        product, from, to);
  else if (from > 0)
    text += fmt::format("; Theorem 4.1: 2/(n (lambda_max + lambda_min)) of {} is {:.6g}", product,
                        from);
  session.say("rate    {}{}", job.options.refresh > 0 ? "of the last S: " : "", text);
  if (from > 0) session.record().result["lr_theorem"] = from;
}

/// What --out holds.
template <class T>
void write_result(Session& session, const TrainJob& job, const net::Network& network,
                  const train::State<T>& state, const data::Split& sets,
                  const Predictions& predictions) {
  auto file = session.create_result();
  file.attribute("/", "network", network.text());
  file.attribute("/", "precondition", job.precondition);
  write_history(file, session.comm(), state.history, job.directions);
  net::write<T>(file, network, state.w);
  data::write(file, sets.preparation);
  if (sets.test.has_value()) {
    write_errors(file, "/score", {{.scores = predictions.scores}}, sets.preparation);
    write_predictions(file, *sets.test, sets.preparation, predictions);
  }
  file.finish();
}

/// descend() as the phase `train`, with its progress: loss, steps a second, time left.
template <class T>
train::Outcome descend_with_progress(
    const TrainJob& job, Session& session, const train::State<T>& state, train::Hooks<T> hooks,
    const std::function<train::Outcome(const train::Hooks<T>&)>& descend) {
  const auto scope = session.phases().time("train");
  auto progress = session.progress("train");
  const Index first = state.step;
  const Timer clock;
  hooks.progress = [&](const train::State<T>& now) {
    const double seconds = clock.seconds(), steps = static_cast<double>(now.step - first);
    double share = steps / static_cast<double>(std::max<Index>(1, job.options.steps - first));
    if (job.options.max_seconds > 0) share = std::max(share, seconds / job.options.max_seconds);
    progress.update(
        share, fmt::format("step {}, loss {:.3e}, {:.1f} steps/s", now.step,
                           now.history.empty() ? NAN : now.history.back().loss, steps / seconds));
  };
  note_signals();
  return descend(hooks);
}

/// What is said and kept of a run that began at step `first` and has ended. Returns the exit code.
template <class T>
int report_training(const TrainJob& job, const net::Network& network, const data::Split& sets,
                    const train::Outcome& outcome, const train::State<T>& state, Index first,
                    Session& session) {
  const auto& history = state.history;
  const double flops = step_flops(job, network, sets.train);
  // No rate where there was no step to time.
  const double rank_seconds = outcome.seconds_per_step * session.comm().size();
  const double gflops = rank_seconds > 0 ? 1e-9 * flops / rank_seconds : NAN;
  // The plan was for all steps.
  session.record().flops -= flops * static_cast<double>(job.options.steps - (state.step - first));
  print_history(session, history, sets.preparation);
  session.say("\n{} after {}{}, {} taken back", train::name(outcome.ending),
              counted(state.step, "step"),
              rank_seconds > 0 ? fmt::format(": {:.4g} s a step, {:.1f} GFLOP/s a rank",
                                             outcome.seconds_per_step, gflops)
                               : std::string(),
              state.rejected);
  auto& result = session.record().result;
  session.record().method = job.description();
  result["steps"] = state.step;
  result["ending"] = train::name(outcome.ending);
  result["converged"] =
      outcome.ending == train::Ending::converged || outcome.ending == train::Ending::loss_reached;
  result["loss_train"] = history.back().loss;
  result["residual"] = history.back().residual;
  result["lr"] = state.rate;
  result["lambda_max"] = state.lambda_max;
  result["rejected"] = state.rejected;
  result["distance"] = history.back().distance;
  result["seconds_per_step"] = outcome.seconds_per_step;
  result["gflops_per_rank"] = gflops;  // NaN is null
  result["sum_share"] = outcome.sum_share;
  result["bytes_per_step"] = outcome.bytes_per_step;

  result["units"]["loss_train"] = fmt::format("({})^2", prepared_unit(sets.preparation));
  Predictions predictions;
  if (sets.test.has_value()) {
    predictions = session.phase("predict", [&] {
      return evaluate(net::outputs(network, std::vector<double>(state.w.begin(), state.w.end()),
                                   sets.test->inputs),
                      *sets.test, sets.preparation);
    });
    if (predictions.scores.known()) {
      result["loss_test"] = history.back().loss_test;
      result["units"]["loss_test"] = result["units"]["loss_train"];
    }
    note_errors(session, {.scores = predictions.scores}, sets.preparation);
    print_test(session, sets, predictions);
  }
  bool ok = true;
  if (job.common.check) {
    const auto check =
        session.phase("check", [&] { return check_training<T>(network, state, sets.train); });
    ok = check.equal && check.error <= (std::is_same_v<T, float> ? 1e-4 : 1e-12);
    result["check"] = check.error;
    session.say(
        "check   weights {} on all ranks; |r| evaluated again in double: off by {:.1e} "
        "|r_0| ({})",
        check.equal ? "equal to the bit" : "NOT equal", check.error, ok ? "good" : "failed");
  }
  if (!job.common.out.empty())
    session.phase("write",
                  [&] { write_result<T>(session, job, network, state, sets, predictions); });
  if (!job.csv.empty()) write_csv(session.comm(), job.csv, history);
  if (!job.common.plot.empty()) plot_history(session, history, job.directions, sets.preparation);
  return session.finish(ok);
}

template <class T>
int training(TrainJob& job, const CommandLine& line, const gram::Source& analytic,
             Session& session) {
  const auto& comm = session.comm();
  const auto sets =
      session.phase("load", [&] { return data::load(job.train, job.test, job.preparation, comm); });
  job.settle(sets);
  const auto network = job.network(line, sets.train);
  train::State<T> state;
  state.w = job.start<T>(network, comm);
  const std::vector<T> w_0 = state.w;
  const auto kernel = training_kernel(job, analytic, network, {w_0.begin(), w_0.end()});
  const Index nb = job.common.nb > 0
                       ? job.common.nb
                       : spectral::recommended_block(sets.train.rows(), session.shape());
  session.begin(sets.train.rows(), sets.train.dimension(), nb, kernel.text(), sets.train.hash);
  say_notes(session, sets);
  (void)verified(session, kernel, sets.train, nullptr);
  session.say("network {}, {} parameters", network.text(), network.parameters());
  session.say("S       {}", job.description());
  if (session.stop_at_plan(plan<T>(job, network, kernel, sets, nb, session))) return 0;

  session.check_range(kernel, sets.train.inputs);
  Preconditioning<T> preconditioning(job, network, kernel, sets.train, session);
  auto rows = preconditioning.rows();
  train::Identity identity;
  if (!job.checkpoint.empty())
    identity = job.identity(network, kernel, sets, net::hash<T>(std::span<const T>(w_0)), comm);
  if (job.resume) {
    train::read_checkpoint(comm, job.checkpoint, identity, state, rows);
    const auto differs =
        dist::differences(dist::Hdf5File::open(comm, job.checkpoint, dist::Origin::mercer),
                          job.settings(comm.size()));
    session.say("resume  {}: step {}{}{}", job.checkpoint, state.step, differs.empty() ? "" : ": ",
                differs);
  }
  if (state.step > job.options.steps)
    throw InputError("--steps {}: {} is at step {} already", job.options.steps, job.checkpoint,
                     state.step);
  preconditioning.prepare(rows, !job.resume, w_0);
  const Index first = state.step;

  train::Hooks<T> hooks;
  std::optional<TestLoss<T>> test_loss;
  if (sets.test.has_value() && sets.test->outputs() > 0) test_loss.emplace(network, *sets.test);
  std::optional<KernelChange> kernel_change;
  if (job.trace_kernel)
    kernel_change.emplace(network, std::vector<double>(w_0.begin(), w_0.end()), sets.train.inputs,
                          session.grid(), nb);
  hooks.observe = [&](std::span<const T> w, train::Record& record) {
    if (test_loss.has_value()) record.loss_test = (*test_loss)(w);
    if (kernel_change.has_value())
      record.kernel_change = kernel_change->measure({w.begin(), w.end()});
  };
  if (job.options.refresh > 0)
    hooks.preconditioner = [&](std::size_t set, std::span<const T> w) {
      return preconditioning.again(set, w);
    };
  bool kept = false;
  if (!job.checkpoint.empty())
    hooks.checkpoint = [&, warn = CheckpointWarning()](const train::State<T>& now) mutable {
      try {
        train::write_checkpoint(comm, job.checkpoint, identity, now, rows,
                                job.settings(comm.size()));
        kept = true;
      } catch (const Error& error) {  // on all ranks
        kept = false;
        warn(session, error.what());
      }
    };
  hooks.interrupted = signalled;
  hooks.say = [&](const std::string& text) { session.say("train   {}", text); };
  const auto outcome =
      descend_with_progress<T>(job, session, state, hooks, [&](const train::Hooks<T>& complete) {
        return train::descend<T>(comm, network, rows, state, w_0, job.options,
                                 preconditioning.directions(), complete, activation_memory(job));
      });
  if (outcome.ending == train::Ending::interrupted && !job.checkpoint.empty() && !kept)
    throw RunError("interrupted at step {}, and the checkpoint is lost", state.step);
  if (outcome.ending == train::Ending::interrupted)
    throw Error(ExitCode::interrupted,
                job.checkpoint.empty()
                    ? fmt::format("interrupted at step {}: nothing is kept without --checkpoint",
                                  state.step)
                    : fmt::format("interrupted at step {}: {} holds it, --resume goes on",
                                  state.step, job.checkpoint));
  say_rates(job, preconditioning, state, session);
  if (preconditioning.operator_spectrum().has_value()) {
    const auto& extremes = *preconditioning.operator_spectrum();
    session.say("K_0 S   eigenvalues {:.6g} ... {:.6g}", extremes.smallest, extremes.largest);
    session.record().result["operator_lambda_max"] = extremes.largest;
    session.record().result["operator_lambda_min"] = extremes.smallest;
  }
  return report_training<T>(job, network, sets, outcome, state, first, session);
}

}  // namespace
}  // namespace mercer::drivers

int main(int argc, char** argv) {
  using namespace mercer::drivers;
  return run(argc, argv, "mercer-train", [&](const mercer::comm::Communicator& comm) {
    TrainJob job;
    CommandLine line(
        "mercer-train", "--train SPEC --arch TEXT [--test SPEC] [--top K --g NAME] [options]",
        "Trains a wide network by gradient descent, w <- w - eta J^T S r, preconditioned so that\n"
        "training follows K S instead of K and learns high frequencies as fast as low ones.\n"
        "--precision is that of the network; K and its eigenpairs are computed in double.");
    line.add_data(job.preparation, job.train, job.test, true);
    line.add_kernel();
    job.add(line);
    line.add_common(job.common);
    if (!line.parse(argc, argv, comm)) return 0;
    job.preparation.seed = job.common.seed;
    job.settle(line);
    const auto analytic = line.kernel_source(comm);
    Session session(line, job.common, comm);
    using mercer::report::Content;
    if (!job.csv.empty()) mercer::report::check_writable(comm, Content::text, "--csv", job.csv);
    if (!job.checkpoint.empty())
      mercer::report::check_writable(comm, Content::hdf5, "--checkpoint", job.checkpoint);
    return job.common.single_precision ? training<float>(job, line, analytic, session)
                                       : training<double>(job, line, analytic, session);
  });
}
