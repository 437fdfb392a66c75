// What a trained network predicts ([G] Lemma 4.3): on n equispaced points of the circle, gradient
// descent and preconditioned gradient descent to |r| <= 1e-4 |r_0| approach the same function as
// the width grows, ridgeless kernel regression k_x^T K^-1 Y from the antisymmetric start, and
// f_0(x) + k_x^T K^-1 (Y - f_0(X)) from the Gaussian one. Root mean square differences over 200
// test points, relative to the targets' amplitude (from the antisymmetric start) or to the size of
// f_0, which is 1 (from the Gaussian one), mean over seeds of the network.
//
//     ridgeless_limit [LARGEST_WIDTH [SEEDS]]      below 16384: the antisymmetric start at n = 32
//     alone
#include <cstdio>
#include <utility>

#include "experiments.hpp"
#include "mercer/comm/environment.hpp"
#include "mercer/krr/fit.hpp"
#include "mercer/net/empirical.hpp"

namespace {

using namespace mercer;
using namespace mercer::test;

constexpr Index kTestPoints = 200;
// Small targets: at amplitude 1 these widths leave the linear regime, of which the lemma speaks.
constexpr double kAmplitude = 0.05;
const std::vector<std::pair<int, double>> kTarget{
    {1, kAmplitude}, {2, -0.5 * kAmplitude}, {4, 0.3 * kAmplitude}};

struct Problem {
  Index n, top;
  double tolerance;
};

struct Trained {
  dist::RowBlock<double> test;  ///< f(x) on the test points
  Index steps = 0;
};

/// Trains one network to the tolerance and predicts.
Trained train_network(const dist::ProcessGrid& grid, const Problem& problem, Index width,
                      net::Start start, bool flat, std::uint64_t seed,
                      const spectral::Eigenpairs<double>& pairs, const dist::RowBlock<double>& X,
                      const dist::RowBlock<double>& Y, const dist::RowBlock<double>& Z) {
  const auto network = circle_network(width, start);
  std::vector<train::RowSet<double>> sets;
  sets.push_back(train::row_set<double>(X, Y));
  if (flat) {
    const auto top = static_cast<std::size_t>(problem.top);
    const std::vector<double> lambda(pairs.values.begin(), pairs.values.begin() + problem.top);
    auto spectrum = msk::SpectrumMap::parse("flat").apply(lambda, pairs.values[top], false,
                                                          msk::SpectrumMap::Positivity::positive);
    for (std::size_t i = top; i < pairs.values.size(); ++i) {
      spectrum.lambda.push_back(pairs.values[i]);
      spectrum.g.push_back(pairs.values[i]);
    }
    sets[0].S = msk::Preconditioner<double>(pairs, spectrum);
  }
  train::State<double> state;
  state.w = network.initial<double>(seed);
  const auto w_0 = state.w;
  train::Options options;
  options.steps = 200000;
  options.tolerance = problem.tolerance;
  const auto outcome =
      train::descend<double>(grid.all(), network, sets, state, w_0, options, {}, {});
  if (outcome.stop_reason != train::StopReason::converged)
    throw RunError("width {}: {} after {} steps", width, train::name(outcome.stop_reason),
                   state.step);
  return {net::outputs(network, state.w, Z), state.step};
}

double rms_difference(const dist::RowBlock<double>& a, const dist::RowBlock<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.values().size(); ++i)
    sum += (a.values()[i] - b.values()[i]) * (a.values()[i] - b.values()[i]);
  return std::sqrt(a.comm().all_reduce(sum, comm::Op::sum) / static_cast<double>(a.rows()));
}

/// f_0(x) + k_x^T K^-1 (Y - f_0(X)); f_0 = 0 for the antisymmetric start.
dist::RowBlock<double> limit(const dist::ProcessGrid& grid, const net::Network& network,
                             const std::vector<double>& w, const dist::RowBlock<double>& X,
                             const dist::RowBlock<double>& Y, const dist::RowBlock<double>& Z) {
  const auto kernel = circle_kernel();
  gram::Options assembly;
  assembly.nb = spectral::recommended_block(X.rows(), grid.shape());
  auto residual = net::outputs(network, w, X);
  for (std::size_t i = 0; i < residual.values().size(); ++i)
    residual.values()[i] = Y.values()[i] - residual.values()[i];
  auto pairs = spectral::eigenpairs(gram::assemble<double>(*kernel, X, grid, assembly));
  auto alpha = residual.copy();
  // K^-1 = V diag(1/lambda) V^T: K is well conditioned at these n.
  train::RowSet<double> rows = train::row_set<double>(X, residual);
  std::vector<double> inverse(pairs.values.size());
  msk::ModifiedSpectrum g;
  g.lambda = pairs.values;
  g.g.assign(pairs.values.size(), 1.0);
  const msk::Preconditioner<double> S(pairs, g);
  S.apply(grid.all(), rows.Y.view(), alpha.transposed());
  auto f = gram::apply_cross(*kernel, Z, X, alpha);
  const auto f_0 = net::outputs(network, w, Z);
  for (std::size_t i = 0; i < f.values().size(); ++i) f.values()[i] += f_0.values()[i];
  return f;
}

int run(Index largest_width, std::uint64_t seeds) {
  const dist::ProcessGrid grid(comm::Communicator::world());
  const auto& comm = grid.all();
  const bool root = comm.root();
  bool ok = true;
  for (const auto start : {net::Start::antisymmetric, net::Start::gaussian})
    for (const Problem problem : {Problem{32, 12, 1e-4}, Problem{128, 40, 1e-2}}) {
      if (largest_width < 16384 && (problem.n > 32 || start == net::Start::gaussian)) continue;
      const auto x = equispaced(problem.n, 0), z = equispaced(kTestPoints, 0.3);
      const auto X = circle_points(comm, x), Z = circle_points(comm, z);
      const auto Y = waves(comm, x, kTarget);
      gram::Options assembly;
      assembly.nb = spectral::recommended_block(problem.n, grid.shape());
      const auto pairs =
          spectral::eigenpairs(gram::assemble<double>(*circle_kernel(), X, grid, assembly));
      if (root)
        std::printf(
            "\n%s start, n = %d, to |r| <= %g |r_0|, S flat on the top %d\n%8s %12s %12s "
            "%12s %10s %10s\n",
            net::name(start).c_str(), static_cast<int>(problem.n), problem.tolerance,
            static_cast<int>(problem.top), "width", "GD - KRR", "PGD - KRR", "GD - PGD", "GD steps",
            "PGD steps");
      std::vector<double> widths, errors[3];
      for (Index width = 256; width <= largest_width; width *= 4) {
        double sum[5] = {};
        for (std::uint64_t seed = 0; seed < seeds; ++seed) {
          const auto network = circle_network(width, start);
          const auto f = limit(grid, network, network.initial<double>(seed), X, Y, Z);
          const auto gd = train_network(grid, problem, width, start, false, seed, pairs, X, Y, Z);
          const auto pgd = train_network(grid, problem, width, start, true, seed, pairs, X, Y, Z);
          const double scale = start == net::Start::antisymmetric ? kAmplitude : 1;
          sum[0] += rms_difference(gd.test, f) / scale;
          sum[1] += rms_difference(pgd.test, f) / scale;
          sum[2] += rms_difference(gd.test, pgd.test) / scale;
          sum[3] += static_cast<double>(gd.steps), sum[4] += static_cast<double>(pgd.steps);
        }
        widths.push_back(static_cast<double>(width));
        for (int e = 0; e < 3; ++e) errors[e].push_back(sum[e] / static_cast<double>(seeds));
        if (root)
          std::printf("%8d %12.3e %12.3e %12.3e %10.0f %10.0f\n", static_cast<int>(width),
                      errors[0].back(), errors[1].back(), errors[2].back(),
                      sum[3] / static_cast<double>(seeds), sum[4] / static_cast<double>(seeds));
        std::fflush(stdout);
      }
      // At the small n, where training goes to the end, all three differences vanish with the
      // width.
      for (int e = 0; e < 3 && problem.n == 32; ++e) {
        const double p = fitted_exponent(widths, errors[e]);
        if (root)
          std::printf("%s: ~ width^%.3f\n",
                      e == 0   ? "GD - KRR"
                      : e == 1 ? "PGD - KRR"
                               : "GD - PGD",
                      p);
        ok = ok && widths.size() >= 2 && p <= -0.25;
      }
    }
  if (root) std::printf("%s\n", ok ? "passed: every exponent at n = 32 is below -0.25" : "FAILED");
  return ok ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  comm::Environment mpi(argc, argv);
  try {
    return run(argc > 1 ? std::stol(argv[1]) : 16384,
               argc > 2 ? static_cast<std::uint64_t>(std::stol(argv[2])) : 3);
  } catch (const std::exception& error) {
    if (comm::Communicator::world().root()) std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
