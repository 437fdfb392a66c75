// Derivatives against a plain twin in long double, and against one another.
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <utility>

#include "networks.hpp"
#include "patches.hpp"
#include "support/naive_network.hpp"

namespace mercer {
namespace {

using net::Evaluator, net::Parametrization, net::Start;
using test::Difference, test::Real80;

constexpr Index kInputs = 4, kRows = 4;

struct Case {
  std::string text;
  Parametrization parametrization;
  Start start;
  double bias_std;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << fmt::format("{}, {}, {}, bias_std={}", c.text, net::name(c.parametrization),
                      net::name(c.start), c.bias_std);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::string& text : test::architectures())
    for (const auto parametrization : {Parametrization::ntk, Parametrization::standard})
      for (const auto start : {Start::gaussian, Start::antisymmetric})
        for (const double bias_std : {0.0, 0.3})
          all.push_back({text, parametrization, start, bias_std});
  return all;
}

class Derivatives : public testing::TestWithParam<Case> {
 protected:
  const net::Network network = test::network_of(
      GetParam().text, kInputs, GetParam().parametrization, GetParam().start, GetParam().bias_std);
  const Index d = network.inputs();
  const Matrix<double> X = test::gaussian_matrix(d, kRows, 1);
  const std::vector<double> w = test::gaussian_parameters(network);
  const Index c = network.outputs(), p = network.parameters();
  Evaluator<double> evaluator{network, kRows};

  bool trained(Index i) const {
    return std::ranges::any_of(network.trained(), [i](const net::Range& range) {
      return i >= range.first && i < range.first + range.count;
    });
  }
  std::span<const double> row(Index j) const { return {X.column(j), static_cast<std::size_t>(d)}; }
};

TEST_P(Derivatives, OutputsAreThoseOfThePlainTwin) {
  Matrix<double> F(c, kRows, test::kNotWritten);
  evaluator.outputs(w, X.view(), F.view());
  const std::vector<Real80> w80(w.begin(), w.end());
  Difference difference;
  for (Index j = 0; j < kRows; ++j) {
    const auto f = test::naive_outputs(network, w80, row(j));
    for (Index a = 0; a < c; ++a)
      difference.add(F(a, j), static_cast<double>(f[static_cast<std::size_t>(a)]));
  }
  EXPECT_LE(difference.relative(), 1e-14);
  EXPECT_EQ(difference.compared, c * kRows);
}

// Central differences of fourth order in long double with h = 2e-6: truncation h^4 f^(5)/30 is
// nothing, rounding 2^-63/h about 1e-13 of f's size.
TEST_P(Derivatives, JacobianIsThatOfCentralDifferences) {
  const auto J = test::jacobian(network, evaluator, w, X.view());
  const Real80 h = 2e-6L;
  std::vector<Real80> shifted(w.begin(), w.end());
  Difference difference;
  for (Index i = 0; i < p; ++i)
    for (Index j = 0; j < kRows; ++j) {
      if (!trained(i)) {
        for (Index a = 0; a < c; ++a) difference.add(J(i, j * c + a), 0);
        continue;
      }
      const auto at = [&](Real80 shift) {
        Real80& entry = shifted[static_cast<std::size_t>(i)];
        const Real80 centre = std::exchange(entry, entry + shift);
        auto f = test::naive_outputs(network, shifted, row(j));
        entry = centre;
        return f;
      };
      const auto f1 = at(h), f_1 = at(-h), f2 = at(2 * h), f_2 = at(-2 * h);
      for (std::size_t a = 0; a < f1.size(); ++a)
        difference.add(J(i, j * c + static_cast<Index>(a)),
                       static_cast<double>((8 * (f1[a] - f_1[a]) - (f2[a] - f_2[a])) / (12 * h)));
    }
  EXPECT_LE(difference.relative(), 1e-11);
  EXPECT_EQ(difference.compared, p * kRows * c);
}

TEST_P(Derivatives, JvpAndGradientAreTheSameJacobian) {
  const auto J = test::jacobian(network, evaluator, w, X.view());
  const auto u = test::gaussian_matrix(p, 1, 2), seed = test::gaussian_matrix(c, kRows, 3);
  const std::span<const double> direction(u.data(), static_cast<std::size_t>(p));
  Matrix<double> F(c, kRows, test::kNotWritten);
  evaluator.jvp(w, direction, X.view(), F.view());
  std::vector<double> g(static_cast<std::size_t>(p), test::kNotWritten);
  evaluator.gradient(w, X.view(), seed.view(), g, false);

  Difference products;
  double left = 0, right = 0, terms = 0;
  for (Index k = 0; k < c * kRows; ++k) {
    double sum = 0;
    for (Index i = 0; i < p; ++i) sum += J(i, k) * u.data()[i];
    products.add(F.data()[k], sum);
    left += seed.data()[k] * F.data()[k];
    for (Index i = 0; i < p; ++i)
      terms = std::max(terms, std::abs(seed.data()[k] * J(i, k) * u.data()[i]));
  }
  for (Index i = 0; i < p; ++i) right += g[static_cast<std::size_t>(i)] * u.data()[i];
  EXPECT_LE(products.relative(), 1e-13);
  EXPECT_EQ(products.compared, c * kRows);
  EXPECT_LE(std::abs(left - right), 1e-13 * std::max({std::abs(left), std::abs(right), terms}));
}

TEST_P(Derivatives, OfBiasesWithoutEffectAreWrittenAsZero) {
  const auto J = test::jacobian(network, evaluator, w, X.view());
  Index zeros = 0, others = 0;
  for (Index copy = 0; copy < network.copies(); ++copy)
    for (const net::WeightLayer& layer : network.layers())
      for (Index i = layer.biases; i < layer.biases + layer.fan_out; ++i)
        for (Index k = 0; k < J.cols(); ++k)
          (J(copy * network.parameters_of_copy() + i, k) == 0 ? zeros : others) += 1;
  if (GetParam().parametrization == Parametrization::ntk && GetParam().bias_std == 0)
    EXPECT_EQ(others, 0);
  else
    EXPECT_GT(others, 0);
  EXPECT_GT(zeros + others, 0);
}

// A gradient is sum_j A_l(:, j) B_l(:, j)^T weight_scale, of a convolution with the patches of A_l
// and over pixels too; with a one-hot row j it is a row of J.
TEST_P(Derivatives, AreMadeOfTheInputsAndSignalsOfEachLayer) {
  const auto seed = test::gaussian_matrix(c, kRows, 3);
  const auto copy_size = static_cast<std::size_t>(network.parameters_of_copy());
  std::vector<double> g(w.size(), test::kNotWritten);
  evaluator.gradient(w, X.view(), seed.view(), g, false);
  Difference difference;
  for (Index copy = 0; copy < network.copies(); ++copy) {
    std::vector<Matrix<double>> A, B;
    std::vector<MatrixView<double>> inputs, signals;
    for (const net::WeightLayer& layer : network.layers()) {
      A.emplace_back(layer.inputs(), kRows, test::kNotWritten);
      B.emplace_back(layer.outputs(), kRows, test::kNotWritten);
    }
    for (auto& m : A) inputs.push_back(m.view());
    for (auto& m : B) signals.push_back(m.view());
    const auto start = static_cast<std::size_t>(copy) * copy_size;
    evaluator.signals(std::span(w).subspan(start, copy_size), X.view(), seed.view(), inputs,
                      signals);
    const double factor_of_copy =
        network.copies() == 1 ? 1 : (copy == 0 ? std::sqrt(0.5) : -std::sqrt(0.5));
    for (std::size_t l = 0; l < A.size(); ++l) {
      const net::WeightLayer& layer = network.layers()[l];
      const double factor = layer.trained ? factor_of_copy : 0;
      const Index pixels = layer.pixels(), K = layer.fan_in, C = layer.fan_out;
      Matrix<double> patches(K, pixels * kRows);
      if (layer.conv)
        net::gather<double>(*layer.conv, A[l].view(), 0, layer.conv->out.height * kRows,
                            patches.data());
      else
        std::copy_n(A[l].data(), A[l].size(), patches.data());
      const MatrixView<const double> signal{B[l].data(), C, pixels * kRows, C};
      for (Index o = 0; o < C; ++o) {
        double bias = 0;
        for (Index j = 0; j < signal.cols; ++j) bias += signal(o, j);
        difference.add(g[start + static_cast<std::size_t>(layer.biases + o)],
                       factor * layer.bias_scale * bias);
        for (Index i = 0; i < K; ++i) {
          double sum = 0;
          for (Index j = 0; j < signal.cols; ++j) sum += patches(i, j) * signal(o, j);
          difference.add(g[start + static_cast<std::size_t>(layer.weights + i * C + o)],
                         factor * layer.weight_scale * sum);
        }
      }
    }
  }
  EXPECT_LE(difference.relative(), 1e-14);
  EXPECT_EQ(difference.compared, p);
}

INSTANTIATE_TEST_SUITE_P(EveryArchitecture, Derivatives, testing::ValuesIn(cases()),
                         [](const auto& info) {
                           std::string name;
                           for (const char x : info.param.text)
                             name += std::isalnum(static_cast<unsigned char>(x)) ? x : '_';
                           return fmt::format("{}_{}_{}_bias{}_{}", name,
                                              net::name(info.param.parametrization),
                                              net::name(info.param.start),
                                              info.param.bias_std > 0 ? 1 : 0, info.index);
                         });

}  // namespace
}  // namespace mercer
