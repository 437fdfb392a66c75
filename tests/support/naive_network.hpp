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

/// z(p) of a convolution, pixel by pixel from its definition; `image` becomes that of z.
inline std::vector<Real80> naive_convolution(const arch::Conv& conv, arch::Image& image,
                                             const std::vector<Real80>& h, const Real80* W,
                                             const Real80* b, Real80 weight, Real80 bias) {
  const arch::Image in = image;
  const auto [f1, f2] = arch::on_image(conv.filter, in);
  image = arch::shape_after(conv, in);
  const bool valid = conv.padding == arch::Padding::valid;
  const auto at = [&](Index y, Index x, Index c) -> Real80 {
    if (conv.padding == arch::Padding::circular) {
      y = (y + in.height) % in.height;
      x = (x + in.width) % in.width;
    }
    if (y < 0 || y >= in.height || x < 0 || x >= in.width) return 0;
    return h[static_cast<std::size_t>((y * in.width + x) * in.channels + c)];
  };
  std::vector<Real80> z;
  for (Index y = 0; y < image.height; ++y)
    for (Index x = 0; x < image.width; ++x)
      for (Index o = 0; o < image.channels; ++o) {
        Real80 sum = bias * b[o];
        for (Index i = 0; i < f1; ++i)
          for (Index j = 0; j < f2; ++j)
            for (Index c = 0; c < in.channels; ++c)
              sum += weight * W[((i * f2 + j) * in.channels + c) * image.channels + o] *
                     at(y * conv.stride + i - (valid ? 0 : f1 / 2),
                        x * conv.stride + j - (valid ? 0 : f2 / 2), c);
        z.push_back(sum);
      }
  return z;
}

/// The means over f1 x f2 windows; `image` becomes that of the means.
inline std::vector<Real80> naive_means(Index f1, Index f2, arch::Image& image,
                                       const std::vector<Real80>& h) {
  const arch::Image in = image;
  image = {in.height / f1, in.width / f2, in.channels, in.signal};
  std::vector<Real80> means(static_cast<std::size_t>(image.numbers()));
  for (std::size_t k = 0; k < h.size(); ++k) {
    const auto at = static_cast<Index>(k);
    const Index c = at % in.channels, pixel = at / in.channels;
    const Index y = pixel / in.width / f1, x = pixel % in.width / f2;
    means[static_cast<std::size_t>((y * image.width + x) * in.channels + c)] +=
        h[k] / static_cast<Real80>(f1 * f2);
  }
  return means;
}

/// Applies a sequence to h, of that image while it has pixels; `next` walks through the parameters
/// in the order of the text.
inline std::vector<Real80> naive_sequence(const net::Network& network,
                                          const std::vector<arch::Layer>& layers,
                                          std::vector<Real80> h, arch::Image image,
                                          const Real80*& next) {
  const Real80 sigma_w = network.architecture().weight_std,
               sigma_b = network.architecture().bias_std;
  const bool ntk = network.parametrization() == net::Parametrization::ntk;
  const auto weight = [&](std::size_t fan_in) {
    return ntk ? sigma_w / std::sqrt(static_cast<Real80>(fan_in)) : Real80{1};
  };
  const Real80 bias = ntk ? sigma_b : Real80{1};
  for (const arch::Layer& layer : layers)
    std::visit(arch::Each{[&](const arch::Dense& dense) {
                            const auto fan_in = h.size(),
                                       fan_out = static_cast<std::size_t>(dense.width);
                            std::vector<Real80> z(fan_out);
                            for (std::size_t o = 0; o < fan_out; ++o) {
                              for (std::size_t i = 0; i < fan_in; ++i)
                                z[o] += weight(fan_in) * next[i * fan_out + o] * h[i];
                              z[o] += bias * next[fan_in * fan_out + o];
                            }
                            next += fan_in * fan_out + fan_out;
                            h = z;
                          },
                          [&](const arch::Conv& conv) {
                            const auto [f1, f2] = arch::on_image(conv.filter, image);
                            const Index fan_in = f1 * f2 * image.channels;
                            const Real80* b = next + fan_in * conv.channels;
                            h = naive_convolution(conv, image, h, next, b,
                                                  weight(static_cast<std::size_t>(fan_in)), bias);
                            next = b + conv.channels;
                          },
                          [&](const arch::AveragePool& pool) {
                            const auto [f1, f2] = arch::on_image(pool.window, image);
                            h = naive_means(f1, f2, image, h);
                          },
                          [&](const arch::GlobalAverage&) {
                            h = naive_means(image.height, image.width, image, h);
                          },
                          [](const arch::Flatten&) {},
                          [&](const arch::Activation& rho) {
                            for (Real80& x : h) x = naive_value(rho, x);
                          },
                          [&](const arch::Residual& res) {
                            const auto branch = naive_sequence(network, res.branch, h, image, next);
                            for (std::size_t i = 0; i < h.size(); ++i) h[i] += branch[i];
                          }},
               layer.what);
  return h;
}

/// f(x; w), all outputs.
inline std::vector<Real80> naive_outputs(const net::Network& network, std::span<const Real80> w,
                                         std::span<const double> x) {
  const Real80* next = w.data();
  const std::vector<Real80> input(x.begin(), x.end());
  const auto copy = [&] {
    return naive_sequence(network, network.architecture().layers, input,
                          network.architecture().image, next);
  };
  auto f = copy();
  if (network.copies() == 2) {
    const auto mirror = copy();
    for (std::size_t a = 0; a < f.size(); ++a) f[a] = (f[a] - mirror[a]) / std::sqrt(Real80{2});
  }
  return f;
}

}  // namespace mercer::test
