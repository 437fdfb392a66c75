// Rows of every size that double can hold: right entries where the value exists, an error with the
// row and the layer where it does not. The values expected are those of Kernel::reference().
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "mercer/base/random.hpp"
#include "mercer/kernel/kernel.hpp"

namespace mercer {
namespace {

using kernel::Kind;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr Index kDimension = 4;

/// Row j is normal times sizes[j].
Matrix<double> rows_of_sizes(const std::vector<double>& sizes, std::uint32_t substream) {
  Matrix<double> X(kDimension, std::ssize(sizes));
  const Random random(21, Stream::test, substream);
  for (Index j = 0; j < X.cols(); ++j)
    for (Index k = 0; k < X.rows(); ++k)
      X(k, j) = sizes[static_cast<std::size_t>(j)] *
                random.normal(static_cast<std::uint64_t>(k + j * X.rows()));
  return X;
}

std::span<const double> row(const Matrix<double>& X, Index j) {
  return {X.column(j), static_cast<std::size_t>(X.rows())};
}

Matrix<double> tile(const kernel::Kernel& k, const Matrix<double>& X, const Matrix<double>& Z) {
  const auto x = k.prepare(X.copy()), z = k.prepare(Z.copy());
  Matrix<double> out(X.cols(), Z.cols(), kNan);
  k.tile(*x, 0, *z, 0, out.view());
  return out;
}

/// Every entry within `tolerance` of sqrt(k(x, x) k(z, z)) of the reference, where that size is in
/// the range of normal numbers, and within the smallest of those elsewhere.
void expect_reference(const kernel::Kernel& k, const Matrix<double>& X, const Matrix<double>& Z,
                      double tolerance) {
  const auto out = tile(k, X, Z);
  Index compared = 0;
  for (Index i = 0; i < X.cols(); ++i)
    for (Index j = 0; j < Z.cols(); ++j) {
      const long double exact = *k.reference(row(X, i), row(Z, j));
      const long double size = std::sqrt(*k.reference(row(X, i), row(X, i))) *
                               std::sqrt(*k.reference(row(Z, j), row(Z, j)));
      const long double allowed =
          tolerance * size + static_cast<long double>(std::numeric_limits<double>::min());
      EXPECT_TRUE(std::fabs(out(i, j) - exact) <= allowed)
          << k.text() << " row " << i << " column " << j << ": " << out(i, j) << " for "
          << static_cast<double>(exact);
      ++compared;
    }
  EXPECT_EQ(compared, X.cols() * Z.cols());
}

std::shared_ptr<const kernel::Kernel> network(const std::string& text, double bias = 0,
                                              Kind kind = Kind::ntk, double weight = 1.4) {
  arch::Options options;
  options.weight_std = weight;
  options.bias_std = bias;
  return kernel::make({kind, arch::parse(text, options), 1});
}

const char* const kNetworks[] = {
    "dense relu dense",          "dense relu dense leaky_relu(0.1) dense",
    "dense erf dense",           "dense erf(0.7,2) dense erf dense",
    "dense gelu dense",          "dense sin(1.2,0.7,0) dense",
    "dense tanh dense",          "dense softplus dense",
    "dense sigmoid dense",       "dense res(relu dense) relu dense",
    "dense erf dense relu dense"};

TEST(Range, TinyAndSubnormalRowsKeepTheirEntriesAgainstOrdinaryOnes) {
  // 1e-310 has 45 bits; its entries have no more.
  const auto X = rows_of_sizes({1e-310, 1e-300, 1e-200, 1e-160, 1e-20, 1}, 1);
  const auto Z = rows_of_sizes({1, 3, 1e-5}, 2);
  for (const char* text : kNetworks)
    for (const Kind kind : {Kind::ntk, Kind::nngp}) {
      SCOPED_TRACE(text);
      expect_reference(*network(text, 0, kind), X, Z, 1e-12);
      expect_reference(*network(text, 0.3, kind), X, Z, 1e-12);
      expect_reference(*network(text, 0, kind), X, X, 1e-12);
    }
}

TEST(Range, HomogeneousNetworksScaleExactlyOverAllOfDouble) {
  for (const char* text : {"dense relu dense", "dense relu dense leaky_relu(0.1) dense",
                           "dense res(relu dense) relu dense"}) {
    const auto k = network(text);
    const auto Z = rows_of_sizes({1, 1, 1}, 3);
    for (const double size : {1e-290, 1e-200, 1e-100, 1e100, 1e200, 1e300}) {
      const auto X = rows_of_sizes({size, size}, 4);
      expect_reference(*k, X, Z, 1e-13);
      const auto inverse = rows_of_sizes({1 / size, 2 / size}, 5);
      expect_reference(*k, X, inverse, 1e-13);
    }
  }
}

TEST(Range, LargeRowsOfBoundedActivationsKeepTheirEntries) {
  const auto X = rows_of_sizes({1e4, 100, 1, 1e6}, 6);
  for (const char* text : {"dense erf dense", "dense tanh dense", "dense sigmoid dense"}) {
    const auto k = network(text, 0.1, Kind::nngp);
    expect_reference(*k, X, X, 1e-12 + k->prepare(X.copy())->error_estimate());
  }
  const auto far = rows_of_sizes({1e200, 1e300, 1e-5, 1}, 7);
  expect_reference(*network("dense erf dense", 0, Kind::nngp), far, far, 1e-12);
  expect_reference(*network("dense sin(1,1,0.3) dense", 0, Kind::nngp), far, far, 1e-12);
}

TEST(Range, GaussianAndLaplaceAreOneOnTheDiagonalWhateverTheScale) {
  for (const Kind kind : {Kind::gaussian, Kind::laplace})
    for (const double size : {5e-324, 1e-310, 1e-200, 1e-160, 1.0, 1e150, 1e155, 1e200, 1e307})
      for (const double h : {1e-90, 1.0, 1e90}) {
        const auto X = rows_of_sizes({size, size, -size}, 8);
        const auto k = kernel::make({kind, {}, h});
        const auto out = tile(*k, X, X);
        for (Index i = 0; i < 3; ++i) EXPECT_EQ(out(i, i), 1) << size << " " << h;
        expect_reference(*k, X, X, 1e-12);
      }
}

TEST(Range, DistancesFollowTheBandwidthOverAllOfDouble) {
  for (const Kind kind : {Kind::gaussian, Kind::laplace})
    for (const double h : {1e-300, 1e-160, 1e-100, 1e-3, 1e100, 1e160, 1e300}) {
      const auto X = rows_of_sizes({h, 2 * h, 0.5 * h, 1e-3 * h}, 9);
      const auto k = kernel::make({kind, {}, h});
      const auto out = tile(*k, X, X);
      expect_reference(*k, X, X, 1e-12);
      EXPECT_TRUE(out(0, 1) > 1e-9 && out(0, 1) < 0.99) << out(0, 1);  // the values are no 0 or 1
    }
}

TEST(Range, RowsFarFromTheOriginKeepTheirDistances) {
  for (const Kind kind : {Kind::gaussian, Kind::laplace})
    for (const double offset : {1e8, 1e15, 1e200}) {
      auto X = rows_of_sizes({1, 1, 2}, 10);
      for (Index j = 0; j < 3; ++j) X(0, j) = offset;  // the others differ by about 1
      if (offset < 1e100)
        for (Index k = 0; k < X.size(); ++k) X.data()[k] += offset;
      expect_reference(*kernel::make({kind, {}, 2.0}), X, X, 1e-12);
    }
}

TEST(Range, ABandwidthThatCannotTellItsInputsIsAnErrorWithTheRow) {
  const auto X = rows_of_sizes({1e-300, 1e200}, 11);
  try {
    (void)kernel::make({Kind::gaussian, {}, 1e-300})->prepare(X.copy());
    FAIL() << "no error";
  } catch (const kernel::RowError& error) {
    EXPECT_EQ(error.row(), 1);
    EXPECT_NE(std::string(error.what()).find("bandwidth"), std::string::npos) << error.what();
  }
}

TEST(Range, DepthAndWeightsBeyondDoubleAreAnErrorWithRowAndLayer) {
  arch::Options options;
  options.weight_std = 100;
  const auto deep = kernel::make({Kind::ntk, arch::fully_connected(200, "relu", options), 1});
  try {
    (void)deep->prepare(rows_of_sizes({0, 1}, 12));
    FAIL() << "no error";
  } catch (const kernel::RowError& error) {
    EXPECT_EQ(error.row(), 1);  // row 0 is zero, and fine
    // k(x, x) = T_l = l q_l in dense layer l, q_l = (|x|^2/d) 100^2 (100^2/2)^(l-1).
    const auto X = rows_of_sizes({0, 1}, 12);
    long double q = 0;
    for (const double x : row(X, 1)) q += 2 * static_cast<long double>(x) * x / kDimension;
    int layer = 0;
    for (long double T = 0; T <= std::numeric_limits<double>::max(); T = layer * q) {
      ++layer;
      q *= 1e4L / 2;
    }
    EXPECT_NE(std::string(error.what()).find(fmt::format("dense layer {} of 201", layer)),
              std::string::npos)
        << error.what();
  }
  const auto shallow = kernel::make({Kind::ntk, arch::fully_connected(90, "relu", options), 1});
  const auto rows = shallow->prepare(rows_of_sizes({1, 1e-60}, 13));
  EXPECT_NE(shallow->range_error(*rows, 0).find("dense layer"), std::string::npos);
  EXPECT_EQ(shallow->range_error(*rows, 1), "");
}

TEST(Range, EveryKernelNamesTheRowWhoseValueDoesNotExist) {
  const auto X = rows_of_sizes({1, 1e200, 1e-200}, 14);
  for (const auto& k :
       {network("dense relu dense"), network("dense gelu dense", 0.1),
        network("dense softplus dense"), network("dense res(relu dense) relu dense"),
        kernel::make({Kind::linear, {}, 1})}) {
    SCOPED_TRACE(k->text());
    const auto rows = k->prepare(X.copy());
    double diagonal[3];
    k->diagonal(*rows, 0, 3, diagonal);
    EXPECT_TRUE(std::isfinite(diagonal[0]) && std::isfinite(diagonal[2])) << k->text();
    EXPECT_FALSE(std::isfinite(diagonal[1])) << k->text();
    EXPECT_EQ(k->range_error(*rows, 0), "") << k->text();
    EXPECT_NE(k->range_error(*rows, 1), "") << k->text();
    EXPECT_EQ(k->range_error(*rows, 2), "") << k->text();
  }
}

TEST(Reference, IsTheClosedFormOfSmallNetworks) {
  // Cho and Saul 2009 at 60 degrees: unit vectors in R^2, sigma_w^2 = 2, no bias.
  const std::vector<double> x{1, 0}, z{0.5, std::sqrt(0.75)};
  const auto k = kernel::make({Kind::nngp, arch::fully_connected(1, "relu"), 1});
  const double pi = std::acos(-1.0), theta = pi / 3;
  const double q = 1;  // 2 |x|^2/2
  const double expected = 2 * q / (2 * pi) * (std::sin(theta) + (pi - theta) * std::cos(theta));
  EXPECT_NEAR(static_cast<double>(*k->reference(x, z)), expected, 1e-15);
  const auto ntk = kernel::make({Kind::ntk, arch::fully_connected(1, "relu"), 1});
  EXPECT_NEAR(static_cast<double>(*ntk->reference(x, z)),
              expected + 2 * 0.5 * (pi - theta) / (2 * pi), 1e-15);
  EXPECT_NEAR(static_cast<double>(*ntk->reference(x, x)), 2, 1e-15);
}

}  // namespace
}  // namespace mercer
