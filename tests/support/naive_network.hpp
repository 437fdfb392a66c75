#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "mercer/net/network.hpp"

namespace mercer::test {

/// The slow, plain twin of net::Evaluator: outputs of one row straight from the definition, in long
/// double, so that central differences of it are good to 1e-12.
using Real80 = long double;

inline Real80 naive_value(const arch::Activation& rho, Real80 x) {
  const Real80 a = rho.a, b = rho.b, c = rho.c;
  switch (rho.function) {
    case arch::Function::rectifier:
      return x < 0 ? a * x : b * x;
    case arch::Function::erf:
      return a * std::erf(b * x);
    case arch::Function::gelu:
      return x * std::erfc(-x / std::sqrt(Real80{2})) / 2;
    case arch::Function::sin:
      return a * std::sin(b * x + c);
    case arch::Function::tanh:
      return std::tanh(x);
    case arch::Function::softplus:
      return std::log1p(std::exp(x));
    case arch::Function::sigmoid:
      return 1 / (1 + std::exp(-x));
  }
  return 0;
}

/// Applies a sequence to h; `next` walks through the parameters in the order of the text.
inline std::vector<Real80> naive_sequence(const net::Network& network,
                                          const std::vector<arch::Layer>& layers,
                                          std::vector<Real80> h, const Real80*& next) {
  const Real80 sigma_w = network.architecture().weight_std,
               sigma_b = network.architecture().bias_std;
  const bool ntk = network.parametrization() == net::Parametrization::ntk;
  for (const arch::Layer& layer : layers) {
    if (const auto* dense = std::get_if<arch::Dense>(&layer.what)) {
      const auto fan_in = h.size(), fan_out = static_cast<std::size_t>(dense->width);
      const Real80 weight = ntk ? sigma_w / std::sqrt(static_cast<Real80>(fan_in)) : Real80{1};
      const Real80 bias = ntk ? sigma_b : Real80{1};
      std::vector<Real80> z(fan_out);
      for (std::size_t o = 0; o < fan_out; ++o) {
        for (std::size_t i = 0; i < fan_in; ++i) z[o] += weight * next[i * fan_out + o] * h[i];
        z[o] += bias * next[fan_in * fan_out + o];
      }
      next += fan_in * fan_out + fan_out;
      h = z;
    } else if (const auto* rho = std::get_if<arch::Activation>(&layer.what)) {
      for (Real80& x : h) x = naive_value(*rho, x);
    } else {
      const auto branch =
          naive_sequence(network, std::get<arch::Residual>(layer.what).branch, h, next);
      for (std::size_t i = 0; i < h.size(); ++i) h[i] += branch[i];
    }
  }
  return h;
}

/// f(x; w), all outputs.
inline std::vector<Real80> naive_outputs(const net::Network& network, std::span<const Real80> w,
                                         std::span<const double> x) {
  const Real80* next = w.data();
  const std::vector<Real80> input(x.begin(), x.end());
  auto f = naive_sequence(network, network.architecture().layers, input, next);
  if (network.copies() == 2) {
    const auto mirror = naive_sequence(network, network.architecture().layers, input, next);
    for (std::size_t a = 0; a < f.size(); ++a) f[a] = (f[a] - mirror[a]) / std::sqrt(Real80{2});
  }
  return f;
}

}  // namespace mercer::test
