// How fast the Modified Spectrum Kernel of a sample approaches the kernel it estimates ([G]
// Thm 3.2): on points theta_i, independent and uniform on the circle, a kernel kappa(theta -
// theta') = lambda_0 + sum_f 2 lambda_f cos f(theta - theta') has the integral operator's
// eigenvalues lambda_f, with eigenfunctions phi = 1, sqrt(2) cos f theta, sqrt(2) sin f theta, so
// that
//     k_g(theta, theta') = sum_phi g(lambda_phi) phi(theta) phi(theta')
// is known. The mean over seeds of |K_g~ - (1/n) [k_g(theta_i, theta_j)]|_F, K_g~ = V g(Lambda) V^T
// of K = k/n, falls as about n^-1/2. g is one fixed function: where its formula names l1, the
// operator's largest eigenvalue is meant for both matrices, not each sample's own.
//
//     msk_convergence [LARGEST_N [FILE.svg]]
#include <cmath>
#include <cstdio>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include "mercer/arch/architecture.hpp"
#include "mercer/base/random.hpp"
#include "mercer/comm/environment.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/msk/modified_kernel.hpp"
#include "mercer/report/plot.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "support/fit.hpp"

namespace {

using namespace mercer;
using dist::DistMatrix;

constexpr std::uint64_t kSeeds = 10;
constexpr Index kFrequencies = 400;  // the tail of lambda_f^2 ~ f^-4 is below 1e-8
constexpr Index kQuadrature = 1 << 14;

std::shared_ptr<const kernel::Kernel> make_kernel() {
  arch::Options scales;
  scales.bias_std = 1;
  kernel::Options options;
  options.architecture = arch::fully_connected(1, "relu", scales);
  return kernel::make(options);
}

/// lambda_f = mean over the circle of kappa(t) cos(f t), by the trapezoidal rule.
std::vector<double> operator_eigenvalues(const kernel::Kernel& kernel) {
  Matrix<double> X(2, kQuadrature);
  for (Index m = 0; m < kQuadrature; ++m) {
    const double t = 2 * std::numbers::pi * static_cast<double>(m) / kQuadrature;
    X(0, m) = std::cos(t), X(1, m) = std::sin(t);
  }
  const auto rows = kernel.prepare(X.copy());
  Matrix<double> kappa(1, kQuadrature);
  kernel.tile(*rows, 0, *rows, 0, kappa.view());
  std::vector<double> lambda;
  for (Index f = 0; f <= kFrequencies; ++f) {
    double sum = 0;
    for (Index m = 0; m < kQuadrature; ++m)
      sum += kappa(0, m) * std::cos(2 * std::numbers::pi *
                                    static_cast<double>(f * m % kQuadrature) / kQuadrature);
    lambda.push_back(sum / kQuadrature);
  }
  return lambda;
}

struct Experiment {
  std::string name;
  std::string g;                        ///< for the sample's spectrum
  std::function<double(double)> of;     ///< the same function, for the operator's
  bool tail_is_identity = false;        ///< g(l) = l for all but the first frequencies
  std::vector<double> mean_error = {};  ///< one for each n
};

double angle(std::uint64_t seed, Index i) {
  return 2 * std::numbers::pi * Random(seed, Stream::test).uniform(static_cast<std::uint64_t>(i));
}

/// (1/n) [k_g(theta_i, theta_j)] from the Fourier series; K itself plus a few terms where g leaves
/// the tail alone, because lambda_f ~ f^-2 falls too slowly to be cut off.
DistMatrix<double> expected(const Experiment& experiment, const std::vector<double>& lambda,
                            DistMatrix<double>&& K, std::uint64_t seed) {
  const Index n = K.rows();
  std::vector<double> weights;
  for (Index f = 0; f <= kFrequencies; ++f) {
    const double l = lambda[static_cast<std::size_t>(f)];
    const double w = experiment.of(l) - (experiment.tail_is_identity ? l : 0);
    if (w == 0 && experiment.tail_is_identity) break;
    weights.insert(weights.end(), f == 0 ? 1 : 2, w / static_cast<double>(n));
  }
  DistMatrix<double> phi(K.grid(), n, static_cast<Index>(weights.size()), K.nb());
  phi.fill([&](Index i, Index j) {
    const double ft = static_cast<double>((j + 1) / 2) * angle(seed, i);
    return j == 0 ? 1 : std::numbers::sqrt2 * (j % 2 == 1 ? std::cos(ft) : std::sin(ft));
  });
  if (!experiment.tail_is_identity) K.fill([](Index, Index) { return 0; });
  msk::add_modes<double>(K, phi, weights);
  return std::move(K);
}

void measure(std::vector<Experiment>& experiments, const kernel::Kernel& kernel,
             const std::vector<double>& lambda, Index n, const dist::ProcessGrid& grid) {
  for (Experiment& e : experiments) e.mean_error.push_back(0);
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    dist::RowBlock<double> X(grid.all(), n, 2);
    for (Index i = 0; i < X.local_rows(); ++i) {
      const double t = angle(seed, X.first_row() + i);
      X.row(i)[0] = std::cos(t), X.row(i)[1] = std::sin(t);
    }
    gram::Options options;
    options.nb = spectral::recommended_block(n, grid.shape());
    const auto K = gram::assemble<double>(kernel, X, grid, options);
    const auto pairs = spectral::eigenpairs(K.copy());
    for (Experiment& e : experiments) {
      const auto spectrum = msk::SpectrumMap::parse(e.g).apply(
          pairs.values, pairs.next, true, msk::SpectrumMap::Positivity::nonnegative);
      auto Kg = K.copy();
      msk::modify(Kg, pairs, spectrum);
      const auto truth = expected(e, lambda, K.copy(), seed);
      for (Index j = 0; j < Kg.local_cols(); ++j)
        for (Index i = 0; i < Kg.local_rows(); ++i) Kg.local()(i, j) -= truth.local()(i, j);
      e.mean_error.back() += la::frobenius_norm(Kg) / kSeeds;
    }
  }
}

int run(Index largest, const std::string& svg) {
  const dist::ProcessGrid grid(comm::Communicator::world());
  const bool root = grid.all().root();
  const auto kernel = make_kernel();
  const auto lambda = operator_eigenvalues(*kernel);
  const double c = std::sqrt(lambda[2] * lambda[3]),
               l1 = lambda[1] > lambda[0] ? lambda[1] : lambda[0];
  std::vector<Experiment> experiments{
      {"min(l, c)", fmt::format("min(l, {})", c), [c](double l) { return std::min(l, c); }, true},
      {"l^2/l1", fmt::format("l^2/{}", l1), [l1](double l) { return l * l / l1; }, false}};
  if (root)
    std::printf("%s\nlambda_0 ... lambda_4 = %.6g %.6g %.6g %.6g %.6g, c = %.6g\n%8s %14s %14s\n",
                kernel->text().c_str(), lambda[0], lambda[1], lambda[2], lambda[3], lambda[4], c,
                "n", experiments[0].name.c_str(), experiments[1].name.c_str());
  std::vector<double> sizes;
  for (Index n = 128; n <= largest; n *= 2) {
    measure(experiments, *kernel, lambda, n, grid);
    sizes.push_back(static_cast<double>(n));
    if (root)
      std::printf("%8d %14.6e %14.6e\n", static_cast<int>(n), experiments[0].mean_error.back(),
                  experiments[1].mean_error.back());
    std::fflush(stdout);
  }
  bool ok = sizes.size() >= 2;
  report::Plot plot{"mean of |K_g~ - K_g|_F over 10 seeds", "n", "error", true, true, {}};
  std::vector<double> slope;
  for (double n : sizes)
    slope.push_back(0.5 * experiments[0].mean_error[0] * std::sqrt(sizes[0] / n));
  for (const Experiment& e : experiments) {
    const double p = test::fitted_exponent(sizes, e.mean_error);
    ok = ok && p >= -0.7 && p <= -0.35;
    if (root) std::printf("%s: error ~ n^%.3f\n", e.name.c_str(), p);
    plot.series.push_back({fmt::format("g = {}: n^{{{:.2f}}}", e.name, p), sizes, e.mean_error,
                           report::Style::linespoints});
  }
  plot.series.push_back({"n^{-1/2}", sizes, slope, report::Style::lines});
  if (!svg.empty()) report::write_picture(grid.all(), svg, {plot});
  if (root) std::printf("%s\n", ok ? "passed: both within [-0.7, -0.35]" : "FAILED");
  return ok ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  comm::Environment mpi(argc, argv);
  try {
    return run(argc > 1 ? std::stol(argv[1]) : 2048, argc > 2 ? argv[2] : "");
  } catch (const std::exception& error) {
    if (comm::Communicator::world().root()) std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
