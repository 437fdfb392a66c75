#include "mercer/krr/learning_curve.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "layout.hpp"

namespace mercer::krr {
namespace {

/// The root of an increasing function between low > 0 and high, by bisection of the logarithm;
/// `low` where the function is not negative there.
template <class F>
double root(double low, double high, F&& f) {
  if (f(low) >= 0) return low;
  for (int step = 0; step < 200 && high > low * (1 + 1e-15); ++step) {
    const double middle = std::sqrt(low) * std::sqrt(high);
    (f(middle) < 0 ? low : high) = middle;
  }
  return high;
}

/// sum_i (g_i/(g_i + kappa))^2 or, with `first`, sum_i g_i/(g_i + kappa).
double freedom(std::span<const double> g, double kappa, bool first) {
  double sum = 0;
  for (const double x : g) {
    const double share = x > 0 ? x / (x + kappa) : 0;
    sum += first ? share : share * share;
  }
  return sum;
}

void check_rows(double n) {
  if (!(n > 0)) throw InputError("a learning curve for {} rows: give at least 1", n);
}

/// What the n_0 rows say at the ridge gamma_0.
struct AtRidge {
  double kappa, slope;  ///< kappa and kappa'
};
AtRidge at_ridge(std::span<const double> g, double ridge) {
  double first = 0, second = 0;
  for (const double x : g) {
    const double q = 1 / (x + ridge);
    first += q;
    second += q * q;
  }
  const double n = static_cast<double>(g.size());
  return {.kappa = n / first, .slope = n * second / (first * first)};
}

}  // namespace

double effective_ridge(std::span<const double> g, double n, double gamma) {
  check_rows(n);
  check_ridge(gamma);
  const double sum = std::accumulate(g.begin(), g.end(), 0.0);
  const auto modes = static_cast<double>(std::ranges::count_if(g, [](double x) { return x > 0; }));
  if (sum == 0 || (gamma == 0 && modes <= n)) return gamma;
  // gamma <= kappa <= gamma + sum/n, as kappa g/(g + kappa) <= g
  const double low = std::max(gamma, std::numeric_limits<double>::min());
  return root(low, gamma + sum / n,
              [&](double kappa) { return 1 - gamma / kappa - freedom(g, kappa, true) / n; });
}

double expected_error(std::span<const double> g, std::span<const double> coefficients, double noise,
                      double n, double gamma) {
  if (g.size() != coefficients.size())
    throw InputError("{} eigenvalues, but {} coefficients", g.size(), coefficients.size());
  const double kappa = effective_ridge(g, n, gamma);
  double error = noise;
  for (std::size_t i = 0; i < g.size(); ++i) {
    const double left = g[i] > 0 ? kappa / (g[i] + kappa) : 1;
    error += left * left * coefficients[i];
  }
  const double room = 1 - freedom(g, kappa, false) / n;
  return room > 0 ? error / room : std::numeric_limits<double>::infinity();
}

CurvePoint predicted_error(std::span<const double> g, std::span<const double> energy, Index n,
                           double gamma) {
  const double rows = static_cast<double>(n), all = static_cast<double>(g.size());
  check_rows(rows);
  check_ridge(gamma);
  if (rows > all) throw InputError("a learning curve for {} rows, from {}", n, g.size());
  if (g.size() != energy.size())
    throw InputError("{} eigenvalues, but {} energies", g.size(), energy.size());
  std::vector<double> values(g.begin(), g.end());
  for (double& x : values) x = x < 0 ? 0 : x;  // a NaN stays one
  const double largest = *std::ranges::max_element(values);
  if (!(largest > 0)) throw InputError("a learning curve: the kernel's eigenvalues are all zero");

  const double ratio = all / rows, mean = std::accumulate(values.begin(), values.end(), 0.0) / all;
  const double least = std::max(gamma, std::numeric_limits<double>::epsilon() * all * largest);
  // Positive at gamma + ratio mean, as kappa - gamma_0 <= mean.
  const double ridge = root(least, std::max(2 * least, gamma + ratio * mean), [&](double gamma_0) {
    const double kappa = at_ridge(values, gamma_0).kappa;
    return kappa - ratio * (kappa - gamma_0) - gamma;
  });
  const auto [kappa, slope] = at_ridge(values, ridge);
  double score = 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    score += energy[i] / ((values[i] + ridge) * (values[i] + ridge));
  score *= kappa * kappa / all;

  CurvePoint point{.n = n, .ridge = gamma, .kappa = kappa, .sample_ridge = ridge};
  point.freedom = all * (1 - ridge / kappa);
  point.freedom_square = all * (1 - 1 / slope);
  const double room = 1 - point.freedom_square / rows;
  point.factor = room > 0 ? 1 / (slope * room) : std::numeric_limits<double>::infinity();
  point.bias_and_noise = score / slope;
  point.error = score * point.factor;
  return point;
}

}  // namespace mercer::krr
