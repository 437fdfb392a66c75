#include "mercer/spectral/cost.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "backends.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/base/text.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/spectral/probes.hpp"
#include "mercer/spectral/replicated.hpp"

namespace mercer::spectral {
namespace {

using dist::GridShape;

/// seconds = 1e-9 (cube n^3/P + pairs n^2 k/P + square n^2/sqrt(P)) + 1e-6 column n log2(P)
///
/// for k of n pairs on P ranks. The terms are: what does not depend on k (reduction, divide and
/// conquer), the back-transformation of the vectors, panels moved through memory and to other
/// ranks, and the messages for every column. p?syevx reduces on the largest square grid within P
/// and keeps clusters on one rank: for it P is the size of that square in `cube`, and 1 in `pairs`.
struct Coefficients {
  double cube, pairs, square, column;
};

// Fitted to 2 cores of an Intel Xeon (Sapphire Rapids, 75 GFLOP/s dgemm a core), ELPA 2022.11 with
// generic kernels, OpenBLAS 0.3.21, Open MPI 4.1, when nothing else ran: n = 1000, 2000, 4000, k =
// n, n/4, n/10, n/30, 1 and 2 ranks (n = 4000 on 1: n and n/4 only), the better of two runs; the 66
// times are met within 9 %, on average within 3. The fit gave 0 for kSyevx.column, which is set to
// ten messages of 0.3 us. To measure again, on a quiet machine:
//   for P in 1 2; do mpirun -n $P calibrate_eigensolvers 1000,2000,4000 0 2 1,4,10,30; done > times
//   python3 tests/spectral/fit_cost.py < times
constexpr Coefficients kElpa1{0.099, 0.051, 40, 21};
constexpr Coefficients kElpa2{0.047, 0.43, 78, 19};
constexpr Coefficients kSyevd{0.175, 0.00, 60, 39};
constexpr Coefficients kSyevx{0.060, 0.18, 27, 3};
// ELPA's second stage with AVX-512 kernels against generic ones, from n = 6000 on 2 ranks of a Zen
// 4: 20.5 s against 50.0 s for all pairs, 7.5 s against 10.2 s for 200.
constexpr double kVectorisedCube = 0.8, kVectorisedPairs = 0.33;
// Values only: p?syev without the divide and conquer of p?syevd.
constexpr double kSyevShare = 0.6;

/// dgemm's rate on that machine.
constexpr double kReferenceGemm = 75e9;
/// Share of dgemm's rate that a dense symmetric eigenproblem of moderate order reaches.
constexpr double kSmallGemm = 0.3;

double real(Index n) {
  return static_cast<double>(n);
}

void add_gemm(const gram::Sizes& sizes, double flops, Cost& cost) {
  (sizes.single ? cost.gemm_single : cost.gemm) += flops;
}
void add_skinny(const gram::Sizes& sizes, double flops, Cost& cost) {
  (sizes.single ? cost.skinny_single : cost.skinny) += flops;
}

}  // namespace

double predicted_seconds(Method method, Index n, Index k, bool vectors, GridShape shape,
                         bool generic_kernels, bool single_precision) {
  const int ranks = shape.rows * shape.cols;
  const double N = static_cast<double>(n), P = ranks;
  const Index count = std::min(k + 1, n);
  Coefficients c = method == Method::elpa1 ? kElpa1 : method == Method::elpa2 ? kElpa2 : kSyevd;
  double cube_ranks = P, pair_ranks = P;
  if (method == Method::elpa2 && !generic_kernels)
    c.cube *= kVectorisedCube, c.pairs *= kVectorisedPairs;
  if (method == Method::scalapack && !vectors) c.cube *= kSyevShare;
  if (method == Method::scalapack && takes_syevx(n, count, vectors, ranks)) {
    c = kSyevx;
    const double side = std::floor(std::sqrt(P));
    cube_ranks = side * side;
    pair_ranks = 1;
  }
  const double share = vectors ? static_cast<double>(count) / std::max(N, 1.0) : 0.0;
  const double seconds = 1e-9 * (N * N * N * (c.cube / cube_ranks + c.pairs * share / pair_ranks) +
                                 N * N * c.square / std::sqrt(P)) +
                         1e-6 * c.column * N * std::log2(P);
  return single_precision ? 0.5 * seconds : seconds;
}

Choice choose(Index n, Index k, bool vectors, GridShape shape, bool single_precision, double room,
              Index nb) {
  if (k < 0) k = n;
  constexpr Index kTiny = 64;
  if (n <= kTiny)
    return {Method::lapack, 0, fmt::format("n = {} is at most {}: LAPACK on one rank", n, kTiny)};
  const la::ElpaBuild& build = la::elpa_build();
  std::vector<Method> methods;
  std::string left_out;
  if (!single_precision || build.single_precision)
    methods = {Method::elpa1, Method::elpa2};
  else
    left_out += "; this ELPA has no single precision";
  const Index needed = la::smallest_ranks_for_syevd(n);
  if (shape.rows * shape.cols >= needed || methods.empty())
    methods.push_back(Method::scalapack);
  else
    left_out += fmt::format("; p?syevd's 32-bit workspace needs {}", counted(needed, "rank"));
  if (nb == 0) nb = recommended_block(n, shape);
  const auto bytes = [&](Method m) {
    return plan(n, k, vectors, m, shape, nb, single_precision).bytes_per_rank;
  };
  // Those that fit, or the one that takes least.
  const double least = bytes(*std::ranges::min_element(methods, {}, bytes));
  std::erase_if(methods, [&](Method m) {
    if (bytes(m) <= std::max(room, least)) return false;
    left_out += fmt::format("; {} takes {} a rank", name(m), format_bytes(bytes(m)));
    return true;
  });
  Choice best;
  std::string figures, choice = "the fastest";
  double scalapack = std::numeric_limits<double>::infinity();
  for (const Method m : methods) {
    const double seconds =
        predicted_seconds(m, n, k, vectors, shape, build.generic_kernels, single_precision);
    figures += fmt::format("{}{} {:.3g} s", figures.empty() ? "" : ", ", name(m), seconds);
    if (best.method == Method::automatic || seconds < best.seconds) best = {m, seconds, ""};
    if (m == Method::scalapack) scalapack = seconds;
  }
  // All pairs: Mercer's p?syevd holds 3.5 matrices, ELPA 4 and more. Where matrices are large, up
  // to a quarter more time is worth the saved memory (at 1 GiB a rank the model's ratio of times is
  // 1.19 on 2 ranks, 1.22 on 10 000).
  constexpr double kLarge = 1024.0 * 1024 * 1024;
  if (vectors && k >= n && best.method != Method::scalapack) {
    const bool large = bytes(best.method) >= kLarge;
    if (scalapack <= (large ? 1.25 : 1.04) * best.seconds) {
      best = {Method::scalapack, scalapack, ""};
      choice = large ? "least memory within 25 % of the fastest" : "least memory among the fastest";
    }
  }
  best.reason =
      fmt::format("{}, predicted for the reference machine: {} ({} ELPA kernels){}", choice,
                  figures, build.generic_kernels ? "generic" : "vectorised", left_out);
  return best;
}

Index recommended_block(Index n, GridShape shape) {
  const Index widest = std::max(shape.rows, shape.cols);
  return std::clamp<Index>(n / (4 * widest), 16, 64);
}

Cost eigensolve_cost(const gram::Sizes& sizes, Method method, Index k, bool vectors) {
  const double n = real(sizes.n), K = real(k), P = sizes.ranks();
  const auto planned = plan(sizes.n, k, vectors, method, sizes.shape, sizes.nb, sizes.single);
  Cost cost{.bytes = planned.bytes_per_rank, .flops = planned.flops};
  cost.gemm = kReferenceGemm * predicted_seconds(method, sizes.n, k, vectors, sizes.shape,
                                                 la::elpa_build().generic_kernels, sizes.single);
  add_skinny(sizes, 64 * n * n / P, cost);
  if (vectors) {
    add_skinny(sizes, 64 * n * K / P, cost);
    add_gemm(sizes, 2 * n * K * K / P, cost);
  }
  if (P > 1) cost.network = 4 * sizes.element_bytes() * n * n / std::sqrt(P);
  return cost;
}

Cost replicated_cost(const gram::Sizes& sizes, double flops, double m) {
  const int ranks = replicated_ranks(static_cast<Index>(m), sizes.rank_count());
  return {.flops = flops, .gemm = flops / (kSmallGemm * ranks)};
}

KrylovPlan krylov_plan(const gram::Sizes& sizes, const KrylovOptions& options) {
  KrylovPlan run{.k = options.top};
  run.sizes = krylov_sizes(sizes.n, sizes.rank_count(), options);
  run.products = std::min(real(sizes.n), 4.0 * real(run.k) + 8.0 * real(run.sizes.block));
  return run;
}

Cost krylov_cost(const gram::Sizes& sizes, const gram::OperatorCost& op, const KrylovPlan& run) {
  const double n = real(sizes.n), P = sizes.ranks(), k = real(run.k), N = run.products;
  const double b = real(run.sizes.block), m = std::min(N, real(run.sizes.basis));
  const double calls = std::ceil(N / b), mean = N > m ? (k + m) / 2 : N / 2;
  const double orthogonalise = 4 * n * mean * N, vectors = 2 * n * (m + k) * k;
  Cost cost = calls * gram::product_cost(sizes, op, b) +
              gram::product_cost(sizes, op, real(kResidualProbes)) +
              replicated_cost(sizes, 30 * m * m * m, m) + calls * sum_cost(8 * mean * b, P);
  cost.flops += orthogonalise + vectors;
  cost.skinny += orthogonalise / P;
  cost.gemm += vectors / P;
  cost.bytes = op.bytes + krylov_bytes(sizes.n, run.k, sizes.rank_count(), run.sizes);
  return cost;
}

double estimates_bytes(const gram::Sizes& sizes, const EstimateOptions& options) {
  return 8 * real(sizes.n) / sizes.ranks() * real(options.probes * (options.steps + 3));
}

Cost estimates_cost(const gram::Sizes& sizes, const gram::OperatorCost& op,
                    const EstimateOptions& options) {
  Cost cost = real(options.steps) * gram::product_cost(sizes, op, real(options.probes));
  cost.bytes = op.bytes + estimates_bytes(sizes, options);
  return cost;
}

}  // namespace mercer::spectral
