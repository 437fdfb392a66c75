#pragma once

#include <cmath>
#include <vector>

namespace mercer::test {

/// The exponent p of the least-squares fit y ~ x^p.
inline double fitted_exponent(const std::vector<double>& x, const std::vector<double>& y) {
  double sx = 0, sy = 0, sxx = 0, sxy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double a = std::log(x[i]), b = std::log(y[i]);
    sx += a, sy += b, sxx += a * a, sxy += a * b;
  }
  const auto m = static_cast<double>(x.size());
  return (m * sxy - sx * sy) / (m * sxx - sx * sx);
}

}  // namespace mercer::test
