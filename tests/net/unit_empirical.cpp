// The empirical tangent kernel against reference values, against the analytic kernel of wide
// networks, and against its own definition.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "mercer/base/random.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/net/parameters.hpp"
#include "support/compare.hpp"
#include "support/golden.hpp"

namespace mercer::net {
namespace {

using test::kNaN;

Matrix<double> normals(Index rows, Index cols, std::uint64_t seed) {
  const Random random(seed, Stream::test);
  Matrix<double> A(rows, cols);
  for (Index k = 0; k < A.size(); ++k) A.data()[k] = random.normal(static_cast<std::uint64_t>(k));
  return A;
}

/// k(x_i, x_j) for the columns of X.
Matrix<double> matrix(const kernel::Kernel& kernel, const Matrix<double>& X) {
  const auto rows = kernel.prepare(X.copy());
  Matrix<double> K(X.cols(), X.cols(), kNaN);
  kernel.tile(*rows, 0, *rows, 0, K.view());
  return K;
}

/// max |A - B| relative to sqrt(B_ii B_jj); NaN where an entry is.
template <class F>
double difference(const Matrix<double>& A, F&& B) {
  double largest = 0;
  for (Index j = 0; j < A.cols(); ++j)
    for (Index i = 0; i < A.rows(); ++i) {
      const double error = std::abs(A(i, j) - B(i, j)) / std::sqrt(B(i, i) * B(j, j));
      if (!(error <= largest)) largest = error;
    }
  return largest;
}

Network network(const std::string& text, Index inputs, const arch::Options& options = {},
                Parametrization parametrization = Parametrization::ntk,
                Start start = Start::gaussian) {
  return Network(arch::parse(text, options), inputs, parametrization, start);
}

struct Golden {
  Network network;
  std::vector<double> w;
  Matrix<double> X;
  Index outputs;
};

Golden golden(const test::GoldenFile& file, const std::string& name) {
  arch::Options options;
  options.weight_std = file.number(name, "W_std");
  options.bias_std = file.number(name, "b_std");
  std::vector<double> w;
  std::string text;
  for (int l = 1; file.contains(name + "/W" + std::to_string(l)); ++l) {
    const auto W = file.transposed(name + "/W" + std::to_string(l));
    const auto b = file.transposed(name + "/b" + std::to_string(l));
    w.insert(w.end(), W.data(), W.data() + W.size());
    w.insert(w.end(), b.data(), b.data() + b.size());
    text += fmt::format("{}dense({})", l > 1 ? " relu " : "", W.rows());
  }
  auto X = file.transposed(name + "/X");
  const Index d = X.rows(), outputs = file.transposed(name + "/f").rows();
  return {network(text, d, options), w, std::move(X), outputs};
}

TEST(EmpiricalKernel, OfTheReferenceNetworksIsTheTraceAndTheFullTangentKernel) {
  if (test::golden_dir().empty()) GTEST_SKIP() << "MERCER_GOLDEN_DIR is not set";
  const auto comm = comm::Communicator::world();
  Index compared = 0;
  for (const std::string name : {"relu_64x2_out1", "relu_64x2_out3"}) {
    // (n, n, c, c) row-major: entry (i, j, a, b).
    const auto stored = io::Hdf5File::open(comm, test::golden_dir() + "/empirical_mlp.h5")
                            .read_vector("/" + name + "/ntk_full");
    const test::GoldenFile file("empirical_mlp");
    const Golden g = golden(file, name);
    ASSERT_EQ(static_cast<Index>(g.w.size()), g.network.parameters());
    const Index n = g.X.cols(), c = g.outputs;
    const auto exact = file.transposed(name + "/ntk_trace");
    const auto K = matrix(*empirical_kernel(g.network, g.w), g.X);
    EXPECT_TRUE(difference(K, exact) <= 1e-12) << name << " " << difference(K, exact);
    compared += K.size();

    dist::RowBlock<double> rows(comm, n, g.X.rows());
    std::copy_n(g.X.data(), g.X.size(), rows.values().data());
    const auto seeded = seeded_rows(rows, c);
    Matrix<double> seeds(g.X.rows() + c, n * c);
    std::ranges::copy(seeded.values(), seeds.data());
    const auto full = matrix(*empirical_kernel(g.network, g.w, Outputs::full), seeds);
    ASSERT_EQ(static_cast<Index>(stored.size()), n * n * c * c);
    const auto entry = [&](Index r, Index s) {
      return stored[static_cast<std::size_t>(((r / c * n + s / c) * c + r % c) * c + s % c)];
    };
    EXPECT_TRUE(difference(full, entry) <= 1e-12) << name << " " << difference(full, entry);
    compared += full.size();

    const auto f = outputs(g.network, g.w, rows);
    const auto f_exact = file.transposed(name + "/f");
    for (Index k = 0; k < f_exact.size(); ++k)
      EXPECT_NEAR(f.values()[static_cast<std::size_t>(k)], f_exact.data()[k], 1e-12);
  }
  EXPECT_EQ(compared, 2 * 64 + 64 + 64 * 9);
}

TEST(EmpiricalKernel, TraceIsTheMeanOverOutputsOfTheFullOne) {
  const Index n = 7, c = 3;
  const auto X = normals(4, n, 21);
  Matrix<double> seeds(4 + c, n * c, 0.0);
  for (Index k = 0; k < n * c; ++k) {
    std::copy_n(X.column(k / c), 4, seeds.column(k));
    seeds(4 + k % c, k) = 1;
  }
  for (const std::string text :
       {"dense(3)", "dense(30) relu dense(3)", "dense(20) dense(3)",
        "dense(30) tanh dense(20) gelu dense(3)", "dense(9) res(relu dense(9)) dense(3)",
        "dense(9) relu res(dense(9) erf) dense(3)", "dense(30) relu dense(3,fixed)",
        "dense(9) tanh dense(8,fixed) relu dense(3)", "dense(9,fixed) erf dense(8) relu dense(3)",
        "dense(9) res(res(sin(1,1,0) dense(9)) softplus dense(9)) relu dense(3)"})
    for (const Start start : {Start::gaussian, Start::antisymmetric}) {
      const auto net = network(text, 4, {.bias_std = 0.4}, Parametrization::standard, start);
      auto w = net.initial<double>(5);
      for (std::size_t k = 0; k < w.size(); k += 2) w[k] -= 0.1;
      const auto full = matrix(*empirical_kernel(net, w, Outputs::full), seeds);
      const auto mean = [&](Index i, Index j) {
        double sum = 0;
        for (Index a = 0; a < c; ++a) sum += full(i * c + a, j * c + a);
        return sum / static_cast<double>(c);
      };
      EXPECT_TRUE(difference(matrix(*empirical_kernel(net, w), X), mean) <= 1e-13) << text;
    }
}

TEST(EmpiricalKernel, HasTheTilesDiagonalWhateverTheTile) {
  const auto net = network("dense(70) tanh res(dense(90) gelu dense(70)) dense(3)", 5,
                           {.weight_std = 1.2, .bias_std = 0.3});
  const auto kernel = empirical_kernel(net, net.initial<double>(3));
  const Index m = 300;
  const auto rows = kernel->prepare(normals(5, m, 1));
  EXPECT_EQ(rows->size(), m);
  EXPECT_EQ(rows->bytes(), m * kernel->bytes_per_row(5));
  Matrix<double> K(m, m, kNaN), part(40, 17, kNaN);
  kernel->tile(*rows, 0, *rows, 0, K.view());
  kernel->tile(*rows, 250, *rows, 11, part.view());
  for (Index j = 0; j < part.cols(); ++j)
    for (Index i = 0; i < part.rows(); ++i)
      EXPECT_TRUE(std::abs(part(i, j) - K(250 + i, 11 + j)) <= 1e-13 * K(0, 0));
  std::vector<double> diagonal(static_cast<std::size_t>(m), kNaN);
  kernel->diagonal(*rows, 0, m, diagonal.data());
  for (Index i = 0; i < m; ++i)
    EXPECT_TRUE(std::abs(diagonal[static_cast<std::size_t>(i)] - K(i, i)) <= 1e-13 * K(i, i));
}

TEST(EmpiricalKernel, OfMoreRowsThanGoThroughAtOnceIsThatOfEachRow) {
  const auto net = network("dense(6000) erf dense(2)", 3);
  const auto kernel = empirical_kernel(net, net.initial<double>(1));
  const Index m = 600;
  const auto X = normals(3, m, 2);
  const auto rows = kernel->prepare(X.copy());
  for (const Index i : {0, 17, 299, 350, 599}) {
    Matrix<double> x(3, 1), one(1, 1, kNaN), of_all(1, 1, kNaN);
    std::copy_n(X.column(i), 3, x.data());
    const auto row = kernel->prepare(std::move(x));
    kernel->tile(*row, 0, *row, 0, one.view());
    kernel->tile(*rows, i, *rows, i, of_all.view());
    EXPECT_TRUE(std::abs(one(0, 0) - of_all(0, 0)) <= 1e-12 * one(0, 0)) << i;
  }
}

TEST(EmpiricalKernel, OfAnAntisymmetricNetworkIsTheMeanOverItsCopies) {
  const auto X = normals(4, 9, 5);
  const std::string text = "dense(50) relu dense(40) relu dense(2)";
  const auto one = network(text, 4, {.bias_std = 0.5});
  const auto two = network(text, 4, {.bias_std = 0.5}, Parametrization::ntk, Start::antisymmetric);
  const auto w = one.initial<double>(7);
  const auto K = matrix(*empirical_kernel(one, w), X);

  const auto at_start = empirical_kernel(two, two.initial<double>(7));
  EXPECT_EQ(at_start->bytes_per_row(4), empirical_kernel(one, w)->bytes_per_row(4));
  EXPECT_EQ(difference(matrix(*at_start, X), K), 0);

  const auto other = one.initial<double>(8);
  auto both = w;
  both.insert(both.end(), other.begin(), other.end());
  const auto K_other = matrix(*empirical_kernel(one, other), X);
  const auto mean = [&](Index i, Index j) { return (K(i, j) + K_other(i, j)) / 2; };
  const auto later = empirical_kernel(two, both);
  EXPECT_TRUE(difference(matrix(*later, X), mean) <= 1e-14);
  EXPECT_NE(later->text(), at_start->text());
}

TEST(EmpiricalKernel, RefusesRowsOfAnotherLengthAndOtherParameters) {
  const auto net = network("dense(5) relu dense(2)", 4);
  const auto w = net.initial<double>(0);
  EXPECT_THROW(empirical_kernel(net, w)->prepare(Matrix<double>(6, 0)), InputError);
  EXPECT_THROW(empirical_kernel(net, w)->bytes_per_row(3), InputError);
  EXPECT_EQ(empirical_kernel(net, w, Outputs::full)->prepare(Matrix<double>(6, 0))->size(), 0);
  EXPECT_THROW(empirical_kernel(net, {1.0, 2.0}), InputError);
}

/// Another draw of the network's start: small layers anew, large ones with the signs of their rows
/// and columns at random, which costs less than new numbers and has the same distribution.
std::vector<double> redrawn(const Network& net, std::vector<double> w, std::uint64_t draw) {
  const Random random(draw, Stream::test, 1);
  std::uint64_t at = 0;
  for (const WeightLayer& layer : net.layers()) {
    double* W = w.data() + layer.weights;
    double* b = w.data() + layer.biases;
    for (Index j = 0; j < layer.fan_out; ++j) b[j] = layer.bias_start * random.normal(at++);
    if (std::min(layer.fan_in, layer.fan_out) < 50) {
      for (Index k = 0; k < layer.fan_in * layer.fan_out; ++k)
        W[k] = layer.weight_start * random.normal(at++);
      continue;
    }
    std::vector<double> signs(static_cast<std::size_t>(layer.fan_in + layer.fan_out));
    for (double& sign : signs) sign = random.uniform(at++) < 0.5 ? -1 : 1;
    for (Index i = 0; i < layer.fan_in; ++i)
      for (Index j = 0; j < layer.fan_out; ++j)
        W[i * layer.fan_out + j] *=
            signs[static_cast<std::size_t>(i)] * signs[static_cast<std::size_t>(layer.fan_in + j)];
  }
  return w;
}

/// The mean of scale J J^T over `draws` networks.
Matrix<double> mean_kernel(const Network& net, const Matrix<double>& X, int draws, double scale) {
  const auto w_0 = net.initial<double>(1);
  Matrix<double> mean(X.cols(), X.cols(), 0.0);
  for (int s = 0; s < draws; ++s) {
    const auto w = s == 0 ? w_0 : redrawn(net, w_0, static_cast<std::uint64_t>(s));
    const auto K = matrix(*empirical_kernel(net, w), X);
    for (Index k = 0; k < K.size(); ++k) mean.data()[k] += scale * K.data()[k] / draws;
  }
  return mean;
}

Matrix<double> analytic(const std::string& text, const arch::Options& options,
                        const Matrix<double>& X, kernel::Parametrization p) {
  kernel::Options o;
  o.architecture = arch::parse(text, options);
  o.parametrization = p;
  return matrix(*kernel::make(o), X);
}

constexpr double kLimit = 0.02;
const arch::Options kScales{.weight_std = 1.3, .bias_std = 0.3};

/// Both parametrisations; the standard one as (1/m) J J^T, where terms of order 1/m are left: those
/// of the biases are the smaller, the larger the inputs.
void expect_analytic_mean(const std::string& text, int draws, double scale = 1,
                          bool in_standard_too = true) {
  const Index d = 3;
  auto X = normals(d, 4, 11);
  for (Index k = 0; k < X.size(); ++k) X.data()[k] *= scale;
  const auto ntk = mean_kernel(network(text, d, kScales), X, draws, 1);
  const double error = difference(ntk, analytic(text, kScales, X, kernel::Parametrization::ntk));
  EXPECT_TRUE(error <= kLimit) << text << " " << error;
  testing::Test::RecordProperty("ntk", fmt::format("{:.4f}", error));
  if (!in_standard_too) return;

  const auto net = network(text, d, kScales, Parametrization::standard);
  const double m = static_cast<double>(net.layers().back().fan_in);
  const auto standard = mean_kernel(net, X, draws, 1 / m);
  const double error_standard =
      difference(standard, analytic(text, kScales, X, kernel::Parametrization::standard));
  EXPECT_TRUE(error_standard <= kLimit) << text << " standard " << error_standard;
  testing::Test::RecordProperty("standard", fmt::format("{:.4f}", error_standard));
}

class EveryActivation : public testing::TestWithParam<std::string> {};

TEST_P(EveryActivation, HasTheAnalyticTangentKernelInTheMeanOfWideNetworks) {
  expect_analytic_mean(fmt::format("dense(8192) {} dense(1)", GetParam()), 40);
}

INSTANTIATE_TEST_SUITE_P(Grammar, EveryActivation,
                         testing::Values("relu", "leaky_relu(0.2)", "abrelu(-0.5,1.5)", "erf",
                                         "erf(0.8,1.7)", "gelu", "sin(1,1,0)", "sin(1.3,0.7,0.4)",
                                         "tanh", "softplus", "sigmoid"));

TEST(WideNetworks, OfSeveralLayersHaveTheAnalyticTangentKernelInTheMean) {
  expect_analytic_mean("dense(512) tanh dense(384) relu dense(1)", 500);
}

std::string standard_text(const std::string& architecture) {
  kernel::Options o;
  o.architecture = arch::parse(architecture);
  o.parametrization = kernel::Parametrization::standard;
  return kernel::make(o)->text();
}

TEST(WideNetworks, WithFixedLayersHaveTheirTangentKernelInTheMean) {
  expect_analytic_mean("dense(8192) relu dense(1,fixed)", 40, 1, false);
  EXPECT_THROW(standard_text("dense relu dense(fixed)"), InputError);  // it vanishes there
  expect_analytic_mean("dense(8192,fixed) relu dense(1)", 40);
}

TEST(WideNetworks, WithResidualConnectionsHaveTheAnalyticTangentKernelInTheMean) {
  expect_analytic_mean("dense(768) res(relu dense(768)) relu dense(1)", 300, 3);
}

TEST(StandardKernel, NamesItselfAndTheWidthsWhereTheyMatter) {
  const auto named = [](const std::string& architecture) {
    return "ntk(" + architecture + "; weight_std=1.4142135623730951; bias_std=0; standard)";
  };
  EXPECT_EQ(standard_text("dense relu dense"), named("dense relu dense"));
  EXPECT_EQ(standard_text("dense(9) relu dense(9) relu dense(4)"),
            named("dense relu dense relu dense"));
  EXPECT_EQ(standard_text("dense(9) relu dense(8) relu dense"),
            named("dense(9) relu dense(8) relu dense"));
  EXPECT_THROW(standard_text("dense(9)"), InputError);
  EXPECT_THROW(standard_text("dense(9) relu dense relu dense"), InputError);
}

/// With Sigma and Theta of the networks of one and two hidden layers, sigma_w^2 E[rho' rho'] of the
/// second is (Theta_2 - Sigma_2)/Theta_1 and E[rho rho] of layer l is (Sigma_l -
/// sigma_b^2)/sigma_w^2.
TEST(StandardKernel, IsMadeOfTheLayersTermsOfTheOtherOne) {
  const auto X = normals(5, 12, 31);
  const auto of = [&](const std::string& text, kernel::Kind kind, kernel::Parametrization p) {
    return matrix(*kernel::make({kind, arch::parse(text, kScales), 1, p}), X);
  };
  using enum kernel::Kind;
  using P = kernel::Parametrization;
  const double W2 = kScales.weight_std * kScales.weight_std;
  const double b2 = kScales.bias_std * kScales.bias_std;
  for (const std::string rho : {"relu", "erf", "gelu", "tanh", "sin(1.3,0.7,0.4)", "softplus"}) {
    const auto one = fmt::format("dense {} dense", rho), two = fmt::format("{} {} dense", one, rho);
    const auto sigma_1 = of(one, nngp, P::ntk), sigma_2 = of(two, nngp, P::ntk);
    const auto theta_1 = of(one, ntk, P::ntk), theta_2 = of(two, ntk, P::ntk);
    const auto first = [&](Index i, Index j) { return (sigma_1(i, j) - b2) / W2; };
    const auto both = [&](double ratio) {
      return [&, ratio](Index i, Index j) {
        return (sigma_2(i, j) - b2) / W2 +
               (theta_2(i, j) - sigma_2(i, j)) / theta_1(i, j) * ratio * first(i, j);
      };
    };
    EXPECT_TRUE(difference(of(one, ntk, P::standard), first) <= 1e-12) << rho;
    EXPECT_TRUE(difference(of(two, ntk, P::standard), both(1)) <= 1e-12) << rho;
    const auto widths = fmt::format("dense(96) {0} dense(32) {0} dense(7)", rho);
    EXPECT_TRUE(difference(of(widths, ntk, P::standard), both(3)) <= 1e-12) << rho;
    EXPECT_EQ(difference(of(two, nngp, P::standard), sigma_2), 0) << rho;

    const auto k = kernel::make({ntk, arch::parse(widths, kScales), 1, P::standard});
    const auto rows = k->prepare(X.copy());
    std::vector<double> diagonal(12, kNaN);
    k->diagonal(*rows, 0, 12, diagonal.data());
    for (Index i = 0; i < 12; ++i)
      EXPECT_NEAR(diagonal[static_cast<std::size_t>(i)], both(3)(i, i), 1e-12 * both(3)(i, i));
  }
}

}  // namespace
}  // namespace mercer::net
