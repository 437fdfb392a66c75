// Side-by-side figures of Mercer's stages on this machine: gram (assembly against p?syrk and
// dgemm), eig (every eigensolver against `auto`), train (a step of gradient descent against sgemm).
// Ratios are medians of one run. In files of their own: plan (what any method takes for any n and
// P), operator (products with K), krylov (top pairs beside the direct solvers), cg
// (preconditioners).

#include <algorithm>
#include <cmath>
#include <map>

#include "mercer/base/memory.hpp"
#include "mercer/base/random.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "shared/bench.hpp"
#include "shared/forecast.hpp"

namespace mercer::drivers {
namespace {

using Row = nlohmann::ordered_json;

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

int bench_gram(const BenchJob& job, const gram::Source& kernel, Session& session) {
  const auto& grid = session.grid();
  const Index n = job.n, d = job.d;
  const Index nb = job.common.nb > 0 ? job.common.nb : spectral::recommended_block(n, grid.shape());
  session.begin(n, d, nb, kernel.text(), 0);
  const gram::Options assembly{.nb = nb};
  Plan plan = session.plan();
  plan.stage(forecast::assemble(
      session.machine(kernel, d),
      {.n = n, .d = d, .shape = grid.shape(), .nb = nb, .kernel = forecast::kernel_of(kernel)}));
  if (session.stop_at_plan(plan)) return 0;

  const auto X = sphere_points(session.comm(), n, d, job.common.seed);
  std::vector<double> assembling, syrk, peak;
  for (int r = 0; r < job.repeat; ++r) {
    peak.push_back(gemm_peak<double>(session.comm()));
    assembling.push_back(seconds(session.comm(), [&] {
      const auto K = gram::assemble<double>(kernel.kernel(), X, grid, assembly);
    }));
    dist::DistMatrix<double> A(grid, n, d, nb);
    A.fill([](Index i, Index j) { return static_cast<double>((i + 3 * j) % 7) - 3; });
    syrk.push_back(seconds(session.comm(), [&] {
      dist::DistMatrix<double> C(grid, n, n, nb);
      la::syrk_lower<double>(1.0, A, 0.0, C);
    }));
  }
  std::vector<double> ratio;
  for (std::size_t i = 0; i < syrk.size(); ++i) ratio.push_back(assembling[i] / syrk[i]);
  const double pairs = 0.5 * static_cast<double>(n) * static_cast<double>(n + 1);
  const double ranks = static_cast<double>(session.comm().size());
  const double gflops = 2e-9 * pairs * static_cast<double>(d) / median(assembling);
  const double peak_all = 1e-9 * median(peak) * ranks;
  session.say("{:<26} {:>10} {:>12} {:>12}", "", "seconds", "GFLOP/s", "of peak");
  session.say("{:<26} {:>10} {:>12.1f} {:>11.0f}%", "dgemm, all ranks at once", "", peak_all,
              100.0);
  session.say("{:<26} {:>10.4f} {:>12.1f} {:>11.0f}%", "p?syrk, one triangle", median(syrk),
              2e-9 * pairs * static_cast<double>(d) / median(syrk),
              200e-9 * pairs * static_cast<double>(d) / median(syrk) / peak_all);
  session.say("{:<26} {:>10.4f} {:>12.1f} {:>11.0f}%", "assembly, both triangles",
              median(assembling), gflops, 100 * gflops / peak_all);
  session.say("assembly / p?syrk: {:.3f} (median of {}; {:.3f} ... {:.3f});  {:.3g} entries/s",
              median(ratio), job.repeat, *std::ranges::min_element(ratio),
              *std::ranges::max_element(ratio),
              static_cast<double>(n) * static_cast<double>(n) / median(assembling));
  session.record().result["rows"] = {
      Row{{"n", n},
          {"d", d},
          {"kernel", kernel.text()},
          {"seconds_assemble", median(assembling)},
          {"seconds_syrk", median(syrk)},
          {"ratio", median(ratio)},
          {"gflops", gflops},
          {"gflops_dgemm", peak_all},
          {"entries_per_second",
           static_cast<double>(n) * static_cast<double>(n) / median(assembling)}}};
  return session.finish();
}

int bench_eig(const BenchJob& job, const gram::Source& kernel, Session& session) {
  const auto& grid = session.grid();
  using spectral::Method;
  auto rows = Row::array();
  session.begin(0, 16, job.common.nb, kernel.text(), 0);
  if (session.stop_at_plan(session.plan())) return 0;
  session.say("{:>7} {:>6}  {:<10} {:>10} {:>10}   {}", "n", "k", "method", "seconds", "/ best",
              "largest residual");
  for (const double size : parse_numbers("--sizes", job.sizes)) {
    const auto n = static_cast<Index>(size);
    const auto X = sphere_points(session.comm(), n, 16, job.common.seed);
    for (const double fraction : parse_numbers("--fractions", job.fractions)) {
      const Index k = std::clamp<Index>(static_cast<Index>(std::lround(size * fraction)), 1, n);
      const std::vector<Method> methods{Method::elpa1, Method::elpa2, Method::scalapack,
                                        Method::automatic};
      std::map<Method, std::vector<double>> times;
      std::map<Method, double> residual;
      std::string chosen;
      for (int r = 0; r < job.repeat; ++r)
        for (const Method method : methods) {
          const Index nb =
              job.common.nb > 0 ? job.common.nb : spectral::recommended_block(n, grid.shape());
          auto K = gram::assemble<double>(kernel.kernel(), X, grid, {.nb = nb});
          spectral::Options options{.top = k, .method = method};
          times[method].push_back(seconds(session.comm(), [&] {
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
        session.say("{:>7} {:>6}  {:<14} {:>8.3f} {:>10.3f}   {:.1e}", n, k, name, t, t / best,
                    residual[method]);
        rows.push_back(Row{{"n", n},
                           {"k", k},
                           {"method", name},
                           {"seconds", t},
                           {"over_best", t / best},
                           {"residual", residual[method]}});
      }
    }
  }
  session.record().result["rows"] = rows;
  return session.finish();
}

}  // namespace
}  // namespace mercer::drivers

int main(int argc, char** argv) {
  using namespace mercer::drivers;
  namespace po = boost::program_options;
  return run(argc, argv, "mercer-bench", [&](const mercer::comm::Communicator& comm) {
    const std::string job_name = argc > 1 ? argv[1] : "";
    if (job_name == "plan") return bench_plan(argc - 1, argv + 1, comm);
    if (job_name == "operator") return bench_operator(argc - 1, argv + 1, comm);
    if (job_name == "cg") return bench_cg(argc - 1, argv + 1, comm);
    if (job_name == "krylov") return bench_krylov(argc - 1, argv + 1, comm);
    BenchJob job;
    CommandLine line("mercer-bench", "gram|eig|train|plan|operator|krylov|cg [options]",
                     "Times Mercer's stages beside what they are built on.");
    line.add_common(job.common, Planning::here);
    line.add_kernel();
    auto add = line.group("Benchmarks").add_options();
    add("n", po::value(&job.n)->default_value(8192), "gram: points; train: rows");
    add("d", po::value(&job.d)->default_value(784), "gram, train: dimension");
    add("top", po::value(&job.top)->default_value(200), "train: modes of S");
    add("repeat", po::value(&job.repeat)->default_value(5), "runs; medians are printed");
    add("sizes", po::value(&job.sizes)->default_value("2000,5000"), "eig: matrix sizes");
    add("fractions", po::value(&job.fractions)->default_value("1,0.25,0.0333333"), "eig: k/n");
    const bool named = job_name == "gram" || job_name == "eig" || job_name == "train";
    if (!named && !job_name.starts_with("-"))
      throw mercer::InputError(
          "mercer-bench {}: give gram, eig, train, plan, operator, krylov or cg first", job_name);
    if (!line.parse(argc - (named ? 1 : 0), argv + (named ? 1 : 0), comm)) return 0;
    if (!named)
      throw mercer::InputError(
          "give gram, eig, train, plan, operator, krylov or cg first, then the options");
    if (job.repeat < 1) throw mercer::InputError("--repeat {}: give at least 1", job.repeat);
    if (job_name == "train") {
      if (!line.given("precision")) job.common.single_precision = true;
      if (line.given("arch")) job.networks.push_back(line.architecture().text());
      job.given_n = line.given("n");
      if (job.n < 1 || job.d < 1 || job.top < 1)
        throw mercer::InputError("--n {}, --d {}, --top {}: give at least 1", job.n, job.d,
                                 job.top);
      Session session(line, job.common, comm);
      return bench_train(job, session);
    }
    // The assembly's benchmark is that of three hidden layers, unless something else is asked for.
    if (!line.given("arch") && !line.given("depth") && !line.empirical_kernel())
      line.adopt("depth=3", {"depth"}, "mercer-bench");
    const auto kernel = line.kernel_source(comm);
    Session session(line, job.common, comm);
    return job_name == "gram" ? bench_gram(job, kernel, session) : bench_eig(job, kernel, session);
  });
}
