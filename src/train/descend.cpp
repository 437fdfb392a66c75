#include "mercer/train/descend.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "descent.hpp"
#include "mercer/comm/together.hpp"
#include "schedule.hpp"
#include "sums.hpp"

namespace mercer::train {
namespace {

template <class T>
void check_sizes(const comm::Communicator& comm, const net::Network& network,
                 const std::vector<RowSet<T>>& sets, const State<T>& state, std::span<const T> w_0,
                 Index rows_of_step, const Directions<T>& directions) {
  const auto p = static_cast<std::size_t>(network.parameters());
  if (sets.empty()) throw InputError("there are no rows to train on");
  if (state.w.size() != p || w_0.size() != p)
    throw InputError("{} parameters and {} initial ones for a network of {}", state.w.size(),
                     w_0.size(), p);
  if (!state.velocity.empty() && state.velocity.size() != p)
    throw InputError("a velocity of {} entries for {} parameters", state.velocity.size(), p);
  if (!state.anchor.empty() && state.anchor.size() != p)
    throw InputError("an anchor of {} entries for {} parameters", state.anchor.size(), p);
  for (const auto* of : {&state.decay, &state.rates})
    if (!of->empty() && of->size() != directions.which().size())
      throw InputError("a state of {} directions in a run of {}", of->size(),
                       directions.which().size());
  const auto traced = directions.which().size();
  for (const Record& record : state.history)
    if (record.directions.size() != traced || record.predicted.size() != traced ||
        record.decay.size() != traced)
      throw InputError("a record of {} directions in a run of {}", record.directions.size(),
                       traced);
  if (!state.squares.empty() && state.squares.size() != 2 * sets.size())
    throw InputError("a state of {} sums of squares for {} sets of rows", state.squares.size(),
                     sets.size());
  const auto projected = static_cast<std::size_t>(network.outputs() * sets[0].S.k());
  if (!state.residual.empty() && state.projection.size() != projected)
    throw InputError("a state of {} projections on S, which has {}", state.projection.size(),
                     projected);
  if (sets.size() > 1 && !directions.empty())
    throw InputError("directions belong to one set of rows, not to {} blocks", sets.size());
  for (const auto& set : sets)
    if (!set.P.identity() && (sets.size() > 1 || !set.S.identity()))
      throw InputError("S on the parameters is of one set of rows, without an S on residuals");
  comm::together(comm, [&] {
    const auto& P = sets[0].P;
    if (P.identity()) return;
    const Index of_P = (P.layout().mirrored ? 2 : 1) * P.layout().size;
    const auto wanted = parameter_layout<T>(comm, network, P.layout().mirrored).entries();
    if (of_P != network.parameters() || P.layout().entries() != wanted)
      throw InputError(
          "S on the parameters is of {} parameters, {} of them on this rank: this network has {} "
          "and {}",
          of_P, P.layout().entries(), network.parameters(), wanted);
  });
  comm::together(comm, [&] {
    for (const auto& set : sets) {
      if (set.n < 1) throw InputError("there are no rows to train on");
      if (set.X.rows() != network.inputs())
        throw InputError("the network takes {} inputs, the rows have {}", network.inputs(),
                         set.X.rows());
      if (set.Y.rows() != network.outputs())
        throw InputError("the network has {} outputs, the targets {} columns", network.outputs(),
                         set.Y.rows());
      const Index of_S = set.joint ? set.rows() * set.Y.rows() : set.rows();
      if (set.Y.cols() != set.rows() || (!set.S.identity() && set.S.vectors().cols() != of_S))
        throw InputError("{} rows of inputs, {} of targets and {} of S", set.rows(), set.Y.cols(),
                         set.S.vectors().cols());
      if (set.joint && (sets.size() > 1 || set.n > rows_of_step))
        throw InputError("an S of all outputs together is of full batches only");
    }
  });
}

/// Whether an S on the parameters is applied, now or (one that is the identity at w_0) when it is
/// computed again.
template <class T>
bool on_parameters(const RowSet<T>& set, const Options& options) {
  return !set.P.identity() || (options.refresh > 0 && set.P.bound().known());
}

template <class T>
Index most_rows(const std::vector<RowSet<T>>& sets) {
  Index most = 0;
  for (const auto& set : sets) most = std::max(most, set.rows());
  return most;
}

}  // namespace

void Options::validate() const {
  const auto require = [](bool ok, const char* field, double value, const char* wanted) {
    if (!ok) throw InputError("`{}` {}: {} is needed", field, value, wanted);
  };
  const auto real = [&](const char* field, double value) {
    require(value >= 0 && std::isfinite(value), field, value, "a finite number >= 0");
  };
  const auto whole = [&](const char* field, Index value) {
    require(value >= 0, field, static_cast<double>(value), "a whole number >= 0");
  };
  whole("steps", steps);
  real("rate", rate);
  require(safety > 0 && safety < 2, "safety", safety, "a number between 0 and 2");
  real("tolerance", tolerance);
  real("loss", loss);
  real("max_seconds", max_seconds);
  real("weight_decay", weight_decay);
  require(momentum >= 0 && momentum < 1, "momentum", momentum, "a number >= 0 and below 1");
  whole("batch", batch);
  whole("residual_refresh", residual_refresh);
  whole("refresh", refresh);
  whole("record_every", record_every);
  whole("checkpoint_every", checkpoint_every);
}

Index Options::pieces(Index n) const {
  return batch > 0 && batch < n ? ceil_div(n, batch) : 1;
}

Index Options::records(Index n) const {
  Index count = 1;  // that of the end
  for (Index step = 0; step < steps; ++step)
    count += record_due(step, record_every, pieces(n)) ? 1 : 0;
  return count;
}

template <class T>
Descent<T>::Descent(const comm::Communicator& comm, const net::Network& network,
                    std::vector<RowSet<T>>& sets, State<T>& state, std::span<const T> w_0,
                    const Options& options, const Directions<T>& directions, const Hooks<T>& hooks,
                    double memory)
    : comm_(comm),
      w_0_(w_0),
      directions_(directions),
      trained_(network.trained()),
      in_halves_(on_parameters(sets[0], options)),
      evaluator_(network, most_rows(sets), memory),
      run_{comm, network, evaluator_, memory, sets, state, options, hooks},
      sets_(sets),
      state_(state),
      options_(options),
      hooks_(hooks),
      g_(state.w.size()),
      sum_(comm, g_, {.overlap = options.overlap, .in_halves = in_halves_ ? &network : nullptr}),
      batches_(make_batches(run_)),
      earlier_seconds_(state.seconds) {
  const bool safe = options.safeguard && options.rate == 0, plain = options.momentum == 0;
  const bool by_epochs = batches_->pieces() > 1 || in_halves_;
  guarded_ = safe && plain && !by_epochs;
  watched_ = safe && by_epochs && sets.size() == 1 && (plain || sets[0].S.identity());
  if (guarded_ || options.path) base_ = state.w;
  if (options.momentum > 0 && state.velocity.empty()) state.velocity.assign(g_.size(), T{0});
  recent_seconds_.reserve(kRecent);
}

/// [G] Algorithm 1; the residual is evaluated after each step.
template <class T>
Outcome Descent<T>::run() {
  start();
  evaluate();  // r = f(X; w) - Y
  judge_epoch();
  std::optional<StopReason> end;
  while (!(end = ended())) {
    renew_preconditioner();
    resume_counting();
    back_propagate();  // g = J^T S r
    update();          // w <- w - eta (g + L (w - w_0))
    evaluate();
    while (!accepted()) {  // again from the same w, with a smaller eta
      update();
      evaluate();
    }
    judge_epoch();
    stop_counting();
  }
  return outcome(*end);
}

template <class T>
void Descent<T>::start() {
  if (state_.rate == 0) set_rate();
  if (state_.rates.empty()) state_.rates = directions_.rates();
  renew_preconditioner();  // if the run was stopped just before a refresh
}

template <class T>
void Descent<T>::evaluate() {
  totals_ = batches_->evaluate();
  if (state_.first_residual < 0) state_.first_residual = std::sqrt(totals_.square);
  state_.seconds = earlier_seconds_ + totals_.seconds;
}

template <class T>
void Descent<T>::back_propagate() {
  const auto seed = batches_->seed();
  batches_->evaluator().gradient(state_.w, batches_->X(), seed, g_, true, sum_.watch());
  if (in_halves_) {
    sum_.reduce();
    sets_[0].P.apply(comm_, g_);
    sum_.gather();
  } else {
    sum_.finish();
  }
  ++state_.step;
  if (!guarded_) {
    if (options_.path) base_ = state_.w;
    return;
  }
  const double L = options_.weight_decay;
  before_ = objective();
  rounding_ = rounding();
  slope_ = sum_over_trained([&](std::size_t i) {
    const double x = static_cast<double>(g_[i]) +
                     (L > 0 ? L * (static_cast<double>(state_.w[i]) - center(i)) : 0);
    return x * x;
  });
  std::swap(base_, state_.w);
  tried_ = true;
}

template <class T>
void Descent<T>::update() {
  if (options_.weight_decay == 0) return move([](std::size_t, T) { return T{0}; });
  const auto L = static_cast<T>(decay_of_step());
  if (options_.decay_to == DecayTo::zero) return move([L](std::size_t, T w) { return L * w; });
  move([L, w_0 = w_0_.data()](std::size_t i, T w) { return L * (w - w_0[i]); });
}

/// w <- w - eta (g + decay(i, w_i)), or the same with momentum, for the layers that are trained.
template <class T>
template <class Decay>
void Descent<T>::move(Decay&& decay) {
  const auto eta = static_cast<T>(state_.rate);
  const auto each_trained = [&](const auto& step) {
    for (const auto& [first, count] : trained_)
      for (Index i = first; i < first + count; ++i) step(static_cast<std::size_t>(i));
  };
  T* w = state_.w.data();
  const T* g = g_.data();
  if (options_.momentum > 0) {
    const auto M = static_cast<T>(options_.momentum);
    T* v = state_.velocity.data();
    each_trained([=](std::size_t i) {
      v[i] = M * v[i] - eta * (g[i] + decay(i, w[i]));
      w[i] += v[i];
    });
  } else {
    const T* base = guarded_ ? base_.data() : w;
    each_trained([=](std::size_t i) { w[i] = base[i] - eta * (g[i] + decay(i, base[i])); });
  }
}

/// Every Options::refresh steps computes the S of every set at w, and then the rate and r by it.
template <class T>
void Descent<T>::renew_preconditioner() {
  if (options_.refresh == 0 || state_.s_version >= state_.step / options_.refresh) return;
  for (std::size_t s = 0; s < sets_.size(); ++s) hooks_.preconditioner(sets_[s], s, state_.w);
  state_.s_version = state_.step / options_.refresh;
  // What rejected epochs left of the automatic rate stays.
  const double share = watched_ && state_.bound > 0 ? state_.rate / state_.bound : 1;
  if (options_.rate == 0) {
    set_rate();
    state_.rate *= share;
  }
  comm::together(comm_, [&] { batches_->prepare(); });
  batches_->evaluate_all();
  batches_->keep_all();
  evaluate();
  state_.anchor.clear();  // its value was that of the old S
  state_.rates = directions_.rates();
  if (!directions_.empty()) {  // predictions start again from here
    state_.start = directions_.measure(comm_, batches_->residual());
    state_.decay.assign(state_.start.size(), 1.0);
  }
  judge_epoch();
}

template <class T>
Outcome descend(const comm::Communicator& comm, const net::Network& network,
                std::vector<RowSet<T>>& sets, State<T>& state, std::span<const T> w_0,
                const Options& options, const Directions<T>& directions, const Hooks<T>& hooks,
                double memory) {
  options.validate();
  const Index rows_of_step = options.batch > 0 ? options.batch : std::numeric_limits<Index>::max();
  check_sizes(comm, network, sets, state, w_0, rows_of_step, directions);
  if (options.refresh > 0 && !hooks.preconditioner)
    throw InputError("`refresh` {}: needs the hook that computes S", options.refresh);
  auto descent = comm::together(comm, [&] {
    return std::make_unique<Descent<T>>(comm, network, sets, state, w_0, options, directions, hooks,
                                        memory);
  });
  return descent->run();
}

#define MERCER_INSTANTIATE(T)                                                         \
  template class Descent<T>;                                                          \
  template Outcome descend<T>(const comm::Communicator&, const net::Network&,         \
                              std::vector<RowSet<T>>&, State<T>&, std::span<const T>, \
                              const Options&, const Directions<T>&, const Hooks<T>&, double);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::train
