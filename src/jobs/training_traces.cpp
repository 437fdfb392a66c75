#include "mercer/jobs/training_traces.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mercer/base/error.hpp"

namespace mercer::jobs {
namespace {

using train::Record;

constexpr std::size_t kFittedSpaces = 10;  // of [B] Cor. 3.7: k <= 10
constexpr double kRateRounding = 1e-3;     // lambda_max(J J^T) of the automatic rate, from below

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

double sum_of_squares(std::span<const double> x) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  return sum;
}

/// Of one record: the sums over the functions of each space.
struct Row {
  std::vector<double> measured, predicted, flow, deviation;
};

Row row(const FunctionTrace& trace, const Record& start, const Record& now, double t) {
  const auto c = at(trace.outputs);
  const auto a_0 = coefficients(trace, start.projection);
  const auto a_t = coefficients(trace, now.projection);
  Row row;
  double deviation = 0;
  for (const auto& space : trace.spaces) {
    double measured = 0, predicted = 0, flow = 0;
    for (Index i = space.first; i < space.first + space.size; ++i) {
      const double decay = now.decay[trace.place[at(i)]];
      const double by_flow = std::isnan(decay) ? decay : std::exp(-trace.rates[at(i)] * t);
      const std::span<const double> r_0(&start.projection[at(i) * c], c);
      const std::span<const double> r_t(&now.projection[at(i) * c], c);
      measured += sum_of_squares(r_t);
      predicted += decay * decay * sum_of_squares(r_0);
      flow += by_flow * by_flow * sum_of_squares(r_0);
      for (std::size_t o = at(i) * c; o < (at(i) + 1) * c; ++o) {
        const double difference = a_t[o] - decay * a_0[o];
        deviation += difference * difference;
      }
    }
    row.measured.push_back(std::sqrt(measured));
    row.predicted.push_back(std::sqrt(predicted));
    row.flow.push_back(std::sqrt(flow));
    row.deviation.push_back(deviation);
  }
  return row;
}

/// (1 - e^(-sigma t))/sigma of the function with the least rate in the spaces up to `space`; t
/// where sigma t is so small that the difference is rounding.
double largest_factor(const FunctionTrace& trace, std::size_t space, const Record& now, double t) {
  constexpr double kSmall = 1e-6;
  double factor = 0;
  const auto& last = trace.spaces[space];
  for (Index i = 0; i < last.first + last.size; ++i) {
    const double sigma = trace.rates[at(i)];
    const double decay = now.decay[trace.place[at(i)]];
    const double x = sigma * t < kSmall ? t + 0 * decay : std::abs(1 - decay) / sigma;
    if (!std::isnan(factor) && !(x <= factor)) factor = x;  // a NaN is not lost
  }
  return factor;
}

}  // namespace

std::string not_plain_descent(const train::Options& o, bool preconditioned) {
  if (preconditioned) return "S = I, gradient descent without a preconditioner";
  if (o.batch > 0) return "full batches";
  if (o.momentum > 0) return "descent without momentum";
  if (o.weight_decay > 0) return "descent without weight decay";
  return "";
}

LossBound loss_bound(const std::vector<Record>& history, const train::Options& descent,
                     bool preconditioned, Index n) {
  LossBound bound{.not_for = not_plain_descent(descent, preconditioned)};
  double integral = 0;
  for (std::size_t i = 0; i < history.size() && bound.not_for.empty(); ++i) {
    const Record& now = history[i];
    if (i > 0) {
      const Record& before = history[i - 1];
      const double lower = std::min(before.tracked.at(kSmallest), now.tracked.at(kSmallest));
      integral += std::max(0.0, lower) * (now.time - before.time);
    }
    const double n_real = static_cast<double>(n);
    bound.loss.push_back(history.front().loss * std::exp(-2 * n_real * integral));
    bound.above += !(now.loss <= bound.loss.back() * (1 + 1e-9)) ? 1 : 0;
    bound.fast += !(now.rate * n_real * now.tracked.at(kLargest) <= 1 + kRateRounding) ? 1 : 0;
  }
  return bound;
}

std::vector<double> coefficients(const FunctionTrace& trace,
                                 const std::vector<double>& projection) {
  if (trace.inverse_gram.empty()) return projection;
  const std::size_t k = trace.index.size(), c = at(trace.outputs);
  std::vector<double> a(k * c, 0.0);
  for (std::size_t i = 0; i < k; ++i)
    for (std::size_t j = 0; j < k; ++j)
      for (std::size_t o = 0; o < c; ++o)
        a[i * c + o] += trace.inverse_gram[i * k + j] * projection[j * c + o];
  return a;
}

Projections projections(const FunctionTrace& trace, const std::vector<Record>& history) {
  const auto records = std::ssize(history), spaces = std::ssize(trace.spaces);
  Projections p{.measured = Matrix<double>(records, spaces),
                .predicted = Matrix<double>(records, spaces),
                .flow = Matrix<double>(records, spaces),
                .deviation = Matrix<double>(records, spaces),
                .bound = Matrix<double>(records, spaces)};
  p.theory = !trace.theorem_not_for.empty()
                 ? std::numeric_limits<double>::quiet_NaN()
                 : 4 * trace.target * trace.target * trace.kernel_difference;
  if (history.empty()) return p;
  if (history.front().step != 0)
    throw InputError("projections need the record of step 0, the first is that of step {}",
                     history.front().step);
  for (Index r = 0; r < records; ++r) {
    const Record& now = history[at(r)];
    const double t = static_cast<double>(trace.n) * now.time;
    p.time.push_back(t);
    p.whole.push_back(now.deviation);
    const Row sums = row(trace, history.front(), now, t);
    for (Index s = 0; s < spaces; ++s) {
      p.measured(r, s) = sums.measured[at(s)];
      p.predicted(r, s) = sums.predicted[at(s)];
      p.flow(r, s) = sums.flow[at(s)];
      p.deviation(r, s) = sums.deviation[at(s)];
      const double factor = largest_factor(trace, at(s), now, t);
      p.bound(r, s) = factor * factor;  // times epsilon below
      if (r == 0 || at(s) >= kFittedSpaces) continue;
      const double epsilon = p.deviation(r, s) / p.bound(r, s);
      if (std::isnan(p.epsilon) || epsilon <= p.epsilon) continue;  // a NaN is not lost
      p.epsilon = epsilon;
      p.epsilon_step = now.step;
      p.epsilon_space = s;
    }
  }
  for (Index i = 0; i < p.bound.size(); ++i) p.bound.data()[i] *= p.epsilon;
  for (const double t : p.time) p.whole_bound.push_back(t * t * p.epsilon);
  return p;
}

}  // namespace mercer::jobs
