// Which pairs a run still needs, in which order, and when the next Rayleigh-Ritz step is due.

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "krylov_run.hpp"
#include "mercer/spectral/replicated.hpp"

namespace mercer::spectral {
namespace {

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

}  // namespace

void KrylovRun::schedule(double worst) {
  const double before = state_.checked_residual;
  const Index products = state_.products - state_.checked;
  state_.checked = state_.products;
  state_.checked_residual = worst;
  // The next step is due where the residuals, if they fall at the same rate, come near the
  // tolerance; but not before the products have taken a third of the time of a step. A step takes
  // about 13 m^3 flops on R ranks, a column 2 n^2/P.
  const int ranks = K_.comm().size();
  const double column = 2 * static_cast<double>(n_) * static_cast<double>(n_) *
                        replicated_ranks(active(), ranks) / ranks;
  const double M = static_cast<double>(active());
  const auto shortest =
      std::max(sizes_.block, static_cast<Index>(std::min(4 * M * M * M / column, M / 2)));
  // Every step orders the waiting columns anew: more steps where more wait than fit a block.
  const Index longest = std::max(shortest, needed_ / (waiting() > sizes_.block ? 4 : 2));
  Index interval = longest;
  if (before > worst && worst > 0) {
    const double rate = std::log(before / worst) / static_cast<double>(products);
    const double left = std::log(worst / options_.tolerance) / rate;
    interval = std::clamp(static_cast<Index>(std::min(0.8 * left, 1e9)), shortest, longest);
  }
  state_.next_check = state_.products + interval;
}

double KrylovRun::scale() const {
  double top = -std::numeric_limits<double>::infinity(), size = 0;
  const auto see = [&](double value) {
    top = std::max(top, value), size = std::max(size, std::abs(value));
  };
  for (Index i = 0; i < state_.locked; ++i) see(state_.projection(i, i));
  for (const double value : values_) see(value);
  return top > 0 ? top : size > 0 ? size : 1;
}

double KrylovRun::value_of(Index pick) const {
  return pick < state_.locked ? state_.projection(pick, pick) : values_[at(pick - state_.locked)];
}

void KrylovRun::set_needed() {
  limited_ = false;
  if (state_.settled == 0) {
    needed_ = target_ - state_.locked;
    return;
  }
  // Besides locked pairs: all pairs above the least of these, and the next one.
  double least = std::numeric_limits<double>::infinity();
  for (Index i = 0; i < state_.settled; ++i) least = std::min(least, state_.projection(i, i));
  needed_ = 1;
  for (const double value : values_) needed_ += value > least + window();
  needed_ = std::min(needed_, n_ - state_.locked);
  const Index room =
      sizes_.basis == n_ ? n_ : std::max<Index>(0, sizes_.basis - state_.locked - 2 * sizes_.block);
  limited_ = needed_ > room;
  needed_ = std::min(needed_, room);
}

std::vector<double> KrylovRun::values_of_this_run() const {
  std::vector<double> values;
  for (Index i = state_.settled; i < state_.locked + needed_; ++i) values.push_back(value_of(i));
  std::ranges::sort(values, std::greater<>());
  return values;
}

std::vector<Index> KrylovRun::best(Index count) const {
  std::vector<Index> picks(at(state_.locked + std::min(needed_, active())));
  std::iota(picks.begin(), picks.end(), Index{0});
  std::ranges::stable_sort(picks, std::greater<>(), [&](Index i) { return value_of(i); });
  picks.resize(std::min(picks.size(), at(count)));
  return picks;
}

bool KrylovRun::may_lack_copies() const {
  if (state_.multiplied == n_) return false;
  if (limited_) return true;
  const double least = value_of(best(target_).back());
  const auto values = values_of_this_run();
  const auto b = at(sizes_.block);
  for (std::size_t i = 0; i + b <= values.size(); ++i) {
    const double last = values[i + b - 1];
    if (values[i] - last <= window() && last > least + window()) return true;
  }
  return false;
}

}  // namespace mercer::spectral
