#pragma once

#include <cmath>
#include <numbers>

#include "mercer/arch/architecture.hpp"

namespace mercer::kernel {

/// Calls add(g, w) for the nodes g and weights w of a rule for E[f(g)], g ~ N(0, 1), where f is
/// made of smooth step-like functions of slope g. The substitution g = sinh(t)/max(1, slope)
/// resolves the step at 0 for any slope. In t the integrand is analytic in a strip of half-width
/// pi/4, so that the trapezoidal rule converges as exp(-pi^2/(2 step)): to rounding at this step.
template <class Add>
void step_quadrature(double slope, Add&& add) {
  const double step = 0.1, S = std::fmax(1.0, slope);
  const auto last = static_cast<Index>(std::asinh(std::fmin(10 * S, 1e308)) / step) + 1;
  for (Index k = -last; k <= last; ++k) {
    const double t = step * static_cast<double>(k), g = std::sinh(t) / S;
    add(g, step * std::cosh(t) / S * std::exp(-g * g / 2) / std::sqrt(2 * std::numbers::pi));
  }
}

/// The same for an f that oscillates as sin(slope g): equal steps in g.
template <class Add>
void wave_quadrature(double slope, Add&& add) {
  const double step = 2 * std::numbers::pi / (18 + 2 * slope);
  const auto last = static_cast<Index>(10 / step) + 1;
  for (Index k = -last; k <= last; ++k) {
    const double g = step * static_cast<double>(k);
    add(g, step * std::exp(-g * g / 2) / std::sqrt(2 * std::numbers::pi));
  }
}

}  // namespace mercer::kernel
