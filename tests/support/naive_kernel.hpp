#pragma once

#include <cmath>
#include <numbers>
#include <span>
#include <vector>

#include "mercer/arch/architecture.hpp"

namespace mercer::test {

using Real80 = long double;

/// The slow, plain twin of the network kernels: the textbook recursion for one pair of inputs, with
/// covariances q1, K, q2, tangent T and means, in long double; no care for near-parallel rows
/// beyond the longer type. Closed forms where there are any, 2-D quadrature for the others.
struct NaiveState {
  Real80 q1 = 0, K = 0, q2 = 0;  ///< second moments
  Real80 T11 = 0, T = 0, T22 = 0;
  Real80 mu1 = 0, mu2 = 0;
};

/// E[rho(u) rho(v)], E[rho'(u) rho'(v)] for (u, v) ~ N(0, [[q1, K], [K, q2]]).
struct NaiveDual {
  Real80 k = 0, kdot = 0;
};

inline double naive_slope(const arch::Activation& rho, double x) {
  const double a = rho.a, b = rho.b;
  switch (rho.function) {
    case arch::Function::rectifier:
      return x < 0 ? a : b;
    case arch::Function::erf:
      return 2 * a * b / std::sqrt(std::numbers::pi) * std::exp(-b * b * x * x);
    case arch::Function::gelu:
      return 0.5 * std::erfc(-x / std::numbers::sqrt2) +
             x * std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
    case arch::Function::sin:
      return a * b * std::cos(b * x + rho.c);
    case arch::Function::tanh:
      return 1 / (std::cosh(x) * std::cosh(x));
    case arch::Function::softplus:
      return 1 / (1 + std::exp(-x));
    case arch::Function::sigmoid:
      return 0.25 / (std::cosh(x / 2) * std::cosh(x / 2));
  }
  return 0;
}

/// Tensor trapezoidal rule over (g1, g2), u = s1 g1, v = s2 (c g1 + sqrt(1 - c^2) g2); for smooth
/// rho.
inline NaiveDual quadrature_dual(const arch::Activation& rho, double q1, double K, double q2) {
  const double s1 = std::sqrt(q1), s2 = std::sqrt(q2);
  const double c = s1 * s2 > 0 ? std::fmin(1.0, std::fmax(-1.0, K / (s1 * s2))) : 0;
  const double r = std::sqrt((1 - c) * (1 + c));
  const double step = 0.22 / std::fmax(1.0, std::fmax(s1, s2) * std::fmax(1.0, std::fabs(rho.b)));
  const int last = static_cast<int>(9 / step);
  std::vector<double> weight;
  for (int k = -last; k <= last; ++k)
    weight.push_back(step / std::sqrt(2 * std::numbers::pi) *
                     std::exp(-0.5 * (k * step) * (k * step)));
  NaiveDual dual;
  for (int i = -last; i <= last; ++i) {
    double inner = 0, inner_slope = 0;
    for (int j = -last; j <= last; ++j) {
      const double w = weight[static_cast<std::size_t>(j + last)];
      const double v = s2 * (c * i + r * j) * step;
      inner += w * arch::value(rho, v);
      inner_slope += w * naive_slope(rho, v);
    }
    const double w = weight[static_cast<std::size_t>(i + last)];
    dual.k += static_cast<Real80>(w * arch::value(rho, s1 * i * step)) * inner;
    dual.kdot += static_cast<Real80>(w * naive_slope(rho, s1 * i * step)) * inner_slope;
  }
  return dual;
}

inline NaiveDual naive_dual(const arch::Activation& rho, Real80 q1, Real80 K, Real80 q2) {
  const Real80 pi = std::numbers::pi_v<Real80>, a = rho.a, b = rho.b;
  switch (rho.function) {
    case arch::Function::rectifier: {
      const Real80 p = std::sqrt(q1) * std::sqrt(q2);
      const Real80 cosine = p > 0 ? std::fmin(Real80{1}, std::fmax(Real80{-1}, K / p)) : Real80{0};
      const bool same = q1 == K && K == q2;  // the angle 0, which rounding must not spoil
      const Real80 th = same ? 0 : std::acos(cosine), back = pi - th;
      const Real80 one = p / (2 * pi) * (std::sin(th) + back * std::cos(th));
      const Real80 other = p / (2 * pi) * (std::sin(th) - th * std::cos(th));
      return {(a * a + b * b) * one - 2 * a * b * other,
              ((a * a + b * b) * back + 2 * a * b * th) / (2 * pi)};
    }
    case arch::Function::erf: {
      const Real80 B = b * b, P = (1 + 2 * B * q1) * (1 + 2 * B * q2);
      return {2 * a * a / pi * std::asin(2 * B * K / std::sqrt(P)),
              4 * a * a * B / pi / std::sqrt(P - 4 * B * B * K * K)};
    }
    case arch::Function::gelu: {
      const Real80 P = (1 + q1) * (1 + q2), D2 = P - K * K, D = std::sqrt(D2),
                   at = std::atan(K / D);
      return {K / 4 + ((K * K + q1 * q2 * D2) / (P * D) + K * at) / (2 * pi),
              Real80{0.25} + at / (2 * pi) + K / (2 * pi * D) * (1 / D2 + (1 - q1 * q2) / P + 1)};
    }
    case arch::Function::sin: {
      const Real80 first = std::exp(-b * b * ((q1 + q2) / 2 - K));
      const Real80 second =
          std::exp(-b * b * ((q1 + q2) / 2 + K)) * std::cos(2 * static_cast<Real80>(rho.c));
      return {a * a / 2 * (first - second), a * a * b * b / 2 * (first + second)};
    }
    case arch::Function::tanh:
    case arch::Function::softplus:
    case arch::Function::sigmoid:
      break;
  }
  return quadrature_dual(rho, static_cast<double>(q1), static_cast<double>(K),
                         static_cast<double>(q2));
}

inline Real80 naive_mean(const arch::Activation& rho, Real80 q) {
  if (rho.function == arch::Function::rectifier)
    return (static_cast<Real80>(rho.b) - rho.a) * std::sqrt(q / (2 * std::numbers::pi_v<Real80>));
  const double s = std::sqrt(static_cast<double>(q)), step = 0.01 / std::fmax(1.0, s);
  double sum = 0;
  for (int k = static_cast<int>(-9 / step); k <= static_cast<int>(9 / step); ++k)
    sum += step / std::sqrt(2 * std::numbers::pi) * std::exp(-0.5 * k * step * k * step) *
           arch::value(rho, s * k * step);
  return sum;
}

inline void naive_layers(const std::vector<arch::Layer>& layers, const arch::Architecture& net,
                         NaiveState& s) {
  const Real80 W2 = static_cast<Real80>(net.weight_std) * net.weight_std;
  const Real80 b2 = static_cast<Real80>(net.bias_std) * net.bias_std;
  for (const arch::Layer& layer : layers) {
    if (const auto* dense = std::get_if<arch::Dense>(&layer.what)) {
      const Real80 own = dense->trained ? 1 : 0;
      s = {W2 * s.q1 + b2, W2 * s.K + b2, W2 * s.q2 + b2, s.T11, s.T, s.T22, 0, 0};
      s.T11 = own * s.q1 + W2 * s.T11;
      s.T = own * s.K + W2 * s.T;
      s.T22 = own * s.q2 + W2 * s.T22;
    } else if (const auto* rho = std::get_if<arch::Activation>(&layer.what)) {
      const NaiveDual one = naive_dual(*rho, s.q1, s.q1, s.q1),
                      both = naive_dual(*rho, s.q1, s.K, s.q2),
                      two = naive_dual(*rho, s.q2, s.q2, s.q2);
      s = {one.k,
           both.k,
           two.k,
           one.kdot * s.T11,
           both.kdot * s.T,
           two.kdot * s.T22,
           naive_mean(*rho, s.q1),
           naive_mean(*rho, s.q2)};
    } else {
      NaiveState b = s;
      naive_layers(std::get<arch::Residual>(layer.what).branch, net, b);
      s = {s.q1 + b.q1 + s.mu1 * b.mu1 + b.mu1 * s.mu1,
           s.K + b.K + s.mu1 * b.mu2 + b.mu1 * s.mu2,
           s.q2 + b.q2 + s.mu2 * b.mu2 + b.mu2 * s.mu2,
           s.T11 + b.T11,
           s.T + b.T,
           s.T22 + b.T22,
           s.mu1 + b.mu1,
           s.mu2 + b.mu2};
    }
  }
}

inline NaiveState naive_kernel(const arch::Architecture& net, std::span<const double> x,
                               std::span<const double> z) {
  NaiveState s;
  for (std::size_t k = 0; k < x.size(); ++k) {
    s.q1 += static_cast<Real80>(x[k]) * x[k];
    s.K += static_cast<Real80>(x[k]) * z[k];
    s.q2 += static_cast<Real80>(z[k]) * z[k];
  }
  const auto d = static_cast<Real80>(x.size());
  s.q1 /= d;
  s.K /= d;
  s.q2 /= d;
  naive_layers(net.layers, net, s);
  return s;
}

}  // namespace mercer::test
