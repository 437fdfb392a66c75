#include <cmath>
#include <numbers>

#include "mercer/arch/architecture.hpp"

namespace mercer::arch {

double value(const Activation& rho, double x) {
  switch (rho.function) {
    case Function::rectifier:
      return x < 0 ? rho.a * x : rho.b * x;
    case Function::erf:
      return rho.a * std::erf(rho.b * x);
    case Function::gelu:
      return 0.5 * x * std::erfc(-x * std::numbers::sqrt2 / 2);
    case Function::sin:
      return rho.a * std::sin(rho.b * x + rho.c);
    case Function::tanh:
      return std::tanh(x);
    case Function::softplus:
      return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x)));
    case Function::sigmoid:
      return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
  }
  return 0;
}

double second_moment(const Activation& rho) {
  const double a = rho.a, b = rho.b;
  switch (rho.function) {
    case Function::rectifier:
      return (a * a + b * b) / 2;
    case Function::erf:
      return 2 * a * a / std::numbers::pi * std::asin(2 * b * b / (1 + 2 * b * b));
    case Function::sin: {
      const double sine = std::sin(rho.c);
      return a * a * (-std::expm1(-2 * b * b) / 2 + sine * sine * std::exp(-2 * b * b));
    }
    case Function::gelu:
    case Function::tanh:
    case Function::softplus:
    case Function::sigmoid:
      break;
  }
  // The integrand is analytic in a strip of half-width pi/2 at least: the trapezoidal rule
  // converges geometrically and is exact to rounding at this step.
  const double step = 1.0 / 16;
  double sum = 0;
  for (int j = -160; j <= 160; ++j) {
    const double z = step * j, v = value(rho, z);
    sum += v * v * std::exp(-z * z / 2);
  }
  return sum * step / std::sqrt(2 * std::numbers::pi);
}

}  // namespace mercer::arch
