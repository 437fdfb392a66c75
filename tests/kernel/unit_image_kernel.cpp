// Kernels of convolutional architectures against the textbook recursion on pairs of pixels.
#include <gtest/gtest.h>

#include <cmath>
#include <span>

#include "mercer/base/random.hpp"
#include "mercer/kernel/kernel.hpp"

namespace mercer::kernel {
namespace {

Matrix<double> images(const arch::Image& image, Index n, std::uint32_t part = 0) {
  Matrix<double> X(image.numbers(), n);
  const Random random(5, Stream::test, part);
  for (Index i = 0; i < X.size(); ++i) X.data()[i] = random.normal(static_cast<std::uint64_t>(i));
  return X;
}

std::span<const double> row(const Matrix<double>& X, Index i) {
  return {X.column(i), static_cast<std::size_t>(X.rows())};
}

struct Case {
  const char* architecture;
  const char* image;
};

std::shared_ptr<const Kernel> kernel_of(const Case& c, Kind kind,
                                        Parametrization parametrization = Parametrization::ntk) {
  arch::Options options;
  options.weight_std = 1.3;
  options.bias_std = 0.2;
  const auto architecture = arch::parse(c.architecture, options).on(arch::parse_image(c.image));
  return make({.kind = kind, .architecture = architecture, .parametrization = parametrization});
}

Matrix<double> tile(const Kernel& k, const Matrix<double>& X, const Matrix<double>& Z) {
  const auto x = k.prepare(X.copy()), z = k.prepare(Z.copy());
  Matrix<double> out(X.cols(), Z.cols(), std::nan(""));
  k.tile(*x, 0, *z, 0, out.view());
  return out;
}

/// The largest difference to reference(), relative to sqrt(k(x, x) k(z, z)).
double largest_error(const Kernel& k, const Matrix<double>& X, const Matrix<double>& Z) {
  const auto K = tile(k, X, Z);
  double largest = 0;
  for (Index i = 0; i < X.cols(); ++i)
    for (Index j = 0; j < Z.cols(); ++j) {
      const auto x = row(X, i), z = row(Z, j);
      const auto scale = std::sqrt(*k.reference(x, x) * *k.reference(z, z));
      const auto error = static_cast<double>(std::fabs(K(i, j) - *k.reference(x, z)) / scale);
      if (!(error <= largest)) largest = error;
    }
  return largest;
}

TEST(ImageKernel, IsTheTextbooksForEveryKindOfLayer) {
  const Case cases[] = {
      {"conv(3) relu conv(3) relu flatten dense", "6x5x2"},
      {"conv(3x1) relu conv(1x5) relu gap dense", "4x6x3"},
      {"conv(21) relu conv(3x65535) relu gap dense", "3x4x2"},
      {"conv(3) relu conv(3) gap relu dense relu dense", "5x4x2"},
      {"conv(5) relu avgpool(2) conv(3) relu avgpool(2) flatten dense relu dense", "8x8x1"},
      {"conv(3) avgpool(2) relu conv(1) avgpool(2x1) relu gap dense", "4x4x2"},
      {"conv(3,stride=2) relu conv(3,pad=valid) relu gap dense", "9x9x1"},
      {"conv(4,pad=valid,stride=3) relu conv(3) relu flatten dense", "10x13x2"},
      {"conv(3,pad=circular) relu conv(3,pad=circular,stride=2) relu gap dense", "5x6x2"},
      {"conv(3,pad=circular) relu conv(3) relu conv(3,pad=circular) relu gap dense", "4x5x2"},
      {"conv(3,pad=circular) relu avgpool(2) conv(3) relu avgpool(2) gap dense", "8x4x1"},
      {"conv(3) res(relu conv(3) relu conv(3)) relu gap dense", "4x4x2"},
      {"conv(3) relu res(conv(3) relu) conv(3) relu flatten dense", "4x4x2"},
      {"conv(3) relu avgpool(2) res(conv(3) relu) conv(1) relu gap dense", "4x4x2"},
      {"conv(3,pad=circular) res(relu conv(3,pad=circular) res(relu conv(3,pad=circular))) relu "
       "gap dense",
       "3x4x2"},
      {"conv(3,fixed) relu conv(3) relu gap dense(fixed)", "4x4x2"},
      {"conv(3) relu conv(5,stride=2) relu gap dense", "11x2"},
      {"conv(3) relu avgpool(3) conv(3,pad=circular) relu flatten dense", "12x3"},
      {"conv(1) abrelu(-0.5,1.5) conv(3) leaky_relu(0.1) gap dense", "3x4x2"},
      {"conv(3) gelu conv(3) gelu gap dense", "4x4x2"},
      {"conv(3) erf(0.8,1.7) conv(3,pad=circular) erf gap dense", "4x4x2"},
      {"conv(3) sin(1.3,0.7,0.4) conv(3) sin(1,1,0) flatten dense sin(1,1,1) dense", "4x4x2"}};
  for (const Case& c : cases)
    for (const Kind kind : {Kind::nngp, Kind::ntk}) {
      const auto k = kernel_of(c, kind);
      const auto image = arch::parse_image(c.image);
      const double error = largest_error(*k, images(image, 2), images(image, 2, 1));
      EXPECT_LE(error, 1e-12) << k->text();
      EXPECT_EQ(parse(k->text())->text(), k->text());
    }
}

TEST(ImageKernel, OfASeriesIsTheTextbooks) {
  for (const Case& c :
       {Case{"conv(3) tanh gap dense", "2x3x2"}, Case{"conv(3) sigmoid flatten dense", "2x2x2"},
        Case{"conv(3) softplus conv(3) relu flatten dense", "2x2x1"}}) {
    const auto k = kernel_of(c, Kind::ntk);
    const auto image = arch::parse_image(c.image);
    EXPECT_LE(largest_error(*k, images(image, 2), images(image, 1, 1)), 1e-11) << k->text();
  }
}

TEST(ImageKernel, OfTheStandardParametrisationIsTheTextbooks) {
  for (const Case& c :
       {Case{"conv(3,8) relu conv(3,4) relu flatten dense(6) relu dense(1)", "4x4x2"},
        Case{"conv(3) relu conv(3) relu gap dense", "4x4x2"}}) {
    const auto k = kernel_of(c, Kind::ntk, Parametrization::standard);
    const auto image = arch::parse_image(c.image);
    EXPECT_LE(largest_error(*k, images(image, 2), images(image, 2, 1)), 1e-12) << k->text();
    EXPECT_EQ(parse(k->text())->text(), k->text());
  }
}

TEST(ImageKernel, OfOnePixelIsTheDenseOne) {
  const auto k =
      kernel_of({"conv(3) relu conv(1) erf flatten dense relu dense", "1x1x7"}, Kind::ntk);
  // The filter sees zeros: the first layer's weights count a ninth.
  arch::Options options;
  options.weight_std = 1.3;
  options.bias_std = 0.2;
  const auto dense =
      make({.architecture = arch::parse("dense relu dense erf dense relu dense", options)});
  const auto X = images({1, 1, 7, false}, 3);
  auto scaled = X.copy();
  for (Index i = 0; i < scaled.size(); ++i) scaled.data()[i] /= 3;
  const auto K = tile(*k, X, X);
  // The tangent kernel of the first layer is that of K, so that the whole is the same.
  const auto expected = tile(*dense, scaled, scaled);
  for (Index i = 0; i < K.size(); ++i) EXPECT_NEAR(K.data()[i] / expected.data()[i], 1, 1e-13);
}

TEST(ImageKernel, NearParallelImagesAndEqualPatchesKeepTheirDigits) {
  const arch::Image image{6, 6, 1, false};
  const auto noise = images(image, 1, 1);
  auto X = images(image, 5);
  for (Index p = 0; p < 36; ++p) {
    X(p, 1) = X(p, 0) + 1e-6 * noise(p, 0);
    X(p, 2) = X(p % 6 / 3 * 3, 0);            // equal patches inside
    X(p, 3) = p / 6 % 5 == 0 ? 0 : -X(p, 0);  // black borders, antiparallel
    X(p, 4) = X(p, 0) + 1e-9 * noise(p, 0);
  }
  Matrix<double> without(36, 4);  // in long double 1 - c of 1e-18 is not known well enough
  std::copy_n(X.data(), without.size(), without.data());
  for (const char* text : {"conv(3) relu conv(3) relu flatten dense",
                           "conv(3,pad=circular) relu conv(3,pad=circular) relu flatten dense",
                           "conv(3,pad=valid) relu conv(3) relu conv(3) relu flatten dense"}) {
    const auto k = kernel_of({text, "6x6x1"}, Kind::ntk);
    EXPECT_LE(largest_error(*k, without, without), 1e-12) << text;
    // The tangent kernel falls linearly with the angle.
    const auto K = tile(*k, X, X);
    const double near = K(0, 0) - K(0, 1), nearer = K(0, 0) - K(0, 4);
    EXPECT_GT(near, 1e-8 * K(0, 0));
    EXPECT_NEAR(nearer, 1e-3 * near, 1e-12 * K(0, 0)) << text;
  }
  for (const char* text : {"conv(3) relu conv(3) relu gap dense",
                           "conv(3) relu avgpool(2) conv(3) relu flatten dense"})
    EXPECT_LE(largest_error(*kernel_of({text, "6x6x1"}, Kind::ntk), without, without), 5e-8)
        << text;
}

TEST(ImageKernel, AnEntryDependsOnItsTwoImagesAlone) {
  const Case c{"conv(3) relu avgpool(2) conv(3) relu gap dense relu dense", "4x4x2"};
  const auto k = kernel_of(c, Kind::ntk);
  const auto X = images(arch::parse_image(c.image), 5);
  const auto whole = tile(*k, X, X);
  const auto rows = k->prepare(X.copy());
  std::vector<double> diagonal(5);
  k->diagonal(*rows, 0, 5, diagonal.data());
  for (Index i = 0; i < 5; ++i) {
    for (Index j = 0; j < 5; ++j) {
      Matrix<double> one(1, 1);
      k->tile(*rows, i, *rows, j, one.view());
      EXPECT_DOUBLE_EQ(one(0, 0), whole(i, j));
      EXPECT_DOUBLE_EQ(whole(i, j), whole(j, i));
    }
    EXPECT_NEAR(diagonal[static_cast<std::size_t>(i)] / whole(i, i), 1, 1e-7);
  }
  EXPECT_LE(rows->bytes(), 2 * 5 * k->bytes_per_row(32));
}

/// In single precision the error is what prepare() tells, and of the size of float's rounding.
TEST(ImageKernel, InSinglePrecisionTheErrorIsKnown) {
  struct {
    Case of;
    double most;
  } const cases[] = {
      {{"conv(3) relu conv(3) relu conv(3) relu gap dense", "7x6x2"}, 1e-5},
      {{"conv(5) relu conv(3) relu flatten dense relu dense", "9x8x3"}, 1e-5},
      {{"conv(3,pad=valid) leaky_relu(0.1) conv(3) erf gap dense", "7x6x1"}, 1e-5},
      {{"conv(3,pad=circular) relu res(conv(3,pad=circular) relu) flatten dense", "6x5x2"}, 1e-5},
      {{"conv(3) relu avgpool(2) conv(3) relu avgpool(2) flatten dense relu dense", "8x8x1"},
       1e-3}};
  for (const auto& [of, most] : cases)
    for (const Kind kind : {Kind::nngp, Kind::ntk}) {
      arch::Options scales;
      scales.bias_std = 0.2;
      Options options{
          .kind = kind,
          .architecture = arch::parse(of.architecture, scales).on(arch::parse_image(of.image))};
      const auto exact = make(options);
      options.single_state = true;
      const auto k = make(options);
      EXPECT_EQ(parse(k->text())->text(), k->text());
      EXPECT_NE(k->text(), exact->text());
      auto X = images(arch::parse_image(of.image), 12);
      for (Index p = 0; p < X.rows(); ++p) {
        X(p, 9) = X(p, 5) + 1e-3 * X(p, 1);  // near-parallel
        X(p, 10) = X(p, 5) + 1e-4 * X(p, 2);
      }
      const auto single = tile(*k, X, X), right = tile(*exact, X, X);
      double largest = 0;
      for (Index i = 0; i < 12; ++i)
        for (Index j = 0; j < 12; ++j) {
          const double scale = std::sqrt(right(i, i) * right(j, j));
          const double error = std::abs(single(i, j) - right(i, j)) / scale;
          if (!(error <= largest)) largest = error;
        }
      const double told = k->prepare(X.copy())->error_estimate();
      EXPECT_LE(largest, told) << k->text();
      EXPECT_LE(told, most) << k->text();
      EXPECT_GT(largest, 1e-9) << k->text();
      EXPECT_LT(k->bytes_per_row(X.rows()), exact->bytes_per_row(X.rows()));
    }
  Options dense{.architecture = arch::parse("dense relu dense")};
  dense.single_state = true;
  EXPECT_THROW((void)make(dense), InputError);
  EXPECT_THROW((void)make({.kind = Kind::gaussian, .single_state = true}), InputError);
}

TEST(ImageKernel, ATileOfImagesThatAreAmongRowsAndColumnsIsThatOfItsEntries) {
  const Case c{"conv(3) relu avgpool(2) conv(3) relu gap dense relu dense", "4x4x2"};
  const auto k = kernel_of(c, Kind::ntk);
  const auto X = images(arch::parse_image(c.image), 7);
  // Some rows twice, in another order than the columns, and images of one side alone.
  const std::vector<Index> rows{3, 1, 4, 1, 5, 2}, columns{2, 6, 5, 3, 5, 0, 1};
  const auto chosen = [&](const std::vector<Index>& which) {
    Matrix<double> Y(X.rows(), std::ssize(which));
    for (Index i = 0; i < Y.cols(); ++i)
      std::copy_n(X.column(which[static_cast<std::size_t>(i)]), X.rows(), Y.column(i));
    return k->prepare(std::move(Y));
  };
  const auto x = chosen(rows), z = chosen(columns);
  Matrix<double> whole(x->size(), z->size(), std::nan(""));
  k->tile(*x, 0, *z, 0, whole.view());
  for (Index i = 0; i < whole.rows(); ++i)
    for (Index j = 0; j < whole.cols(); ++j) {
      Matrix<double> one(1, 1, std::nan(""));
      k->tile(*x, i, *z, j, one.view());
      EXPECT_DOUBLE_EQ(one(0, 0), whole(i, j)) << i << ' ' << j;
    }
}

TEST(ImageKernel, OfHomogeneousNetworksIsExactForImagesOfUnlikeNorms) {
  const arch::Image image{6, 6, 2, false};
  const double sizes[] = {1, 1e-4, -3e-8, 2, 1e-150, 7e150};
  auto X = images(image, 6);
  std::copy_n(X.column(0), X.rows(), X.column(3));  // twice the first
  for (Index i = 0; i < 6; ++i)
    for (Index p = 0; p < X.rows(); ++p) X(p, i) *= sizes[i];
  for (const char* layers : {"conv(3) relu conv(3) abrelu(0.3,2) flatten dense",
                             "conv(3,stride=2) relu res(conv(3) relu) gap dense relu dense",
                             "conv(3) leaky_relu(-0.5) avgpool(2) conv(3) relu flatten dense"})
    for (const bool single : {false, true}) {
      const auto k = parse(fmt::format("ntk({}; image=6x6x2; weight_std=1.3; bias_std=0{})", layers,
                                       single ? "; state=single" : ""));
      EXPECT_LE(largest_error(*k, X, X), single ? 1e-5 : 1e-12) << k->text();
    }
  // Of others the squares must exist.
  for (Index p = 0; p < X.rows(); ++p) X(p, 5) = 1;
  const auto gelu = parse("ntk(conv(3) gelu gap dense; image=6x6x2; weight_std=1; bias_std=0)");
  EXPECT_THROW((void)gelu->prepare(X.copy()), RowError);
  for (Index p = 0; p < X.rows(); ++p) X(p, 4) = 1;
  EXPECT_NO_THROW((void)gelu->prepare(X.copy()));
}

TEST(ImageKernel, RefusesRowsOfAnotherLength) {
  const auto k = kernel_of({"conv(3) relu flatten dense", "4x4x1"}, Kind::ntk);
  EXPECT_THROW((void)k->prepare(Matrix<double>(17, 2, 1.0)), InputError);
  const std::vector<double> x(16, 1.0), shorter(15, 1.0);
  EXPECT_TRUE(k->reference(x, x).has_value());
  EXPECT_THROW((void)k->reference(x, shorter), InputError);
}

TEST(ImageKernel, ZeroAndHugeImages) {
  const auto k = kernel_of({"conv(3) relu conv(3) relu flatten dense", "4x4x1"}, Kind::ntk);
  auto X = images({4, 4, 1, false}, 2);
  for (Index p = 0; p < 16; ++p) X(p, 1) = 0;
  EXPECT_LE(largest_error(*k, X, X), 1e-12);
  for (Index p = 0; p < 16; ++p) X(p, 0) *= 1e200;
  EXPECT_THROW((void)k->prepare(X.copy()), RowError);
  // In single precision the range ends earlier.
  const auto single = parse(k->text().substr(0, k->text().size() - 1) + "; state=single)");
  for (Index p = 0; p < 16; ++p) X(p, 0) *= 1e-180;
  EXPECT_NO_THROW((void)k->prepare(X.copy()));
  EXPECT_THROW((void)single->prepare(X.copy()), RowError);
  for (Index p = 0; p < 16; ++p) X(p, 0) *= 1e-10;
  EXPECT_NO_THROW((void)single->prepare(X.copy()));
}

TEST(ImageKernel, AnImageWhoseKernelOverflowsIsRefusedWhateverFollows) {
  for (const char* rest : {"relu flatten dense", "gelu gap dense", "erf flatten dense",
                           "relu avgpool(2) conv(3) relu flatten dense", "tanh gap dense"}) {
    const auto k = kernel_of({fmt::format("conv(3) {}", rest).c_str(), "4x4x1"}, Kind::ntk);
    for (const double size : {1e154, 1e160, 1e300}) {
      auto X = images({4, 4, 1, false}, 3);
      EXPECT_NO_THROW((void)k->prepare(X.copy())) << rest;
      for (Index p = 0; p < 16; ++p) X(p, 1) *= size;
      EXPECT_THROW((void)k->prepare(X.copy()), RowError) << rest << ' ' << size;
    }
  }
}

TEST(ImageKernel, TheErrorOfSinglePrecisionIsThatOfTheDarkestImageToo) {
  const arch::Image image{8, 8, 2, false};
  const std::string text =
      "ntk(conv(3) relu conv(3) relu flatten dense; image=8x8x2; weight_std=1; bias_std=1e-6";
  const auto exact = parse(text + ")"), single = parse(text + "; state=single)");
  auto X = images(image, 5);
  for (Index p = 0; p < image.numbers(); ++p) X(p, 2) *= 1e-5;
  const auto K = tile(*exact, X, X), rounded = tile(*single, X, X);
  double worst = 0;
  for (Index i = 0; i < 5; ++i)
    for (Index j = 0; j < 5; ++j)
      worst = std::max(worst, std::abs(rounded(i, j) - K(i, j)) / std::sqrt(K(i, i) * K(j, j)));
  EXPECT_GT(worst, 1e-5);  // far above that of the other images
  EXPECT_LE(worst, single->prepare(X.copy())->error_estimate());
}

}  // namespace
}  // namespace mercer::kernel
