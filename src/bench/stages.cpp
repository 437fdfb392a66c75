// Assembly of K and the direct eigensolvers.

#include <algorithm>
#include <cmath>
#include <map>

#include "bench/bench.hpp"
#include "mercer/base/random.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/la/scalapack.hpp"

namespace mercer::bench {
namespace {

/// Points of the unit sphere in R^d: Gaussian directions.
dist::RowBlock<double> sphere_points(const comm::Communicator& comm, Index n, Index d,
                                     std::uint64_t seed) {
  dist::RowBlock<double> X(comm, n, d);
  const Random random(seed, Stream::data_inputs);
  for (Index i = 0; i < X.local_rows(); ++i) {
    double square = 0;
    for (Index j = 0; j < d; ++j) {
      double& x = X.row(i)[static_cast<std::size_t>(j)];
      x = random.normal(static_cast<std::uint64_t>((X.first_row() + i) * d + j));
      square += x * x;
    }
    for (double& x : X.row(i)) x /= std::sqrt(square);
  }
  return X;
}

}  // namespace

Json assembly(const Bench& bench, const kernel::Kernel& kernel, Index n, Index d) {
  const auto& grid = bench.grid;
  const Index nb = bench.block_of(n);
  const auto X = sphere_points(bench.comm(), n, d, bench.seed);
  std::vector<double> assembling, syrk, peak;
  for (int r = 0; r < bench.repeat; ++r) {
    peak.push_back(gemm_peak<double>(bench.comm()));
    assembling.push_back(seconds(
        bench.comm(), [&] { const auto K = gram::assemble<double>(kernel, X, grid, {.nb = nb}); }));
    dist::DistMatrix<double> A(grid, n, d, nb);
    A.fill([](Index i, Index j) { return static_cast<double>((i + 3 * j) % 7) - 3; });
    syrk.push_back(seconds(bench.comm(), [&] {
      dist::DistMatrix<double> C(grid, n, n, nb);
      la::syrk_lower<double>(1.0, A, 0.0, C);
    }));
  }
  std::vector<double> ratio;
  for (std::size_t i = 0; i < syrk.size(); ++i) ratio.push_back(assembling[i] / syrk[i]);
  const double pairs = 0.5 * static_cast<double>(n) * static_cast<double>(n + 1);
  const double ranks = static_cast<double>(bench.comm().size());
  const double gflops = 2e-9 * pairs * static_cast<double>(d) / median(assembling);
  const double peak_all = 1e-9 * median(peak) * ranks;
  bench.say("{:<26} {:>10} {:>12} {:>12}", "", "seconds", "GFLOP/s", "of peak");
  bench.say("{:<26} {:>10} {:>12.1f} {:>11.0f}%", "dgemm, all ranks at once", "", peak_all, 100.0);
  bench.say("{:<26} {:>10.4f} {:>12.1f} {:>11.0f}%", "p?syrk, one triangle", median(syrk),
            2e-9 * pairs * static_cast<double>(d) / median(syrk),
            200e-9 * pairs * static_cast<double>(d) / median(syrk) / peak_all);
  bench.say("{:<26} {:>10.4f} {:>12.1f} {:>11.0f}%", "assembly, both triangles", median(assembling),
            gflops, 100 * gflops / peak_all);
  bench.say("assembly / p?syrk: {:.3f} (median of {}; {:.3f} ... {:.3f});  {:.3g} entries/s",
            median(ratio), bench.repeat, *std::ranges::min_element(ratio),
            *std::ranges::max_element(ratio),
            static_cast<double>(n) * static_cast<double>(n) / median(assembling));
  return Json::array({Json{{"n", n},
                           {"d", d},
                           {"kernel", kernel.text()},
                           {"seconds_assemble", median(assembling)},
                           {"seconds_syrk", median(syrk)},
                           {"ratio", median(ratio)},
                           {"gflops", gflops},
                           {"gflops_dgemm", peak_all},
                           {"entries_per_second", static_cast<double>(n) * static_cast<double>(n) /
                                                      median(assembling)}}});
}

Json eigensolvers(const Bench& bench, const kernel::Kernel& kernel, const std::vector<Index>& sizes,
                  const std::vector<double>& shares) {
  const auto& grid = bench.grid;
  using spectral::Method;
  auto rows = Json::array();
  bench.say("{:>7} {:>6}  {:<10} {:>10} {:>10}   {}", "n", "k", "method", "seconds", "/ best",
            "largest residual");
  for (const Index n : sizes) {
    const auto X = sphere_points(bench.comm(), n, 16, bench.seed);
    for (const double share : shares) {
      const Index k = std::clamp<Index>(std::lround(static_cast<double>(n) * share), 1, n);
      const std::vector<Method> methods{Method::elpa1, Method::elpa2, Method::scalapack,
                                        Method::automatic};
      std::map<Method, std::vector<double>> times;
      std::map<Method, double> residual;
      std::string chosen;
      for (int r = 0; r < bench.repeat; ++r)
        for (const Method method : methods) {
          auto K = gram::assemble<double>(kernel, X, grid, {.nb = bench.block_of(n)});
          spectral::Options options{.top = k, .method = method};
          times[method].push_back(seconds(bench.comm(), [&] {
            const auto pairs = spectral::eigenpairs(std::move(K), options);
            residual[method] = *std::ranges::max_element(pairs.residuals);
            if (method == Method::automatic) chosen = spectral::name(pairs.method);
          }));
        }
      double best = INFINITY;
      for (const Method method : methods)
        if (method != Method::automatic) best = std::min(best, median(times[method]));
      for (const Method method : methods) {
        const double t = median(times[method]);
        const std::string name =
            method == Method::automatic ? fmt::format("auto={}", chosen) : spectral::name(method);
        bench.say("{:>7} {:>6}  {:<14} {:>8.3f} {:>10.3f}   {:.1e}", n, k, name, t, t / best,
                  residual[method]);
        rows.push_back(Json{{"n", n},
                            {"k", k},
                            {"method", name},
                            {"seconds", t},
                            {"over_best", t / best},
                            {"residual", residual[method]}});
      }
    }
  }
  return rows;
}

}  // namespace mercer::bench
