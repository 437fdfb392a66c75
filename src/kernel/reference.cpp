#include "reference.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "quadrature.hpp"

namespace mercer::kernel {

namespace {

using Real = long double;
constexpr Real pi = std::numbers::pi_v<Real>;

using State = ReferenceState;
using Dual = ReferenceDual;

double slope(const arch::Activation& rho, double x) {
  const double tail = std::exp(-std::fabs(x)), square = tail * tail;
  switch (rho.function) {
    case arch::Function::tanh:
      return 4 * square / ((1 + square) * (1 + square));
    case arch::Function::softplus:
      return x < 0 ? tail / (1 + tail) : 1 / (1 + tail);
    case arch::Function::sigmoid:
      return tail / ((1 + tail) * (1 + tail));
    case arch::Function::rectifier:  // these have closed forms
    case arch::Function::erf:
    case arch::Function::gelu:
    case arch::Function::sin:
      break;
  }
  return 0;
}

/// E[f(m + s g)], g ~ N(0, 1), for an f that is smooth except for a step of width 1 at 0.
template <class F>
Real expectation(double m, double s, F&& f) {
  constexpr double kEnd = 9.5;
  const double density = 1 / std::sqrt(2 * std::numbers::pi);
  Real sum = 0;
  const double centre = s > 0 ? -m / s : 0;  // where the step is, in g
  if (s <= 8 || std::fabs(centre) > kEnd) {
    const double step = s <= 8 ? 0.2 / std::fmax(1.0, s) : 0.1;
    const int last = static_cast<int>(kEnd / step);
    for (int k = -last; k <= last; ++k) {
      const double g = k * step;
      sum += static_cast<Real>(step * density * std::exp(-g * g / 2)) * f(m + s * g);
    }
    return sum;
  }
  // v = sinh(t) about the step, g = centre + v/s: the trapezoidal rule in t (see quadrature.hpp).
  const double step = 0.05;
  const int first = static_cast<int>(std::asinh((-kEnd - centre) * s) / step) - 1;
  const int last = static_cast<int>(std::asinh((kEnd - centre) * s) / step) + 1;
  for (int k = first; k <= last; ++k) {
    const double t = k * step, v = std::sinh(t), g = centre + v / s;
    sum += static_cast<Real>(step * std::cosh(t) / s * density * std::exp(-g * g / 2)) * f(v);
  }
  return sum;
}

/// Nested quadrature: u = s_x g, v = s_z (c g + sqrt(1 - c^2) g'), the mean over g' inside the one
/// over g. rest = q_x q_z - K^2.
Dual quadrature(const arch::Activation& rho, Real qx, Real K, Real qz, Real rest) {
  const Real sx = std::sqrt(qx), sz = std::sqrt(qz), p = sx * sz;
  const auto turned = p > 0 ? static_cast<double>(K / sx) : 0.0;
  const auto spread = p > 0 ? static_cast<double>(std::sqrt(rest) / sx) : static_cast<double>(sz);
  const auto s = static_cast<double>(sx);
  Dual dual;
  step_quadrature(std::fmax(s, static_cast<double>(sz)), [&](double g, double w) {
    const Real u = w * static_cast<Real>(arch::value(rho, s * g)), du = w * slope(rho, s * g);
    const auto value = [&](double v) { return static_cast<Real>(arch::value(rho, v)); };
    const auto rate = [&](double v) { return static_cast<Real>(slope(rho, v)); };
    dual.value += u * (spread > 0 ? expectation(turned * g, spread, value) : value(turned * g));
    dual.slope += du * (spread > 0 ? expectation(turned * g, spread, rate) : rate(turned * g));
  });
  return dual;
}

}  // namespace

Dual reference_dual(const arch::Activation& rho, Real qx, Real K, Real qz) {
  const Real a = rho.a, b = rho.b, B = b * b, p = std::sqrt(qx * qz);
  // q_x q_z - K^2; exactly 0 for a row with itself.
  const Real rest = std::max<Real>(0, (p - K) * (p + K));
  switch (rho.function) {
    case arch::Function::rectifier: {
      const Real angle = p > 0 ? std::atan2(std::sqrt(rest), K) : pi / 2, back = pi - angle;
      const Real one = p / (2 * pi) * (std::sin(angle) + back * std::cos(angle));
      const Real other = p / (2 * pi) * (std::sin(angle) - angle * std::cos(angle));
      return {(a * a + B) * one - 2 * a * b * other,
              ((a * a + B) * back + 2 * a * b * angle) / (2 * pi)};
    }
    case arch::Function::erf: {
      const Real root = std::sqrt(1 + 2 * B * (qx + qz) + 4 * B * B * rest);
      return {2 * a * a / pi * std::atan2(2 * B * K, root), 4 * a * a * B / (pi * root)};
    }
    case arch::Function::gelu: {
      const Real P = (1 + qx) * (1 + qz), D2 = 1 + qx + qz + rest, D = std::sqrt(D2);
      const Real angle = std::atan2(K, D);
      return {K / 4 + ((K * K + qx * qz * D2) / (P * D) + K * angle) / (2 * pi),
              Real{0.25} + angle / (2 * pi) + K / (2 * pi * D) * (1 / D2 + (1 - qx * qz) / P + 1)};
    }
    case arch::Function::sin: {
      // (e^(-B(m - K)) -+ e^(-B(m + K)) cos 2c)/2 with m = (q_x + q_z)/2; where B K is small the
      // difference is a sinh, without cancellation.
      const Real m = (qx + qz) / 2, sine = std::sin(static_cast<Real>(rho.c));
      const Real first = std::exp(-B * (m - K)), second = std::exp(-B * (m + K));
      const Real odd =
          B * std::fabs(K) < 1 ? std::exp(-B * m) * std::sinh(B * K) : (first - second) / 2;
      return {a * a * (odd + sine * sine * second),
              a * a * B / 2 * (first + (1 - 2 * sine * sine) * second)};
    }
    case arch::Function::tanh:
    case arch::Function::softplus:
    case arch::Function::sigmoid:
      break;
  }
  return quadrature(rho, qx, K, qz, rest);
}

/// E[rho(u)], u ~ N(0, q).
Real reference_mean(const arch::Activation& rho, Real q) {
  switch (rho.function) {
    case arch::Function::rectifier:
      return (static_cast<Real>(rho.b) - rho.a) * std::sqrt(q / (2 * pi));
    case arch::Function::gelu:
      return q / std::sqrt(2 * pi * (1 + q));
    case arch::Function::sin:
      return rho.a * std::sin(static_cast<Real>(rho.c)) *
             std::exp(-static_cast<Real>(rho.b) * rho.b * q / 2);
    case arch::Function::erf:
    case arch::Function::tanh:
      return 0;
    case arch::Function::softplus:
    case arch::Function::sigmoid:
      break;
  }
  Real sum = 0;
  const auto s = static_cast<double>(std::sqrt(q));
  step_quadrature(
      s, [&](double g, double w) { sum += w * static_cast<Real>(arch::value(rho, s * g)); });
  return sum;
}

namespace {

/// The layer recursion for one pair of inputs.
class Recursion {
 public:
  Recursion(const arch::Architecture& net, std::span<const double> weight_terms)
      : W2_(static_cast<Real>(net.weight_std) * net.weight_std),
        b2_(static_cast<Real>(net.bias_std) * net.bias_std),
        terms_(weight_terms),
        standard_(!weight_terms.empty()) {}

  void advance(std::span<const arch::Layer> layers, State& s) {
    for (const arch::Layer& layer : layers)
      std::visit([&](const auto& what) { pass(what, s); }, layer.what);
  }

 private:
  void pass(const arch::Dense& layer, State& s) { dense(layer.trained, s); }
  void pass(const arch::Activation& rho, State& s) {
    const Dual x = reference_dual(rho, s.qx, s.qx, s.qx), z = reference_dual(rho, s.qz, s.qz, s.qz);
    const Dual both = reference_dual(rho, s.qx, s.K, s.qz);
    s = {x.value,
         both.value,
         z.value,
         both.slope * s.T,
         reference_mean(rho, s.qx),
         reference_mean(rho, s.qz)};
  }
  void pass(const arch::Residual& res, State& s) {
    State branch = s;
    advance(res.branch, branch);
    s = {s.qx + branch.qx + 2 * s.mx * branch.mx,
         s.K + branch.K + s.mx * branch.mz + branch.mx * s.mz,
         s.qz + branch.qz + 2 * s.mz * branch.mz,
         s.T + branch.T,
         s.mx + branch.mx,
         s.mz + branch.mz};
  }
  // Layers on pixels: image_reference.cpp.
  void pass(const arch::Conv&, State&) {}
  void pass(const arch::AveragePool&, State&) {}
  void pass(const arch::Flatten&, State&) {}
  void pass(const arch::GlobalAverage&, State&) {}
  void dense(bool trained, State& s) {
    const State before = s;
    s = {W2_ * s.qx + b2_, W2_ * s.K + b2_, W2_ * s.qz + b2_, 0, 0, 0};
    if (standard_) {
      s.T = W2_ * ((trained ? terms_.front() : 0) * before.K + before.T);
      terms_ = terms_.subspan(1);
    } else {
      s.T = (trained ? s.K : 0) + W2_ * before.T;
    }
  }
  Real W2_, b2_;
  std::span<const double> terms_;  ///< of the dense layers to come
  bool standard_;
};

}  // namespace

void reference_rows(std::span<const arch::Layer> layers, const arch::Architecture& architecture,
                    std::span<const double> weight_terms, ReferenceState& state) {
  Recursion(architecture, weight_terms).advance(layers, state);
}

long double reference_network(const arch::Architecture& architecture, bool tangent,
                              std::span<const double> weight_terms, std::span<const double> x,
                              std::span<const double> z) {
  const auto d = static_cast<Real>(x.size());
  State s{reference_linear(x, x) / d, reference_linear(x, z) / d, reference_linear(z, z) / d};
  reference_rows(architecture.layers, architecture, weight_terms, s);
  return tangent ? s.T : s.K;
}

long double reference_distance(Kind kind, double bandwidth, std::span<const double> x,
                               std::span<const double> z) {
  Real d2 = 0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const Real t = (static_cast<Real>(x[k]) - z[k]) / bandwidth;
    d2 += t * t;
  }
  switch (kind) {
    case Kind::gaussian:
      return std::exp(-d2 / 2);
    case Kind::laplace:
      return std::exp(-std::sqrt(d2));
    case Kind::linear:  // these are no functions of the distance
    case Kind::ntk:
    case Kind::nngp:
      break;
  }
  return std::numeric_limits<Real>::quiet_NaN();
}

long double reference_linear(std::span<const double> x, std::span<const double> z) {
  Real sum = 0;
  for (std::size_t k = 0; k < x.size(); ++k) sum += static_cast<Real>(x[k]) * z[k];
  return sum;
}

}  // namespace mercer::kernel
