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
#include "training_parts.hpp"

namespace mercer::jobs {
namespace {

/// Columns `which` of A.
template <class T>
Matrix<T> converted(MatrixView<const double> A, const std::vector<Index>& which) {
  Matrix<T> B(A.rows, std::ssize(which));
  for (Index j = 0; j < B.cols(); ++j)
    for (Index i = 0; i < A.rows; ++i)
      B(i, j) = static_cast<T>(A(i, which[static_cast<std::size_t>(j)]));
  return B;
}

/// The local rows that have targets.
std::vector<Index> known_rows(const data::Dataset& set) {
  std::vector<Index> which;
  for (Index i = 0; i < set.inputs.local_rows(); ++i)
    if (set.known(i)) which.push_back(i);
  return which;
}

/// Mean of r^2 over the outputs of the test rows that have targets, in the precision of training.
template <class T>
class TestLoss {
 public:
  TestLoss(const net::Network& network, const data::Dataset& test)
      : comm_(test.inputs.comm()),
        evaluator_(network, test.inputs.local_rows(), kTestMemory),
        X_(converted<T>(test.inputs.transposed(), known_rows(test))),
        Y_(converted<T>(test.targets.transposed(), known_rows(test))),
        F_(test.outputs(), X_.cols()),
        count_(static_cast<double>(test.known_rows * test.outputs())) {}

  /// Collective.
  double operator()(std::span<const T> w) {
    evaluator_.outputs(w, X_.view(), F_.view());
    double sum = 0;
    for (Index j = 0; j < F_.cols(); ++j)
      for (Index i = 0; i < F_.rows(); ++i) {
        const double r = static_cast<double>(F_(i, j)) - static_cast<double>(Y_(i, j));
        sum += r * r;
      }
    return comm_.all_reduce(sum, comm::Op::sum) / count_;
  }

 private:
  comm::Communicator comm_;
  net::Evaluator<T> evaluator_;
  Matrix<T> X_, Y_, F_;
  double count_;
};

/// |K_t - K_0|_F/|K_0|_F of the network's tangent kernel on the training rows. Memory: K_0, and K_t
/// while it is compared. Calls are collective.
class KernelChange {
 public:
  KernelChange(const net::Network& network, std::vector<double> w_0,
               const dist::RowBlock<double>& X, const dist::ProcessGrid& grid, Index nb)
      : network_(network), X_(X), grid_(grid), nb_(nb), K_0_(assemble(std::move(w_0))) {}

  /// Collective; assembles K_t.
  double measure(std::vector<double> w) {
    auto K = assemble(std::move(w));
    for (Index j = 0; j < K.local_cols(); ++j)
      for (Index i = 0; i < K.local_rows(); ++i)
        K(LocalIndex{i}, LocalIndex{j}) -= K_0_(LocalIndex{i}, LocalIndex{j});
    return la::frobenius_norm(K) / la::frobenius_norm(K_0_);
  }
  Index assembled() const { return assembled_; }  ///< number of matrices so far

 private:
  dist::DistMatrix<double> assemble(std::vector<double> w) {
    ++assembled_;
    return gram::assemble<double>(*net::empirical_kernel(network_, std::move(w)), X_, grid_,
                                  {.nb = nb_});
  }
  const net::Network& network_;
  const dist::RowBlock<double>& X_;
  const dist::ProcessGrid& grid_;
  Index nb_, assembled_ = 0;
  dist::DistMatrix<double> K_0_;
};

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
  TrainingPairs<T> pairs(plan, network, sets.train, grid, monitor);
  auto rows = pairs.rows();
  if (options.resume) resume(plan, comm, network, state, rows, monitor);
  if (const Index epoch = state.step / std::ssize(rows); options.new_blocks && epoch > 0)
    pairs.draw_blocks(rows, epoch);
  pairs.prepare(rows, !options.resume, w_0, training);
  training.first_step = state.step;

  train::Hooks<T> hooks;
  std::optional<TestLoss<T>> test_loss;
  if (sets.test.has_value() && sets.test->outputs() > 0) test_loss.emplace(network, *sets.test);
  std::optional<KernelChange> kernel_change;
  if (options.trace_kernel)
    kernel_change.emplace(
        network, std::vector<double>(w_0.begin(), w_0.end()), sets.train.inputs, grid,
        plan.nb_asked > 0 ? plan.nb_asked
                          : spectral::recommended_block(sets.train.rows(), grid.shape()));
  hooks.observe = [&](std::span<const T> w, train::Record& record) {
    if (test_loss.has_value()) record.loss_test = (*test_loss)(w);
    if (kernel_change.has_value())
      record.kernel_change = kernel_change->measure({w.begin(), w.end()});
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
  if (kernel_change.has_value())
    training.flops += plan.flops.change * static_cast<double>(kernel_change->assembled());
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

namespace {

std::vector<double> column(const std::vector<train::Record>& history,
                           double train::Record::*value) {
  std::vector<double> values;
  for (const auto& record : history) values.push_back(record.*value);
  return values;
}

}  // namespace

void write_history(io::Hdf5File& file, const comm::Communicator& comm,
                   const std::vector<train::Record>& history, std::span<const Index> directions) {
  using train::Record;
  std::vector<double> steps;
  for (const Record& record : history) steps.push_back(static_cast<double>(record.step));
  file.write("/steps", steps);
  file.write("/loss_train", column(history, &Record::loss));
  file.write("/loss_preconditioned", column(history, &Record::loss_preconditioned));
  file.write("/residual", column(history, &Record::residual));
  file.write("/rate", column(history, &Record::rate));
  file.write("/distance", column(history, &Record::distance));
  file.write("/seconds", column(history, &Record::seconds));
  if (history.empty()) return;
  if (history.front().loss_test >= 0) file.write("/loss_test", column(history, &Record::loss_test));
  if (history.front().kernel_change >= 0)
    file.write("/kernel_change", column(history, &Record::kernel_change));
  if (directions.empty()) return;
  file.write("/directions", std::vector<double>(directions.begin(), directions.end()));
  const auto table = [&](const char* name, std::vector<double> Record::*values) {
    dist::RowBlock<double> rows(comm, std::ssize(history), std::ssize(directions));
    for (Index i = 0; i < rows.local_rows(); ++i)
      std::ranges::copy(history[static_cast<std::size_t>(rows.first_row() + i)].*values,
                        rows.row(i).begin());
    file.write(name, rows);
  };
  table("/residual_by_eigendirection", &Record::directions);
  table("/residual_predicted", &Record::predicted);
}

template <class T>
void write(io::Hdf5File& file, const TrainingPlan& plan, const Training<T>& training,
           const net::Network& network, const data::Split& sets, const Predictions& predictions) {
  file.attribute("/", "n", sets.train.rows());
  file.attribute("/", "data_hash", sets.train.hash != 0 ? hash_text(sets.train.hash) : "none");
  file.attribute("/", "network", network.text());
  file.attribute("/", "precondition", name(plan.options.precondition));
  write_history(file, file.comm(), training.state.history, plan.options.directions);
  net::write<T>(file, network, training.state.w);
  data::write(file, sets.preparation);
  if (!sets.test.has_value() || predictions.values.rows() == 0) return;
  write_errors(file, "/score", {{.scores = predictions.scores}}, sets.preparation);
  write_predictions(file, *sets.test, sets.preparation, predictions);
}

void write_csv(const comm::Communicator& comm, const std::string& path,
               const std::vector<train::Record>& history) {
  std::string text = "step,loss_train,residual,loss_test,rate,distance,seconds\n";
  for (const train::Record& r : history)
    text += fmt::format("{},{:.10g},{:.10g},{},{:.10g},{:.10g},{:.6g}\n", r.step, r.loss,
                        r.residual, r.loss_test < 0 ? "" : fmt::format("{:.10g}", r.loss_test),
                        r.rate, r.distance, r.seconds);
  report::write_text(comm, path, text);
}

#define MERCER_INSTANTIATE(T)                                                                    \
  template Training<T> train<T>(const TrainingPlan&, const net::Network&, const data::Split&,    \
                                std::vector<T>, const dist::ProcessGrid&, Monitor&);             \
  template std::string rate_text<T>(const TrainingPlan&, const Training<T>&);                    \
  template TrainingCheck check<T>(const Training<T>&, const net::Network&, const data::Dataset&, \
                                  Monitor&);                                                     \
  template void write<T>(io::Hdf5File&, const TrainingPlan&, const Training<T>&,                 \
                         const net::Network&, const data::Split&, const Predictions&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::jobs
