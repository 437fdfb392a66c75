#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "mercer/base/error.hpp"
#include "mercer/krr/fit.hpp"

namespace mercer::krr {
namespace {

constexpr Index kGridRidges = 41;
constexpr double kSumError = 1e-9;
constexpr double kLogStep = 1e-3;       // accuracy of log G after golden section
constexpr double kLeastUnfitted = 0.1;  // share of the modes over which GCV is a mean
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Where the score without rounding can lie, given the computed score = exact (1 +- error).
struct Interval {
  Interval(double score, double error)
      : low(std::isfinite(score) ? score / (1 + error) : kInfinity),
        high(std::isfinite(score) && error < 1 ? score / (1 - error) : kInfinity) {}
  bool certainly_above(const Interval& other) const { return low > other.high; }
  double low, high;
};

std::vector<Interval> intervals(std::span<const double> scores, std::span<const double> errors) {
  std::vector<Interval> result;
  for (std::size_t r = 0; r < scores.size(); ++r) result.emplace_back(scores[r], errors[r]);
  return result;
}

double least_high(std::span<const Interval> intervals) {
  double least = kInfinity;
  for (const Interval& interval : intervals) least = std::min(least, interval.high);
  return least;
}

/// Golden section for the least at(x) in a <= x <= b, to kLogStep. Where the intervals do not
/// decide, the larger x wins.
template <class F>
double golden_section(double a, double b, F&& at) {
  const double shrink = 1 / std::numbers::phi;
  double x = b - shrink * (b - a), y = a + shrink * (b - a);
  Interval at_x = at(x), at_y = at(y);
  while (b - a > kLogStep) {
    if (at_y.certainly_above(at_x)) {
      b = y, y = x, at_y = at_x;
      x = b - shrink * (b - a), at_x = at(x);
    } else {
      a = x, x = y, at_x = at_y;
      y = a + shrink * (b - a), at_y = at(y);
    }
  }
  return (a + b) / 2;
}

}  // namespace

std::vector<double> ridge_grid(double mean_diagonal) {
  std::vector<double> ridges(static_cast<std::size_t>(kGridRidges));
  for (std::size_t r = 0; r < ridges.size(); ++r)
    ridges[r] =
        mean_diagonal * std::pow(10.0, -10 + 11 * static_cast<double>(r) / (kGridRidges - 1));
  return ridges;
}

std::size_t best_ridge(std::span<const double> ridges, std::span<const double> scores,
                       std::span<const double> errors) {
  const auto s = intervals(scores, errors);
  const double least = least_high(s);
  if (!std::isfinite(least)) {
    const auto [first, last] = std::minmax_element(ridges.begin(), ridges.end());
    throw RunError("no ridge between {:.2g} and {:.2g} has a finite score", *first, *last);
  }
  std::size_t best = s.size();
  for (std::size_t r = 0; r < s.size(); ++r)
    if (s[r].low <= least && (best == s.size() || ridges[r] > ridges[best])) best = r;
  return best;
}

std::vector<GradientFlow> time_grid(const GradientFlow& like, double largest, double mean) {
  const double first = 0.1 / largest, last = 1e10 / mean;
  const auto count = static_cast<int>(std::ceil(8 * std::log10(last / first)));
  std::vector<GradientFlow> flows;
  for (int q = 0; q <= count; ++q) {
    GradientFlow flow = like;
    flow.time = first * std::pow(last / first, static_cast<double>(q) / count);
    if (flow.step > 0) flow.time = std::max(1.0, flow.steps()) * flow.step;
    if (flows.empty() || flow.time > flows.back().time) flows.push_back(flow);
  }
  return flows;
}

std::size_t best_time(std::span<const GradientFlow> flows, std::span<const double> scores,
                      std::span<const double> errors) {
  const auto s = intervals(scores, errors);
  const double least = least_high(s);
  if (!std::isfinite(least)) throw RunError("no training time has a finite score");
  std::size_t best = s.size();
  for (std::size_t r = 0; r < s.size(); ++r)
    if (s[r].low <= least && (best == s.size() || flows[r].time < flows[best].time)) best = r;
  return best;
}

template <class T>
double SpectralPath<T>::mean_diagonal() const {
  return std::reduce(spectrum_.g.begin(), spectrum_.g.end()) / static_cast<double>(Y_.rows());
}

namespace {

template <class T>
double eigenvalue_error(const msk::ModifiedSpectrum& spectrum) {
  return static_cast<double>(std::numeric_limits<T>::epsilon()) *
         std::max(*std::max_element(spectrum.lambda.begin(), spectrum.lambda.end()),
                  *std::max_element(spectrum.g.begin(), spectrum.g.end()));
}

}  // namespace

template <class T>
std::vector<double> SpectralPath<T>::rounding(Score score,
                                              std::span<const GradientFlow> flows) const {
  const double eta = eigenvalue_error<T>(spectrum_);
  const double least = *std::min_element(spectrum_.g.begin(), spectrum_.g.end());
  std::vector<double> errors;
  for (const GradientFlow& flow : flows) {
    const double x = std::max(0.0, least + flow.ridge);
    errors.push_back(kSumError + (score == Score::gcv ? 4 : 2) * eta * std::min(flow.time, 1 / x));
  }
  return errors;
}

template <class T>
double SpectralPath<T>::unfitted(const GradientFlow& flow) const {
  double sum = 0, squares = 0;
  for (const double g : spectrum_.g) {
    const double u = flow.residual(g);
    sum += u;
    squares += u * u;
  }
  return squares > 0 ? sum * sum / squares : 0;
}

template <class T>
typename SpectralPath<T>::TimeSelection SpectralPath<T>::select_time(
    Score score, const GradientFlow& like) const {
  const auto flows =
      time_grid(like, *std::max_element(spectrum_.g.begin(), spectrum_.g.end()), mean_diagonal());
  auto found = score == Score::gcv ? gcv(flows) : leave_one_out(flows);
  for (std::size_t r = 0; score == Score::gcv && r < flows.size(); ++r)
    if (unfitted(flows[r]) < kLeastUnfitted * static_cast<double>(Y_.rows())) found[r] = kInfinity;
  const auto errors = rounding(score, flows);
  const std::size_t best = best_time(flows, found, errors);
  TimeSelection selection{flows[best], Edge::none, flows.front().time, flows.back().time,
                          std::ssize(flows)};
  const auto s = intervals(found, errors);
  std::size_t tied = best;  // the longest of the adjacent times that tie with the best
  while (tied + 1 < s.size() && s[tied + 1].low <= least_high(s)) ++tied;
  if (best == 0)
    selection.edge = Edge::smallest;
  else if (tied + 1 == s.size())
    selection.edge = Edge::largest;
  return selection;
}

template <class T>
std::vector<double> SpectralPath<T>::rounding(Score score, std::span<const double> ridges) const {
  const double eta = eigenvalue_error<T>(spectrum_);
  std::vector<double> errors;
  const std::vector<double> ones(ratio_.size(), 1.0);
  // Relative errors of B and tr A^-1 together (r = 1), or of alpha and tr P (r = g/lambda).
  const auto relative = [&](double ridge, const std::vector<double>& r) {
    double norm2 = 0, next2 = 0, trace = 0, trace2 = 0;  // |B|^2, |A^-1 B|^2, tr A^-1, tr A^-2
    for (std::size_t i = 0; i < energy_.size(); ++i) {
      const double q = 1 / (spectrum_.g[i] + ridge), p = r[i] * q;
      norm2 += p * p * energy_[i];
      next2 += p * p * q * q * energy_[i];
      trace += p;
      trace2 += p * q;
    }
    return eta * ((norm2 > 0 ? std::sqrt(next2 / norm2) : 0) + (trace > 0 ? trace2 / trace : 0));
  };
  for (const double ridge : ridges) {
    double error = relative(ridge, ones);
    if (score == Score::gcv)
      error *= 2;
    else if (!plain_)
      error = std::max(error, relative(ridge, ratio_));
    errors.push_back(kSumError + error);
  }
  return errors;
}

template <class T>
std::vector<double> SpectralPath<T>::scores(Score score, std::span<const double> ridges) const {
  return score == Score::gcv ? gcv(ridges) : leave_one_out(ridges);
}

template <class T>
typename SpectralPath<T>::Selection SpectralPath<T>::select(Score score) const {
  const std::vector<double> ridges = ridge_grid(mean_diagonal());
  const std::vector<double> found = scores(score, ridges), errors = rounding(score, ridges);
  const std::size_t best = best_ridge(ridges, found, errors);
  const std::vector<Interval> s = intervals(found, errors);
  const auto finite = [&](std::size_t r) { return std::isfinite(found[r]); };
  std::size_t first = 0, last = s.size() - 1;
  while (!finite(first)) ++first;
  while (!finite(last)) --last;

  Selection selection{ridges[best], Edge::none, ridges[first], ridges[last], std::ssize(ridges)};
  const std::size_t left = std::max(best, first + 1) - 1, right = std::min(best + 1, last);
  const auto worse = [&](std::size_t r) { return r == best || s[r].certainly_above(s[best]); };
  if (worse(left) && worse(right) && left < right) {
    const auto at = [&](double log_ridge) {
      const double ridge = std::exp(log_ridge);
      ++selection.scored;
      const std::span<const double> one(&ridge, 1);
      return Interval(scores(score, one).front(), rounding(score, one).front());
    };
    const double refined = golden_section(std::log(ridges[left]), std::log(ridges[right]), at);
    const Interval there = at(refined);
    if (std::exp(refined) > ridges[best] ? !there.certainly_above(s[best])
                                         : s[best].certainly_above(there))
      selection.ridge = std::exp(refined);
  }

  const double least = least_high(s);
  std::size_t tied = best;  // the smallest of the adjacent ridges that tie with the best
  while (tied > first && s[tied - 1].low <= least) --tied;
  const double within = 1 + 2 * kLogStep;
  if (selection.ridge * within >= selection.largest)
    selection.edge = Edge::largest;
  else if (tied == first && (best > first || selection.ridge <= selection.smallest * within))
    selection.edge = Edge::smallest;
  return selection;
}

#define MERCER_INSTANTIATE(T)                                                                   \
  template double SpectralPath<T>::mean_diagonal() const;                                       \
  template double SpectralPath<T>::unfitted(const GradientFlow&) const;                         \
  template std::vector<double> SpectralPath<T>::rounding(Score, std::span<const GradientFlow>)  \
      const;                                                                                    \
  template typename SpectralPath<T>::TimeSelection SpectralPath<T>::select_time(                \
      Score, const GradientFlow&) const;                                                        \
  template std::vector<double> SpectralPath<T>::rounding(Score, std::span<const double>) const; \
  template typename SpectralPath<T>::Selection SpectralPath<T>::select(Score) const;
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)

}  // namespace mercer::krr
