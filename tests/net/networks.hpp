#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "mercer/base/random.hpp"
#include "mercer/net/network.hpp"

namespace mercer::test {

inline constexpr double kNotWritten = std::numeric_limits<double>::quiet_NaN();

/// "6x4x2: conv(3,5) relu ..." is an architecture of images of that shape; others are of `inputs`
/// numbers.
inline net::Network network_of(std::string_view text, Index inputs,
                               net::Parametrization parametrization, net::Start start,
                               double bias_std = 0.3) {
  arch::Options options;
  options.weight_std = 1.3;
  options.bias_std = bias_std;
  const auto end = text.find(": ");
  if (end == text.npos)
    return net::Network(arch::parse(text, options), inputs, parametrization, start);
  const arch::Image image = arch::parse_image(text.substr(0, end));
  return net::Network(arch::parse(text.substr(end + 2), options).on(image), image.numbers(),
                      parametrization, start);
}

/// Every activation in two hidden layers, and residual connections of every shape: a branch that
/// begins or ends with an activation, nested ones at the beginning and the end of a branch; layers
/// that are not trained; and images, with every padding, strides, means and signals.
inline std::vector<std::string> architectures() {
  std::vector<std::string> texts = {"dense(3)",
                                    "dense(6) res(relu dense(6)) relu dense(3)",
                                    "dense(6) relu res(dense(4) tanh dense(6)) dense(3)",
                                    "dense(6) relu res(dense(6) relu) dense(3)",
                                    "dense(6) res(dense(6) abrelu(-0.5,1.5)) dense(4) dense(3)",
                                    "dense(6) res(relu dense(6) res(erf dense(6))) res(gelu "
                                    "dense(4) relu dense(6)) relu dense(3)",
                                    "dense(6) res(res(relu dense(6)) relu dense(6)) tanh dense(3)",
                                    "dense(6) relu res(res(dense(6)) dense(6)) dense(3)",
                                    "dense(6) res(dense(6) res(dense(6) leaky_relu(0.2))) dense(3)",
                                    "dense(6) res(dense(6)) res(dense(6)) softplus dense(3)",
                                    "dense(7) relu dense(3,fixed)",
                                    "dense(6,fixed) tanh dense(6) res(relu dense(6,fixed)) "
                                    "relu dense(20,fixed) erf dense(3)",
                                    "4x4x2: conv(3,3) relu avgpool(2) flatten dense(3)",
                                    "4x5x1: conv(3,2,pad=circular) tanh conv(3,2,stride=2) gelu "
                                    "flatten dense(3)",
                                    "5x4x2: conv(2x3,3,pad=valid) relu gap dense(3)",
                                    "5x5x1: conv(3,2) res(relu conv(3,2)) relu "
                                    "conv(3,2,pad=valid,stride=2) relu flatten dense(4) relu "
                                    "dense(3)",
                                    "6x2: conv(3,3,pad=circular,stride=2) relu gap dense(3)",
                                    "6x1: conv(5,3) erf avgpool(3) flatten dense(3)",
                                    "4x4x1: conv(5,3) avgpool(2x1) relu conv(1,2,fixed) res(relu "
                                    "conv(1,4) erf conv(1,2)) relu flatten dense(3)"};
  for (const char* rho : {"relu", "leaky_relu(0.2)", "leaky_relu(-0.2)", "abrelu(-0.5,1.5)",
                          "abrelu(1.5,-0.5)", "abrelu(0.7,0)", "erf", "erf(0.8,1.7)", "gelu",
                          "sin(1.3,0.7,0.4)", "tanh", "softplus", "sigmoid"})
    texts.push_back(fmt::format("dense(7) {0} dense(5) {0} dense(3)", rho));
  return texts;
}

inline Matrix<double> gaussian_matrix(Index rows, Index cols, std::uint32_t substream) {
  Matrix<double> A(rows, cols);
  const Random random(11, Stream::test, substream);
  for (Index k = 0; k < A.size(); ++k) A.data()[k] = random.normal(static_cast<std::uint64_t>(k));
  return A;
}

/// Parameters of the usual size, different in both copies.
inline std::vector<double> gaussian_parameters(const net::Network& network) {
  auto w = network.initial<double>(3);
  const auto other = network.initial<double>(4);
  const auto p = static_cast<std::size_t>(network.parameters_of_copy());
  for (std::size_t i = p; i < w.size(); ++i) w[i] = other[i];
  for (std::size_t i = 0; i < w.size(); ++i)
    if (w[i] == 0) w[i] = 0.1;  // biases whose deviation is 0
  return w;
}

/// Largest |a - b| relative to the largest |b|; NaN as soon as one entry is NaN.
struct Difference {
  double largest = 0, scale = 0;
  Index compared = 0;
  void add(double a, double b) {
    const double error = std::abs(a - b);
    if (!(error <= largest)) largest = error;
    scale = std::max(scale, std::abs(b));
    ++compared;
  }
  double relative() const { return largest == 0 ? 0 : largest / scale; }
};

/// J, row (j c + a) the gradient of output a at row j: p x (m c) column-major.
inline Matrix<double> jacobian(const net::Network& network, net::Evaluator<double>& evaluator,
                               std::span<const double> w, MatrixView<const double> X) {
  const Index c = network.outputs(), p = network.parameters();
  Matrix<double> J(p, X.cols * c, kNotWritten), seed(c, X.cols, 0.0);
  for (Index k = 0; k < seed.size(); ++k) {
    seed.data()[k] = 1;
    evaluator.gradient(w, X, seed.view(), std::span(J.column(k), static_cast<std::size_t>(p)),
                       false);
    seed.data()[k] = 0;
  }
  return J;
}

}  // namespace mercer::test
