#include "mercer/jobs/training.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/data/preparation_file.hpp"
#include "mercer/krr/score.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/net/parameters.hpp"
#include "mercer/report/record.hpp"
#include "row_identity.hpp"
#include "training_observers.hpp"

namespace mercer::jobs {
namespace {

/// Reads the state of the run that is resumed. Collective.
template <class T>
void resume(const TrainingPlan& plan, const comm::Communicator& comm, const net::Network& network,
            train::State<T>& state, std::vector<train::RowSet<T>>& rows, Monitor& monitor) {
  const auto& path = plan.options.checkpoint;
  train::read_checkpoint(comm, path, plan.identity, network, state, rows);
  const auto differs = io::differences(io::Hdf5File::open(comm, path, io::Origin::mercer),
                                       plan.settings, plan.of_rounding);
  monitor.log("resume", fmt::format("{}: step {}{}{}", path, state.step,
                                    differs.empty() ? "" : ": ", differs));
  if (state.step > plan.options.descent.steps)
    throw InputError("`steps` {}: {} is at step {} already", plan.options.descent.steps, path,
                     state.step);
}

/// Reports progress: loss, steps a second, the share of steps or of time.
template <class T>
void report_step(const TrainingPlan& plan, Index first, const Timer& clock,
                 const train::State<T>& now, Monitor& monitor) {
  const auto& o = plan.options.descent;
  const double seconds = clock.seconds(), steps = static_cast<double>(now.step - first);
  double share = steps / static_cast<double>(std::max<Index>(1, o.steps - first));
  if (o.max_seconds > 0) share = std::max(share, seconds / o.max_seconds);
  monitor.progress(
      share, fmt::format("step {}, loss {:.3e}, {:.1f} steps/s", now.step,
                         now.history.empty() ? NAN : now.history.back().loss, steps / seconds));
}

/// Writes a checkpoint. Returns false, after a warning, where it cannot be written. Collective.
template <class T>
bool keep(const TrainingPlan& plan, const comm::Communicator& comm, const train::State<T>& state,
          const std::vector<train::RowSet<T>>& rows, CheckpointWarning& warn, Monitor& monitor) {
  try {
    train::write_checkpoint(comm, plan.options.checkpoint, plan.identity, state, rows,
                            plan.settings);
    return true;
  } catch (const Error& error) {  // on all ranks
    warn(monitor, error.what());
    return false;
  }
}

/// Throws the error that ends an interrupted run. `kept`: its checkpoint was written.
[[noreturn]] void end_interrupted(const std::string& checkpoint, Index step, bool kept) {
  if (!checkpoint.empty() && !kept)
    throw RunError("interrupted at step {}, and the checkpoint could not be written", step);
  throw Error(
      ExitCode::interrupted,
      checkpoint.empty()
          ? fmt::format("interrupted at step {}: nothing is kept without `checkpoint`", step)
          : fmt::format("interrupted at step {}: {} holds the state, `resume` goes on", step,
                        checkpoint));
}

/// Throws InputError unless the plan is for this network, these rows and parameters, and T.
template <class T>
void check_planned(const TrainingPlan& plan, const net::Network& network, const data::Split& sets,
                   std::span<const T> w_0) {
  if (plan.single != std::is_same_v<T, float>)
    throw InputError("the plan is for a network in {} precision",
                     plan.single ? "single" : "double");
  check_fit(network, sets, w_0.size());
  require_planned(plan.rows_hash, sets.train);
  if (plan.network != network.text() || plan.start_hash != net::hash<T>(w_0))
    throw InputError("the plan is for another network, or for other initial parameters");
}

/// `solved`: how often K's pairs were computed.
template <class T>
double counted_flops(const TrainingFlops& flops, const Training<T>& training, Index solved) {
  const Index steps = training.state.step - training.first_step;
  return flops.once + flops.pairs * static_cast<double>(solved) +
         flops.step * static_cast<double>(steps) +
         flops.rate_product * training.outcome.rate_products;
}

/// What completes the records: nothing where nothing is asked for. Collective.
template <class T>
void make_observers(const TrainingPlan& plan, const net::Network& network, const data::Split& sets,
                    const std::vector<T>& w_0, const dist::ProcessGrid& grid,
                    const TrainingPairs<T>& pairs, std::optional<TestObserver<T>>& test,
                    std::optional<KernelObserver>& kernel) {
  if (sets.test.has_value() && sets.test->outputs() > 0)
    test.emplace(network, *sets.test, pairs.functions(), std::span<const T>(w_0));
  if (plan.options.trace_kernel || plan.options.track.of_kernel())
    kernel.emplace(plan, network, std::vector<double>(w_0.begin(), w_0.end()), sets.train, grid,
                   pairs.grid_S());
}

template <class T>
void note_traces(const TrainingPlan& plan, const TrainingPairs<T>& pairs,
                 const std::optional<KernelObserver>& kernel, Training<T>& training) {
  training.directions = pairs.directions().which();
  if (pairs.functions() != nullptr) training.functions = pairs.functions()->trace;
  if (!kernel.has_value()) return;
  training.flops += plan.flops.change * static_cast<double>(kernel->assembled());
  const auto& track = plan.options.track;
  if (track.kernel || track.minimum) training.kernel_start = kernel->start();
}

}  // namespace

void check_fit(const net::Network& network, const data::Split& sets, std::size_t parameters) {
  const auto& rows = sets.train;
  if (network.inputs() != rows.dimension())
    throw InputError("the network takes {} inputs, the rows have {}", network.inputs(),
                     rows.dimension());
  check_images(network.architecture().image, rows, "the network takes");
  if (network.outputs() != rows.outputs())
    throw InputError("the network has {} outputs, the targets {} columns", network.outputs(),
                     rows.outputs());
  if (parameters != static_cast<std::size_t>(network.parameters()))
    throw InputError("{} initial parameters for a network of {}", parameters, network.parameters());
}

template <class T>
Training<T> train(const TrainingPlan& plan, const net::Network& network, const data::Split& sets,
                  std::vector<T> w_0, const dist::ProcessGrid& grid, Monitor& monitor) {
  check_planned<T>(plan, network, sets, w_0);
  const auto& comm = grid.all();
  const auto& options = plan.options;
  plan.stages.require_memory();
  require_new_checkpoint(comm, {.path = options.checkpoint, .resume = options.resume});
  if (options.preconditioned()) check_images(plan.kernel, sets.train);
  if (plan.solves && !options.on_parameters() && !options.joint_outputs)
    check_range(plan.kernel, sets.train.inputs, monitor);
  Training<T> training;
  auto& state = training.state;
  state.w = w_0;
  TrainingPairs<T> pairs(plan, network, sets, grid, monitor);
  auto rows = pairs.rows();
  if (options.resume) resume(plan, comm, network, state, rows, monitor);
  if (const Index epoch = state.step / std::ssize(rows); options.new_blocks && epoch > 0)
    pairs.draw_blocks(rows, epoch);
  pairs.prepare(rows, !options.resume, w_0, training);
  training.first_step = state.step;
  training.rows = sets.train.rows();

  train::Hooks<T> hooks;
  std::optional<TestObserver<T>> test;
  std::optional<KernelObserver> kernel;
  make_observers(plan, network, sets, w_0, grid, pairs, test, kernel);
  hooks.observe = [&](std::span<const T> w, train::Record& record) {
    if (test.has_value()) test->complete(w, record);
    if (kernel.has_value()) kernel->complete({w.begin(), w.end()}, record);
  };
  pairs.add_to(hooks);
  bool kept = false;
  if (!options.checkpoint.empty())
    hooks.checkpoint = [&, warn = CheckpointWarning()](const train::State<T>& now) mutable {
      kept = keep(plan, comm, now, rows, warn, monitor);
    };
  hooks.interrupted = [&] { return monitor.interrupted(); };
  hooks.say = monitor.lines("train");
  const Timer clock;
  hooks.progress = [&](const train::State<T>& now) {
    report_step(plan, training.first_step, clock, now, monitor);
  };
  training.outcome = monitor.phase("train", [&] {
    const Monitor::Solving scope(monitor);
    return train::descend<T>(comm, network, rows, state, w_0, options.descent, pairs.directions(),
                             hooks, plan.activation_bytes);
  });
  training.batch_bound = rows[0].P.bound();
  if (training.outcome.stop_reason == train::StopReason::interrupted)
    end_interrupted(options.checkpoint, state.step, kept);
  training.flops = counted_flops(plan.flops, training, pairs.solved());
  note_traces(plan, pairs, kernel, training);
  return training;
}

template <class T>
TrainingCheck check(const Training<T>& training, const net::Network& network,
                    const data::Dataset& train, Monitor& monitor) {
  const Monitor::Phase scope(monitor, "check");
  const auto& comm = train.inputs.comm();
  const auto& state = training.state;
  const auto hash = net::hash<T>(state.w);
  const auto F =
      net::outputs(network, std::vector<double>(state.w.begin(), state.w.end()), train.inputs);
  const double count = static_cast<double>(train.rows() * train.outputs());
  const double now = std::sqrt(krr::mse(F, train.targets) * count);
  const double then = std::sqrt(state.history.back().loss * count);
  return {.equal = comm.all_reduce(hash, comm::Op::min) == comm.all_reduce(hash, comm::Op::max),
          .error = std::abs(now - then) / (state.first_residual > 0 ? state.first_residual : 1),
          .tolerance = std::is_same_v<T, float> ? 1e-4 : 1e-12};
}

template <class T>
std::string rate_text(const TrainingPlan& plan, const Training<T>& training) {
  const auto& o = plan.options.descent;
  const auto& state = training.state;
  std::string text = o.refresh > 0 ? "of the last S: " : "";
  if (state.lambda_max > 0)
    text += fmt::format("1/lambda_max(J J^T S) = {:.6g}, measured", 1 / state.lambda_max);
  else
    text += state.bound > 0 ? "by beta and lambda of K_0" : "given";
  const bool other = o.safety != 1 || o.weight_decay > 0 || (o.momentum > 0 && o.batch > 0);
  if (state.bound > 0 && (other || !(state.lambda_max > 0)))
    text += fmt::format(": eta {:.6g}{}", state.bound,
                        other ? " with `safety`, `momentum` and `weight_decay`" : "");
  const double from = training.bound_from, to = training.bound_to;
  if (!(from > 0)) return text;
  text += fmt::format("; Theorem 4.1{}: 2/(n (lambda_max + lambda_min)) of {} is {:.6g}",
                      o.batch > 0 ? ", of full batches" : "",
                      plan.options.preconditioned() ? "K S" : "K", from);
  if (to > from) text += fmt::format(" ... {:.6g} (these pairs leave lambda_min open)", to);
  return text;
}

#define MERCER_INSTANTIATE(T)                                                                    \
  template Training<T> train<T>(const TrainingPlan&, const net::Network&, const data::Split&,    \
                                std::vector<T>, const dist::ProcessGrid&, Monitor&);             \
  template std::string rate_text<T>(const TrainingPlan&, const Training<T>&);                    \
  template TrainingCheck check<T>(const Training<T>&, const net::Network&, const data::Dataset&, \
                                  Monitor&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::jobs
