#include "shared/train_output.hpp"

#include <cmath>

#include "mercer/jobs/pictures.hpp"

namespace mercer::drivers {

using train::Record;

namespace {

constexpr std::size_t kLines = 20;  // at most, in the table

}  // namespace

void print_history(Session& session, const std::vector<Record>& history,
                   const data::Preparation& preparation) {
  const bool test = !history.empty() && history.front().loss_test >= 0;
  session.say("\nlosses are means of r^2, r in {}", jobs::prepared_unit(preparation));
  session.say("{:>10}  {:>12}  {:>12}{}  {:>12}  {:>10}", "step", "loss", "|r|/|r_0|",
              test ? "     test loss" : "", "eta", "seconds");
  for (const std::size_t i : jobs::thinned(history.size(), kLines)) {
    const Record& r = history[i];
    session.say("{:>10}  {:>12.5e}  {:>12.5e}{}  {:>12.5e}  {:>10.2f}", r.step, r.loss, r.residual,
                test ? fmt::format("  {:>12.5e}", r.loss_test) : "", r.rate, r.seconds);
  }
}

namespace {

template <class T>
void print_drift(const jobs::TrainingPlan& plan, const jobs::Training<T>& training,
                 Session& session) {
  const auto& last = training.state.history.back().tracked;
  const auto& k = *training.kernel_start;
  session.say(
      "K_0     |K_0 - K_inf| {:.4g} (Frobenius), {:.4g} (operator norm), of K_inf's {:.4g} and "
      "{:.4g}",
      k.distance_frobenius, k.distance_operator, k.limit_frobenius, k.limit_operator);
  const bool with_S = plan.options.preconditioned() && !std::isnan(last[jobs::kDriftS]);
  session.say("K_t     |K_t - K_0| {:.4g} (Frobenius), {:.4g} (operator norm) at the end{}",
              last[jobs::kDriftFrobenius], last[jobs::kDriftOperator],
              with_S ? fmt::format("; |(K_t - K_0) S| {:.4g}", last[jobs::kDriftS]) : "");
  auto& result = session.record().result["track"];
  result["limit_frobenius"] = k.limit_frobenius;
  result["limit_operator"] = k.limit_operator;
  result["distance_frobenius"] = k.distance_frobenius;
  result["distance_operator"] = k.distance_operator;
  result["kernel_frobenius"] = last[jobs::kDriftFrobenius];
  result["kernel_operator"] = last[jobs::kDriftOperator];
  result["kernel_S"] = last[jobs::kDriftS];
}

template <class T>
void print_minimum(const jobs::TrainingPlan& plan, const jobs::Training<T>& training,
                   Session& session) {
  const auto& history = training.state.history;
  double least = history.back().tracked[jobs::kSmallest];
  for (const auto& record : history)
    if (!std::isnan(least) && !(record.tracked[jobs::kSmallest] >= least))
      least = record.tracked[jobs::kSmallest];
  const double of_limit = training.kernel_start->limit_smallest;
  session.say("minimum lambda_min(K_t) {:.4g} at the least of the records; of K_inf {:.4g}", least,
              of_limit);
  auto& result = session.record().result["track"];
  result["minimum"] = least;
  result["limit_minimum"] = of_limit;
  const auto bound = jobs::loss_bound(plan, training);
  if (!bound.not_for.empty()) {
    session.say("bound   exp(-2 n int lambda_min) is of {}, which this run is not", bound.not_for);
    return;
  }
  session.say("bound   loss <= {:.4g} by lambda_min(K_t) at the end, measured {:.4g}",
              bound.loss.back(), history.back().loss);
  session.say(
      "        the loss is above it at {} of {} records; eta > 1/lambda_max(J J^T), for which it "
      "is not made, at {}",
      bound.above, bound.loss.size(), bound.fast);
  result["loss_bound"] = bound.loss.back();
  result["above_bound"] = bound.above;
  result["above_rate"] = bound.fast;
}

}  // namespace

template <class T>
void print_track(const jobs::TrainingPlan& plan, const jobs::Training<T>& training,
                 Session& session) {
  const auto& track = plan.options.track;
  if (track.kernel) print_drift(plan, training, session);
  if (track.minimum) print_minimum(plan, training, session);
  const auto &first = training.state.history.front(), &last = training.state.history.back();
  auto& result = session.record().result;
  if (track.path) {
    session.say("path    {:.4g}, from the start to the end {:.4g}", last.path, last.distance);
    result["track"]["path"] = last.path;
  }
  if (!track.alignment) return;
  session.say("target  alignment of K_t {:.4f} at the start, {:.4f} at the end",
              first.tracked[jobs::kAlignment], last.tracked[jobs::kAlignment]);
  result["track"]["alignment_start"] = first.tracked[jobs::kAlignment];
  result["track"]["alignment"] = last.tracked[jobs::kAlignment];
}

void print_functions(const jobs::FunctionTrace& trace, const std::vector<Record>& history,
                     const data::Preparation& preparation, Session& session) {
  const auto p = jobs::projections(trace, history);
  const Index end = p.measured.rows() - 1;
  session.say(
      "\ntest residual on eigenfunctions of K, {} rows, in {}; at the end, t = n sum eta = {:.6g}",
      trace.test_rows, jobs::prepared_unit(preparation), p.time.back());
  session.say("{:>12}  {:>12}  {:>12}  {:>12}  {:>12}  {:>12}", "i", "sigma_i", "|<r_0,phi>|",
              "|<r_t,phi>|", "theory", "largest off");
  auto& result = session.record().result["eigenfunctions"];
  for (const std::size_t place : jobs::thinned(trace.spaces.size(), kLines)) {
    const auto s = static_cast<Index>(place);
    const auto& space = trace.spaces[place];
    const auto first = static_cast<std::size_t>(space.first);
    const Index i = trace.index[first];
    double off = 0;  // of P_k (r_t - e^(-T t) r_0), over the records
    for (Index r = 0; r <= end; ++r)
      if (!std::isnan(off) && !(p.deviation(r, s) <= off)) off = p.deviation(r, s);
    session.say("{:>12}  {:>12.5e}  {:>12.5e}  {:>12.5e}  {:>12.5e}  {:>12.5e}",
                space.size > 1 ? fmt::format("{}-{}", i, i + space.size - 1) : fmt::format("{}", i),
                trace.rates[first], p.measured(0, s), p.measured(end, s), p.predicted(end, s),
                std::sqrt(off));
    result["spaces"].push_back({{"first", i},
                                {"size", space.size},
                                {"rate", trace.rates[first]},
                                {"start", p.measured(0, s)},
                                {"end", p.measured(end, s)},
                                {"predicted", p.predicted(end, s)},
                                {"largest_deviation", std::sqrt(off)}});
  }
  session.say(
      "largest off: |P_k (r_t - e^(-Tt) r_0)| over the records, P_k on the functions so far; "
      "its square is at most");
  session.say(
      "epsilon [(1 - e^(-sigma_k t))/sigma_k]^2 with epsilon = {:.4g} (step {}, function {})",
      p.epsilon, p.epsilon_step,
      trace.index[static_cast<std::size_t>(
          trace.spaces[static_cast<std::size_t>(p.epsilon_space)].first)]);
  session.say("theory: what the steps leave of |<r_0,phi>|, |(1 - eta n sigma_i)^T|{}",
              std::isnan(p.epsilon) ? "; none with momentum, weight decay or other kernels" : "");
  if (trace.theorem_not_for.empty())
    session.say(
        "the theorem's 4 |f*|^2 |K - K_0|^2 = {:.4g} in place of epsilon: |f*| the largest |r_0| "
        "of "
        "a row, |K - K_0|^2 = {:.4g} +- {:.1g} over pairs of {} rows",
        p.theory, trace.kernel_difference, trace.kernel_difference_error, trace.pair_rows);
  else
    session.say("the theorem's 4 |f*|^2 |K - K_0|^2 is for {}, which this run is not",
                trace.theorem_not_for);
  result["epsilon"] = p.epsilon;
  result["theorem"] = p.theory;
  result["kernel_difference"] = trace.kernel_difference;
  result["kernel_difference_error"] = trace.kernel_difference_error;
}

template void print_track<double>(const jobs::TrainingPlan&, const jobs::Training<double>&,
                                  Session&);
template void print_track<float>(const jobs::TrainingPlan&, const jobs::Training<float>&, Session&);

void print_test(Session& session, const data::Dataset& test, const data::Preparation& preparation,
                const jobs::Predictions& predictions) {
  if (predictions.scores.known())
    session.say("test    {}", jobs::text(predictions.scores, preparation));
  print_predictions(session, test, predictions);
}

}  // namespace mercer::drivers
