// The empirical tangent kernel of networks of images: against J J^T, and in the mean of wide random
// networks against the analytic kernels.
#include <gtest/gtest.h>

#include "mercer/kernel/kernel.hpp"
#include "mercer/net/empirical.hpp"
#include "networks.hpp"

namespace mercer::net {
namespace {

using test::Difference;

constexpr Index kRows = 6;

Matrix<double> matrix(const kernel::Kernel& kernel, const Matrix<double>& X) {
  const auto rows = kernel.prepare(X.copy());
  Matrix<double> K(X.cols(), X.cols(), test::kNotWritten);
  kernel.tile(*rows, 0, *rows, 0, K.view());
  return K;
}

/// Few pixels and many channels, where a layer is kept as factors, beside small filters on many
/// pixels, where it is kept as gradients.
std::vector<std::string> texts() {
  std::vector<std::string> all{"2x2x3: conv(3,16) relu conv(3,16) erf flatten dense(2)",
                               "3x3x2: conv(3,16,fixed) relu conv(3,40,pad=circular,stride=2) relu "
                               "gap dense(9) tanh dense(2)"};
  for (const auto& text : test::architectures())
    if (text.find(": ") != text.npos) all.push_back(text);
  return all;
}

class OfImages : public testing::TestWithParam<std::string> {
 protected:
  static Network of(Start start) {
    return test::network_of(GetParam(), 0, Parametrization::ntk, start);
  }
  static Matrix<double> rows(const Network& network) {
    return test::gaussian_matrix(network.inputs(), kRows, 1);
  }
};

TEST_P(OfImages, IsTheMeanOverOutputsOfTheJacobiansProducts) {
  for (const Start start : {Start::gaussian, Start::antisymmetric}) {
    const Network network = of(start);
    const auto X = rows(network);
    const auto w = test::gaussian_parameters(network);
    Evaluator<double> evaluator(network, kRows);
    const auto J = test::jacobian(network, evaluator, w, X.view());
    const Index c = network.outputs();
    const auto kernel = empirical_kernel(network, w);
    const auto K = matrix(*kernel, X);
    std::vector<double> diagonal(kRows, test::kNotWritten);
    const auto prepared = kernel->prepare(X.copy());
    kernel->diagonal(*prepared, 0, kRows, diagonal.data());
    Difference trace, of_diagonal;
    for (Index i = 0; i < kRows; ++i)
      for (Index j = 0; j < kRows; ++j) {
        double sum = 0;
        for (Index a = 0; a < c; ++a)
          for (Index p = 0; p < J.rows(); ++p) sum += J(p, i * c + a) * J(p, j * c + a);
        trace.add(K(i, j), sum / static_cast<double>(c));
        if (i == j) of_diagonal.add(diagonal[static_cast<std::size_t>(i)], K(i, i));
      }
    EXPECT_LE(trace.relative(), 1e-13);
    EXPECT_LE(of_diagonal.relative(), 1e-14);
    EXPECT_EQ(prepared->bytes(), kRows * kernel->bytes_per_row(network.inputs()));
  }
}

TEST_P(OfImages, HasAllPairsOfOutputsWhoseMeanIsTheTrace) {
  const Network network = of(Start::antisymmetric);
  const auto X = rows(network);
  const auto w = test::gaussian_parameters(network);
  const Index c = network.outputs(), d = network.inputs();
  Matrix<double> seeds(d + c, kRows * c, 0.0);
  for (Index k = 0; k < kRows * c; ++k) {
    std::copy_n(X.column(k / c), d, seeds.column(k));
    seeds(d + k % c, k) = 1;
  }
  Evaluator<double> evaluator(network, kRows);
  const auto J = test::jacobian(network, evaluator, w, X.view());
  const auto full = matrix(*empirical_kernel(network, w, Outputs::full), seeds);
  Difference difference;
  for (Index i = 0; i < kRows * c; ++i)
    for (Index j = 0; j < kRows * c; ++j) {
      double sum = 0;
      for (Index p = 0; p < J.rows(); ++p) sum += J(p, i) * J(p, j);
      difference.add(full(i, j), sum);
    }
  EXPECT_LE(difference.relative(), 1e-13);
}

TEST_P(OfImages, IsThatOfOneCopyAtAnAntisymmetricStart) {
  const Network one = of(Start::gaussian), two = of(Start::antisymmetric);
  const auto X = rows(one);
  const auto K = matrix(*empirical_kernel(one, one.initial<double>(7)), X);
  const auto both = matrix(*empirical_kernel(two, two.initial<double>(7)), X);
  Difference difference;
  for (Index k = 0; k < K.size(); ++k) difference.add(both.data()[k], K.data()[k]);
  EXPECT_LE(difference.relative(), 1e-14);
}

TEST_P(OfImages, OfASingleOutputIsThatOutputsPartOfAllPairs) {
  const Network network = of(Start::antisymmetric);
  const auto X = rows(network);
  const auto w = test::gaussian_parameters(network);
  const Index c = network.outputs();
  Evaluator<double> evaluator(network, kRows);
  const auto J = test::jacobian(network, evaluator, w, X.view());
  EXPECT_THROW(single_output({network, w}, c), InputError);
  EXPECT_THROW(single_output({network, w}, -1), InputError);
  for (Index a = 0; a < c; ++a) {
    const auto one = single_output({network, w}, a);
    const auto K = matrix(*empirical_kernel(one.network, one.parameters), X);
    Difference difference;
    for (Index i = 0; i < kRows; ++i)
      for (Index j = 0; j < kRows; ++j) {
        double sum = 0;
        for (Index p = 0; p < J.rows(); ++p) sum += J(p, i * c + a) * J(p, j * c + a);
        difference.add(K(i, j), sum);
      }
    EXPECT_LE(difference.relative(), 1e-13) << a;
  }
}

INSTANTIATE_TEST_SUITE_P(EmpiricalKernel, OfImages, testing::ValuesIn(texts()));

/// Mean of the tangent kernel over random networks, and of its last layer's term, which is the
/// covariance of the outputs given the layers before.
void expect_analytic_mean(const std::string& text, int draws) {
  const Network network = test::network_of(text, 0, Parametrization::ntk, Start::gaussian, 0.3);
  auto last = network.architecture();
  for (auto& layer : last.layers)
    std::visit(arch::Each{[](arch::Conv& conv) { conv.trained = false; },
                          [](arch::Residual& residual) {
                            for (auto& inner : residual.branch)
                              if (auto* conv = std::get_if<arch::Conv>(&inner.what))
                                conv->trained = false;
                          },
                          [](auto&) {}},
               layer.what);
  const Network readout(last, network.inputs(), Parametrization::ntk, Start::gaussian);
  const auto X = test::gaussian_matrix(network.inputs(), 3, 1);
  Matrix<double> ntk(3, 3, 0.0), nngp(3, 3, 0.0);
  for (int s = 0; s < draws; ++s) {
    const auto w = network.initial<double>(static_cast<std::uint64_t>(s));
    const auto T = matrix(*empirical_kernel(network, w), X);
    const auto K = matrix(*empirical_kernel(readout, w), X);
    for (Index k = 0; k < 9; ++k) {
      ntk.data()[k] += T.data()[k] / draws;
      nngp.data()[k] += K.data()[k] / draws;
    }
  }
  for (const auto kind : {kernel::Kind::ntk, kernel::Kind::nngp}) {
    const auto exact =
        matrix(*kernel::make({.kind = kind, .architecture = network.architecture()}), X);
    const auto& mean = kind == kernel::Kind::ntk ? ntk : nngp;
    double largest = 0;
    for (Index i = 0; i < 3; ++i)
      for (Index j = 0; j < 3; ++j) {
        const double error =
            std::abs(mean(i, j) - exact(i, j)) / std::sqrt(exact(i, i) * exact(j, j));
        if (!(error <= largest)) largest = error;
      }
    const std::string name = kind == kernel::Kind::ntk ? "ntk" : "nngp";
    EXPECT_LE(largest, 0.03) << text << " " << name;
    testing::Test::RecordProperty(name + " " + text, fmt::format("{:.4f}", largest));
  }
}

TEST(WideNetworks, OfImagesHaveTheAnalyticKernelsInTheMean) {
  expect_analytic_mean("4x4x2: conv(3,256) relu conv(3,256) relu flatten dense(1)", 40);
  expect_analytic_mean("5x4x2: conv(2x3,256,pad=valid) erf conv(3,256,stride=2) gelu gap dense(1)",
                       40);
  expect_analytic_mean(
      "4x4x2: conv(3,256,pad=circular) avgpool(2) relu conv(1,256) relu flatten dense(1)", 40);
  expect_analytic_mean("4x4x2: conv(3,256) res(relu conv(3,256)) relu avgpool(2) flatten dense(1)",
                       40);
  expect_analytic_mean(
      "8x2: conv(3,256,stride=2) abrelu(-0.5,1.5) conv(3,256) tanh flatten dense(1)", 40);
}

}  // namespace
}  // namespace mercer::net
