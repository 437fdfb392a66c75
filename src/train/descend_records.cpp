#include <algorithm>
#include <cmath>

#include "descent.hpp"
#include "schedule.hpp"
#include "sums.hpp"

namespace mercer::train {

std::string name(Stochastic stochastic) {
  switch (stochastic) {
    case Stochastic::parameters:
      return "parameters";
    case Stochastic::rows:
      return "rows";
    case Stochastic::block:
      return "block";
  }
  return "";
}

std::string name(DecayTo decay_to) {
  return decay_to == DecayTo::start ? "start" : "zero";
}

std::string name(StopReason stop_reason) {
  switch (stop_reason) {
    case StopReason::converged:
      return "converged";
    case StopReason::loss_reached:
      return "loss reached";
    case StopReason::all_steps:
      return "all steps done";
    case StopReason::out_of_time:
      return "out of time";
    case StopReason::interrupted:
      return "interrupted";
  }
  return "";
}

template <class T>
void Descent<T>::say(const std::string& line) const {
  if (hooks_.say && comm_.root()) hooks_.say(line);
}

/// Throws unless |r| is finite and at most kDivergence |r_0|.
template <class T>
void Descent<T>::check_divergence() const {
  const double r = std::sqrt(totals_.square), r_0 = state_.first_residual;
  const bool finite = std::isfinite(r);
  if (state_.step == 0 && !finite)
    throw RunError(
        "|r| is {} at the start: the initial outputs or the targets are not finite, or so large "
        "that their squares are not",
        r);
  if (finite && (r <= kDivergence * r_0 || r_0 == 0)) return;
  const std::string grown =
      finite ? fmt::format("|r| = {:.3g} |r_0|", r / r_0) : std::string("|r| is not finite");
  const auto limit = limit_of_rate();
  std::string why = "no limit was measured";
  if (limit.rate > 0)
    why = fmt::format("{} the limit {:.3g} = {} measured {}",
                      state_.rate > limit.rate ? "beyond"
                      : options_.batch > 0 && !sets_[0].S.identity()
                          ? "noise of the batches grows in the modes that S damps (`stochastic` "
                            "parameters damps it), below"
                          : "the network has left the linear regime below",
                      limit.rate, limit.text,
                      state_.s_version > 0 ? "with the last S" : "at the start");
  throw RunError("diverged at step {} ({}): {} {:.3g}: {}; give a smaller `rate` or `safety`",
                 state_.step, grown, options_.rate > 0 ? "`rate`" : "the automatic rate",
                 state_.rate, why);
}

/// The stop reason, if the residual in totals_ is small enough.
template <class T>
std::optional<StopReason> Descent<T>::target() const {
  if (options_.tolerance > 0 &&
      std::sqrt(totals_.square) <= options_.tolerance * state_.first_residual)
    return StopReason::converged;
  const auto entries = static_cast<double>(run_.n() * run_.outputs());
  if (options_.loss > 0 && totals_.square / entries <= options_.loss)
    return StopReason::loss_reached;
  return std::nullopt;
}

template <class T>
std::optional<StopReason> Descent<T>::stop_reason() {
  if (auto end = target()) {
    if (batches_->pieces() == 1) return end;
    totals_ = batches_->evaluate_all();  // totals_ was of the stale residual
    if ((end = target())) return end;
    batches_->keep_all();
    evaluate();
  }
  if (state_.step >= options_.steps) return StopReason::all_steps;
  if (totals_.interrupted) return StopReason::interrupted;
  if (options_.max_seconds > 0 && totals_.seconds >= options_.max_seconds)
    return StopReason::out_of_time;
  return std::nullopt;
}

template <class T>
std::optional<StopReason> Descent<T>::ended() {
  check_divergence();
  const auto end = stop_reason();
  const bool interrupted = end == StopReason::interrupted;
  const bool records =
      !interrupted && (end || record_due(state_.step, options_.record_every, batches_->pieces()));
  if (records && !totals_.exact) {
    totals_ = batches_->evaluate_all();
    record();
    if (!end) evaluate();  // what the next step needs
  } else if (records) {
    record();
  }
  const bool due =
      options_.checkpoint_every > 0 && steps_ > 0 && state_.step % options_.checkpoint_every == 0;
  if (hooks_.checkpoint && (due || interrupted || end == StopReason::out_of_time))
    hooks_.checkpoint(state_);
  if (hooks_.progress) hooks_.progress(state_);
  return end;
}

template <class T>
std::vector<double> Descent<T>::directions() {
  auto along = directions_.measure(comm_, batches_->residual());
  if (state_.decay.empty()) {  // the start of the run
    state_.start = along;
    state_.decay.assign(along.size(), 1.0);
  }
  return along;
}

template <class T>
void Descent<T>::record() {
  if (!state_.history.empty() && state_.history.back().step == state_.step) return;
  const double r_0 = state_.first_residual;
  Record record;
  record.step = state_.step;
  record.loss = totals_.square / static_cast<double>(run_.n() * run_.outputs());
  record.loss_preconditioned = totals_.weighted / 2;
  record.residual = r_0 > 0 ? std::sqrt(totals_.square) / r_0 : 0;
  record.rate = state_.rate;
  record.distance = distance(std::span<const T>(state_.w), w_0_);
  record.time = state_.time;
  if (options_.path) record.path = state_.path;
  record.seconds = state_.seconds;
  if (!directions_.empty()) record.directions = directions();
  const bool known = options_.momentum == 0 && options_.weight_decay == 0;
  for (std::size_t i = 0; i < state_.start.size(); ++i) {
    record.decay.push_back(known ? state_.decay[i] : NAN);
    record.predicted.push_back(state_.start[i] * std::abs(record.decay[i]));
  }
  if (hooks_.observe) hooks_.observe(state_.w, record);
  state_.history.push_back(std::move(record));
}

template <class T>
void Descent<T>::resume_counting() {
  step_clock_.reset();
  bytes_mark_ = comm::bytes_sent();
}

template <class T>
void Descent<T>::stop_counting() {
  const double seconds = step_clock_.seconds();
  all_seconds_ += seconds;
  bytes_ += comm::bytes_sent() - bytes_mark_;
  if (recent_seconds_.size() < kRecent)
    recent_seconds_.push_back(seconds);
  else
    recent_seconds_[static_cast<std::size_t>(steps_) % kRecent] = seconds;
  ++steps_;
}

template <class T>
Outcome Descent<T>::outcome(StopReason stop_reason) const {
  Outcome outcome;
  outcome.stop_reason = stop_reason;
  outcome.rate_products = rate_products_;
  if (steps_ == 0) return outcome;
  auto seconds = recent_seconds_;
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  outcome.seconds_per_step = *middle;
  outcome.sum_share = all_seconds_ > 0 ? sum_.waiting() / all_seconds_ : 0;
  outcome.bytes_per_step = static_cast<double>(bytes_) / static_cast<double>(steps_);
  return outcome;
}

template class Descent<double>;
template class Descent<float>;

}  // namespace mercer::train
