// The stored reference kernels (200-bit evaluations) through the library: every entry within 1e-12
// of sqrt(T_ii T_jj), exact copies, near-parallel rows, zero rows and extreme norms included.
#include <gtest/gtest.h>

#include <cmath>
#include <span>

#include "mercer/kernel/kernel.hpp"
#include "support/golden.hpp"

namespace mercer {
namespace {

using kernel::Kind;
using test::GoldenFile;

std::string activation_of(const GoldenFile& file, const std::string& name) {
  std::string token = file.text(name, "activation");
  const auto p = file.numbers(name, "activation_params");
  const auto count = static_cast<std::size_t>(file.number(name, "n_activation_params"));
  for (std::size_t k = 0; k < count; ++k)
    token += fmt::format("{}{}{}", k == 0 ? "(" : ",", p[k], k + 1 == count ? ")" : "");
  return token;
}

std::string text_of_images(const GoldenFile& file, const std::string& name) {
  if (file.family() == "cnn_general") return file.text(name, "arch");
  const bool circular = file.text(name, "padding") == "CIRCULAR";
  std::string text;
  for (int l = 0; l < static_cast<int>(file.number(name, "conv_layers")); ++l)
    text += circular ? "conv(3,pad=circular) relu " : "conv(3) relu ";
  return text + file.text(name, "readout") + " dense";
}

arch::Architecture architecture_of(const GoldenFile& file, const std::string& name) {
  arch::Options options;
  options.weight_std = file.number(name, "W_std");
  options.bias_std = file.number(name, "b_std");
  if (file.family() == "cnn_general" || file.family() == "cntk") {
    const auto n = file.shape(name + "/X1");
    const arch::Image image =
        n.size() == 3 ? arch::Image{n[1], 1, n[2], true} : arch::Image{n[1], n[2], n[3], false};
    return arch::parse(text_of_images(file, name), options).on(image);
  }
  const std::string rho = activation_of(file, name);
  if (file.text(name, "architecture") == "fc")
    return arch::fully_connected(static_cast<Index>(file.number(name, "hidden_layers")), rho,
                                 options);
  std::string text = "dense";
  for (int b = 0; b < static_cast<int>(file.number(name, "residual_blocks")); ++b)
    text += fmt::format(" res({} dense)", rho);
  return arch::parse(text + fmt::format(" {} dense", rho), options);
}

/// Largest |k - exact|/sqrt(k_ii k_jj) over a case; entries between a zero row and any other must
/// be exact where the diagonal is zero.
double largest_error(const GoldenFile& file, const std::string& name, Kind kind, Index& compared) {
  const auto k = kernel::make({kind, architecture_of(file, name), 1});
  const auto X = file.transposed(name + "/X1");
  const bool rectangular = file.contains(name + "/X2");
  const auto Z = file.transposed(name + (rectangular ? "/X2" : "/X1"));
  const auto exact = file.transposed(name + (kind == Kind::ntk ? "/ntk_exact" : "/nngp_exact"));
  const auto x = k->prepare(X.copy()), z = k->prepare(Z.copy());
  Matrix<double> out(X.cols(), Z.cols(), std::nan(""));
  k->tile(*x, 0, *z, 0, out.view());
  std::vector<double> dx(X.cols()), dz(Z.cols());
  k->diagonal(*x, 0, X.cols(), dx.data());
  k->diagonal(*z, 0, Z.cols(), dz.data());
  double largest = 0;
  for (Index i = 0; i < X.cols(); ++i)
    for (Index j = 0; j < Z.cols(); ++j) {
      const double difference = std::fabs(out(i, j) - exact(j, i));
      const double scale = std::sqrt(dx[i]) * std::sqrt(dz[j]);
      const double error = difference == 0 ? 0 : difference / scale;
      if (!(error <= largest)) largest = error;
      ++compared;
    }
  if (!rectangular)
    for (Index i = 0; i < X.cols(); ++i) {
      const double difference = std::fabs(dx[i] - exact(i, i));
      const double error = difference == 0 ? 0 : difference / exact(i, i);
      if (!(error <= largest)) largest = error;
    }
  return largest;
}

/// The same of Kernel::reference(), beside entries within 1e-9, where rows are near-parallel.
double largest_reference_error(const GoldenFile& file, const std::string& name, Kind kind) {
  const auto k = kernel::make({kind, architecture_of(file, name), 1});
  const auto X = file.transposed(name + "/X1");
  const auto Z = file.transposed(name + (file.contains(name + "/X2") ? "/X2" : "/X1"));
  const auto exact = file.transposed(name + (kind == Kind::ntk ? "/ntk_exact" : "/nngp_exact"));
  const auto row = [](const Matrix<double>& of, Index i) {
    return std::span<const double>(of.column(i), static_cast<std::size_t>(of.rows()));
  };
  const auto norms = [&](const Matrix<double>& of) {
    std::vector<long double> all;
    for (Index i = 0; i < of.cols(); ++i)
      all.push_back(std::sqrt(*k->reference(row(of, i), row(of, i))));
    return all;
  };
  const auto of_x = norms(X), of_z = norms(Z);
  double largest = 0;
  for (Index i = 0; i < X.cols(); ++i)
    for (Index j = 0; j < Z.cols(); ++j) {
      const auto value = *k->reference(row(X, i), row(Z, j));
      const auto scale = of_x[static_cast<std::size_t>(i)] * of_z[static_cast<std::size_t>(j)];
      const auto difference = std::fabs(value - exact(j, i));
      const auto error = static_cast<double>(difference == 0 ? 0 : difference / scale);
      if (!(error <= largest)) largest = error;
    }
  return largest;
}

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, IsReproducedToTwelveDigits) {
  if (test::golden_dir().empty())
    GTEST_SKIP() << "MERCER_GOLDEN_DIR is not set: no reference kernels to compare with";
  const GoldenFile file(GetParam());
  double family[2] = {0, 0};
  Index compared = 0;
  for (const std::string& name : file.cases())
    for (const Kind kind : {Kind::nngp, Kind::ntk}) {
      const double error = largest_error(file, name, kind, compared);
      EXPECT_TRUE(error <= 1e-12) << name << (kind == Kind::ntk ? " ntk " : " nngp ") << error;
      double& worst = family[kind == Kind::ntk];
      worst = std::fmax(worst, error);
    }
  EXPECT_GE(compared, file.family().starts_with("c") ? 100 : 500);
  RecordProperty("nngp", fmt::format("{:.2e}", family[0]));
  RecordProperty("ntk", fmt::format("{:.2e}", family[1]));
}

TEST_P(Golden, IsWhatTheReferenceGives) {
  if (test::golden_dir().empty())
    GTEST_SKIP() << "MERCER_GOLDEN_DIR is not set: no reference kernels to compare with";
  const GoldenFile file(GetParam());
  const bool near_parallel = std::string(GetParam()) == "fc_edge";
  for (const std::string& name : file.cases())
    for (const Kind kind : {Kind::nngp, Kind::ntk}) {
      const double error = largest_reference_error(file, name, kind);
      EXPECT_TRUE(error <= (near_parallel ? 1e-9 : 1e-14)) << name << " " << error;
    }
}

INSTANTIATE_TEST_SUITE_P(Families, Golden,
                         testing::Values("fc_relu", "fc_erf", "fc_rect", "fc_activations",
                                         "fc_residual", "fc_edge", "cntk", "cnn_general"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace mercer
