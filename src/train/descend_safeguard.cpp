#include <algorithm>
#include <cmath>
#include <limits>

#include "descent.hpp"
#include "mercer/train/rate.hpp"
#include "sums.hpp"

namespace mercer::train {

namespace {

constexpr int kProductsOfABound = 100, kProductsOfAWarning = 5;
constexpr Index kStepsThatDeserveAWarning = 20;

}  // namespace

template <class T>
double Descent<T>::measure_lambda_max(int most) {
  double largest = 0;
  for (const auto& set : sets_) {
    const Bound bound =
        largest_eigenvalue<T>(comm_, evaluator_, state_.w, set, options_.seed, 1e-3, most);
    largest = std::max(largest, bound.lambda_max);
    rate_products_ += bound.products * static_cast<double>(set.n) / static_cast<double>(run_.n());
  }
  return largest;
}

template <class T>
const BatchBound* Descent<T>::batch_bound() const {
  const auto& bound = sets_[0].P.bound();
  const bool stochastic = sets_.size() == 1 && (batches_->pieces() > 1 || in_halves_);
  return stochastic && sets_[0].S.identity() && bound.known() ? &bound : nullptr;
}

template <class T>
typename Descent<T>::Limit Descent<T>::limit_of_rate() const {
  // Noise of batches grows with eta/(1 - M), a full batch oscillates beyond 2 (1 + M)/lambda_max.
  const double M = options_.momentum;
  const double factor = 2 * (batch_bound() != nullptr ? 1 - M : 1 + M);
  if (const auto* bound = batch_bound())
    return {factor / (1 / bound->rate(batch_rows()) + decay_of_step()),
            fmt::format("{:.4g}/(beta + (B - 1) lambda), beta {:.4g}, B {}, lambda {:.4g}", factor,
                        bound->beta, batch_rows(), bound->tail)};
  if (!(state_.lambda_max > 0)) return {};
  return {factor / (state_.lambda_max + options_.weight_decay),
          fmt::format("{:.4g}/lambda_max of J J^T S", factor)};
}

template <class T>
double Descent<T>::automatic_rate() const {
  if (const auto* bound = batch_bound())
    return options_.safety * (1 - options_.momentum) /
           (1 / bound->rate(batch_rows()) + decay_of_step());
  return options_.safety / (state_.lambda_max + options_.weight_decay);
}

template <class T>
void Descent<T>::set_rate() {
  if (options_.rate > 0) {
    state_.rate = options_.rate;
    if (options_.steps >= kStepsThatDeserveAWarning) warn_of_rate();
    return;
  }
  if (const auto* bound = batch_bound()) {
    state_.rate = state_.bound = automatic_rate();
    if (!(state_.bound > 0))
      throw RunError("no rate can be measured: beta = {} (BatchBound)", bound->beta);
    return;
  }
  state_.lambda_max = measure_lambda_max(kProductsOfABound);
  if (!(state_.lambda_max > 0))
    throw RunError(
        "no rate can be measured: J J^T S is zero, the outputs on the training rows do not depend "
        "on the parameters to first order; give `rate`, or start from other parameters");
  state_.rate = state_.bound = automatic_rate();
}

template <class T>
void Descent<T>::warn_of_rate() {
  const bool batches = batches_->pieces() > 1 && sets_.size() == 1;
  if (batch_bound() == nullptr) {
    if (batches && sets_[0].S.identity()) return;  // their limit is above that of all rows
    state_.lambda_max = measure_lambda_max(kProductsOfAWarning);
  }
  const auto limit = limit_of_rate();
  if (limit.rate > 0 && state_.rate > limit.rate)
    say(fmt::format(
        "`rate` {:.3g} is beyond {:.3g} = {} at the start: expect it to diverge; `rate` auto takes "
        "{:.3g}",
        state_.rate, limit.rate, limit.text, automatic_rate()));
}

/// The objective that steps decrease: Phi + L |w - w_0|^2, twice the loss.
template <class T>
double Descent<T>::objective() const {
  const double L = options_.weight_decay;
  if (L == 0) return totals_.weighted;
  return totals_.weighted + L * sum_over_trained([&](std::size_t i) {
                              const double x = static_cast<double>(state_.w[i]) - center(i);
                              return x * x;
                            });
}

/// Estimated rounding error of a difference of two objectives. Outputs of size 1 + |r_0|/sqrt(n c)
/// have errors of some units in the last place (each copy of an antisymmetric network has outputs
/// of size 1, however small f is); they enter with the factor 2 S r, |S r|^2 <= s_max r.(S r),
/// s_max the largest eigenvalue of S. Errors of V^T r are proportional to |r|. L |w - w_0|^2 has
/// those of w.
template <class T>
double Descent<T>::rounding() const {
  const auto& c = sets_[0].S.coefficients();
  const double s_max = c.empty() ? 1 : 1 + std::max(0.0, *std::ranges::max_element(c));
  const double size =
      1 + state_.first_residual / std::sqrt(static_cast<double>(run_.n() * run_.outputs()));
  const double L = options_.weight_decay;
  const double of_w = L > 0 ? L * distance(std::span<const T>(state_.w), w_0_) *
                                  std::sqrt(square_sum(std::span<const T>(state_.w)))
                            : 0;
  return static_cast<double>(std::numeric_limits<T>::epsilon()) *
         (4 * of_w + 16 * size * std::sqrt(s_max * std::max(0.0, totals_.weighted)) +
          4 * totals_.square);
}

/// Tests the step to the trial point w for sufficient decrease and sets the next eta. Returns false
/// where the step is rejected.
template <class T>
bool Descent<T>::accepted() {
  const double eta = state_.rate;
  if (tried_) {
    using Verdict = Safeguard::Verdict;
    const double promised = eta * slope_ * (2 - eta * (state_.lambda_max + options_.weight_decay));
    // With weight decay r may grow.
    const double most = state_.first_residual *
                        (options_.weight_decay > 0 ? kDivergence : Safeguard::kLargestResidual);
    const bool within = totals_.square <= most * most;  // false for NaN
    const Verdict verdict =
        within ? Safeguard::judge(promised, before_ - objective(), rounding_) : Verdict::taken_back;
    state_.rate = Safeguard::next_rate(verdict, eta, state_.bound);
    if (state_.rate < eta && !left_linear_regime_) {
      left_linear_regime_ = true;
      say(
          fmt::format("the network has left the linear regime at step {}: the safeguard lowers the "
                      "rate from {:.3g} to {:.3g}",
                      state_.step, eta, state_.rate));
    }
    const bool floor = !(eta > Safeguard::kFloor * state_.bound);
    if (verdict == Verdict::taken_back && floor && !at_floor_) {
      at_floor_ = true;
      say(fmt::format(
          "step {} does not decrease {} at any rate, as far as rounding tells: this is its "
          "minimum, or{} a wider network would go on",
          state_.step,
          options_.weight_decay > 0 ? "r.(S r) + L |w - w_0|^2, the objective," : "|S^(1/2) r|",
          sets_[0].S.identity() ? "" : " a smaller `top` or"));
    }
    if (verdict == Verdict::taken_back && !floor) {
      ++state_.rejected;
      return false;
    }
    tried_ = false;
  }
  const double share = 1.0 / static_cast<double>(batches_->pieces());
  state_.time += share * eta;
  if (options_.path) state_.path += distance<T>(state_.w, base_);
  for (std::size_t i = 0; i < state_.decay.size(); ++i)
    state_.decay[i] *= 1 - share * eta * state_.rates[i];
  return true;
}

/// The safeguard by epochs: tests the objective where r of all rows was evaluated, or where |r|
/// exceeded kDivergence |r_0|.
template <class T>
void Descent<T>::judge_epoch() {
  if (!watched_) return;
  const double r_0 = state_.first_residual, most = r_0 * Safeguard::kLargestResidual;
  const bool blown = !(totals_.square <= kDivergence * kDivergence * r_0 * r_0);
  const Index next = state_.anchor_step + (sets_[0].S.identity() ? batches_->pieces() : 1);
  if (!state_.anchor.empty() && !blown && (!totals_.exact || state_.step < next)) return;
  const bool within = totals_.square <= most * most || options_.weight_decay > 0;
  judge_value(objective(), blown || !within);
}

template <class T>
void Descent<T>::judge_value(double value, bool blown) {
  const bool first = state_.anchor.empty();
  const bool least = first || value <= state_.anchor_value + rounding();
  const bool on_residuals = !sets_[0].S.identity();
  const double most = state_.anchor_value * (on_residuals ? 1 : Safeguard::kMostRise);
  const bool floor = !(state_.rate > Safeguard::kFloor * state_.bound);
  const bool risen = blown || !(least || value <= most);  // true for NaN
  if (!first && risen && !floor) return take_back_epoch();
  state_.anchor_step = state_.step;
  if (least || risen) {  // at the floor w goes on from where it is
    if (!first && !risen)
      state_.rate = std::min(state_.bound, Safeguard::kEpochGrowth * state_.rate);
    state_.anchor = state_.w;
    state_.anchor_value = value;
    state_.stalled = 0;
  } else if (value <= state_.anchor_value * Safeguard::kNoise) {
    state_.stalled = 0;
  } else if (++state_.stalled >= Safeguard::kStalledEpochs) {
    state_.rate = std::max(Safeguard::kFloor * state_.bound, Safeguard::kShrink * state_.rate);
    state_.stalled = 0;
  }
}

template <class T>
void Descent<T>::take_back_epoch() {
  ++state_.rejected;
  state_.rate *= Safeguard::kShrink;
  state_.stalled = 0;
  if (!left_linear_regime_) {
    left_linear_regime_ = true;
    say(
        fmt::format("the objective has grown at step {}: the safeguard returns to the best w and "
                    "lowers the rate to {:.3g}",
                    state_.step, state_.rate));
  }
  if (options_.path) state_.path += distance<T>(state_.w, state_.anchor);
  state_.w = state_.anchor;
  std::ranges::fill(state_.velocity, T{0});
  state_.anchor_step = state_.step;
  batches_->evaluate_all();
  batches_->keep_all();
  evaluate();
}

template class Descent<double>;
template class Descent<float>;

}  // namespace mercer::train
