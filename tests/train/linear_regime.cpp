// How closely a wide network follows its linear model ([G] Thm 4.1): on n random points of the
// circle, the largest |r_t - (I - eta n K S)^t r_0| / |r_0| over 200 steps, K the analytic kernel,
// r_0 = -Y from the antisymmetric start, falls about as width^(-1/2): for S = I and for the S of
// [G] eq. 14 that is flat on the top pairs. Means over seeds of the points and of the network.
//
//     linear_regime [LARGEST_WIDTH [SEEDS [FILE.svg]]]
#include <cstdio>

#include "experiments.hpp"
#include "mercer/comm/environment.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/report/plot.hpp"

namespace {

using namespace mercer;
using namespace mercer::test;

constexpr Index kPoints = 64, kTop = 20, kSteps = 200;

/// The largest relative deviation of one training run.
double deviation(const dist::ProcessGrid& grid, Index width, bool flat, std::uint64_t seed) {
  const auto& comm = grid.all();
  const auto angles = random_angles(kPoints, seed);
  const auto X = circle_points(comm, angles);
  const auto Y = waves(comm, angles, {{1, 1.0}, {2, 0.5}, {3, 0.5}, {5, 0.3}});
  gram::Options assembly;
  assembly.nb = spectral::recommended_block(kPoints, grid.shape());
  const auto pairs =
      spectral::eigenpairs(gram::assemble<double>(*circle_kernel(), X, grid, assembly));

  // g is flat on the top pairs, the others stay as they are: rates eta n lambda_i s_i.
  std::vector<double> top(pairs.values.begin(), pairs.values.begin() + kTop);
  auto spectrum =
      msk::SpectrumMap::parse(flat ? "flat" : "identity")
          .apply(top, pairs.values[kTop], false, msk::SpectrumMap::Positivity::positive);
  for (std::size_t i = spectrum.lambda.size(); i < pairs.values.size(); ++i) {
    spectrum.lambda.push_back(pairs.values[i]);
    spectrum.g.push_back(pairs.values[i]);
  }
  std::vector<train::RowSet<double>> sets;
  sets.push_back(train::row_set<double>(X, Y));
  if (flat) sets[0].S = msk::Preconditioner<double>(pairs, spectrum);

  // V and V^T r_0 on every rank: small.
  dist::RowBlock<double> rows(comm, kPoints, kPoints);
  dist::copy(pairs.vectors, rows);
  const auto V = dist::all_rows(rows);  // V(i, j): component i of point j
  const auto y = dist::all_rows(Y);
  std::vector<double> along(static_cast<std::size_t>(kPoints), 0.0);
  double norm = 0;
  for (Index j = 0; j < kPoints; ++j) {
    norm += y(0, j) * y(0, j);
    for (Index i = 0; i < kPoints; ++i) along[static_cast<std::size_t>(i)] -= V(i, j) * y(0, j);
  }

  const auto network = circle_network(width, net::Start::antisymmetric);
  train::State<double> state;
  state.w = network.initial<double>(seed);
  const auto w_0 = state.w;
  train::Options options;
  options.steps = kSteps;
  // 1/(n lambda_max(K S)), the same for every width: what is compared is one linear system.
  options.rate = 1 / (static_cast<double>(kPoints) * (flat ? spectrum.g[0] : pairs.values[0]));
  options.record_every = 1;
  net::Evaluator<double> evaluator(network, sets[0].rows());
  Matrix<double> F(1, sets[0].rows());
  double largest = 0;
  train::Hooks<double> hooks;
  hooks.observe = [&](std::span<const double> w, train::Record& record) {
    evaluator.outputs(w, sets[0].X.view(), F.view());
    double square = 0;
    for (Index j = 0; j < F.cols(); ++j) {
      double linear = 0;
      for (Index i = 0; i < kPoints; ++i) {
        const auto at = static_cast<std::size_t>(i);
        linear +=
            V(i, sets[0].first + j) * along[at] *
            std::pow(1 - options.rate * kPoints * spectrum.g[at], static_cast<double>(record.step));
      }
      const double difference = F(0, j) - sets[0].Y(0, j) - linear;
      square += difference * difference;
    }
    largest = std::max(largest, comm.all_reduce(square, comm::Op::sum));
  };
  train::descend<double>(comm, network, sets, state, w_0, options, {}, hooks);
  return std::sqrt(largest / norm);
}

int run(Index largest_width, std::uint64_t seeds, const std::string& svg) {
  const dist::ProcessGrid grid(comm::Communicator::world());
  const bool root = grid.all().root();
  if (root)
    std::printf("%s, n = %d, %d steps, mean of %d seeds\n%8s %14s %14s\n",
                circle_kernel()->text().c_str(), static_cast<int>(kPoints),
                static_cast<int>(kSteps), static_cast<int>(seeds), "width", "S = I",
                "S flat, k=20");
  std::vector<double> widths, error[2];
  for (Index width = 256; width <= largest_width; width *= 2) {
    widths.push_back(static_cast<double>(width));
    for (int flat = 0; flat < 2; ++flat) {
      double sum = 0;
      for (std::uint64_t seed = 0; seed < seeds; ++seed)
        sum += deviation(grid, width, flat == 1, seed);
      error[flat].push_back(sum / static_cast<double>(seeds));
    }
    if (root)
      std::printf("%8d %14.4e %14.4e\n", static_cast<int>(width), error[0].back(), error[1].back());
    std::fflush(stdout);
  }
  bool ok = widths.size() >= 2;
  report::Plot plot{
      "max |r_t - (I - eta n K S)^t r_0| / |r_0|, t <= 200", "width", "deviation", true, true, {}};
  const char* names[] = {"S = I", "S flat on the top 20"};
  for (int flat = 0; flat < 2; ++flat) {
    const double p = fitted_exponent(widths, error[flat]);
    ok = ok && p >= -0.65 && p <= -0.35;
    if (root) std::printf("%s: deviation ~ width^%.3f\n", names[flat], p);
    plot.series.push_back({fmt::format("{}: width^{{{:.2f}}}", names[flat], p), widths, error[flat],
                           report::Style::linespoints});
  }
  std::vector<double> slope;
  for (const double w : widths) slope.push_back(0.5 * error[1][0] * std::sqrt(widths[0] / w));
  plot.series.push_back({"width^{-1/2}", widths, slope, report::Style::lines});
  if (!svg.empty()) report::write_picture(grid.all(), svg, {plot});
  if (root) std::printf("%s\n", ok ? "passed: both within [-0.65, -0.35]" : "FAILED");
  return ok ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  comm::Environment mpi(argc, argv);
  try {
    return run(argc > 1 ? std::stol(argv[1]) : 4096,
               argc > 2 ? static_cast<std::uint64_t>(std::stol(argv[2])) : 5,
               argc > 3 ? argv[3] : "");
  } catch (const std::exception& error) {
    if (comm::Communicator::world().root()) std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
