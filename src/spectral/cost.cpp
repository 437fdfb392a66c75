#include "mercer/spectral/cost.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "backends.hpp"
#include "mercer/base/random.hpp"
#include "mercer/base/text.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/spectral/krylov.hpp"
#include "mercer/spectral/replicated.hpp"

namespace mercer::spectral {
namespace {

using dist::GridShape;

/// seconds = 1e-9 (cube n^3/P + pairs n^2 k/P + square n^2/sqrt(P)) + 1e-6 column n log2(P)
///
/// for k of n pairs on P ranks: what does not depend on k (reduction, divide and conquer), the
/// transformation of the vectors back, panels through memory and to other ranks, and the messages
/// of every column. p?syevx reduces on the largest square grid in P and keeps clusters on one rank:
/// its P is that square's for `cube`, and 1 for `pairs`.
struct Coefficients {
  double cube, pairs, square, column;
};

// Fitted to 2 cores of an Intel Xeon (Sapphire Rapids, 75 GFLOP/s dgemm a core), ELPA 2022.11 with
// generic kernels, OpenBLAS 0.3.21, Open MPI 4.1, when nothing else ran: n = 1000, 2000, 4000, k =
// n, n/4, n/10, n/30, 1 and 2 ranks (n = 4000 on 1: n and n/4 only), the better of two; 66 times,
// within 9 %, on average 3. kSyevx.column came out as 0 and stands for ten messages of 0.3 us. To
// measure again, on a quiet machine:
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

/// Block Krylov on a stored K, m products of K with one vector in blocks of b:
/// seconds = 1e-9 ((product n^2 m + orthogonal n m^2)/P + small m^3/R) + 1e-6 step (m/b) log2(P),
/// the products, the orthogonalisation, some five dense eigenproblems of order up to m on R =
/// replicated_ranks(m, P) ranks, and the sums of every step. From the CPU times of 1 rank at n =
/// 4000, k = n/50 and n/20.
struct KrylovCoefficients {
  double product, orthogonal, small, step;
};
constexpr KrylovCoefficients kKrylov{0.045, 0.05, 0.5, 250};

double krylov_seconds(Index n, Index k, int ranks) {
  const double N = static_cast<double>(n), m = expected_products(n, k), P = ranks;
  const double b = static_cast<double>(krylov_sizes(n, ranks, {.top = k}).block);
  return 1e-9 * ((kKrylov.product * N * N * m + kKrylov.orthogonal * N * m * m) / P +
                 kKrylov.small * m * m * m / replicated_ranks(static_cast<Index>(m), ranks)) +
         1e-6 * kKrylov.step * m / b * std::log2(P);
}

}  // namespace

double predicted_seconds(Method method, Index n, Index k, bool vectors, GridShape shape,
                         bool generic_kernels, bool single_precision) {
  const int ranks = shape.rows * shape.cols;
  if (method == Method::krylov) return krylov_seconds(n, k, ranks);  // in double whatever K is in
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

Choice choose(Index n, Index k, bool vectors, GridShape shape, bool single_precision,
              bool with_krylov) {
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
  if (with_krylov && vectors && 6 * k <= n) methods.push_back(Method::krylov);
  Choice best;
  std::string figures, choice = "least";
  double scalapack = std::numeric_limits<double>::infinity();
  for (const Method m : methods) {
    const double seconds =
        predicted_seconds(m, n, k, vectors, shape, build.generic_kernels, single_precision);
    figures += fmt::format("{}{} {:.3g} s", figures.empty() ? "" : ", ", name(m), seconds);
    if (best.method == Method::automatic || seconds < best.seconds) best = {m, seconds, ""};
    if (m == Method::scalapack) scalapack = seconds;
  }
  // All pairs: Mercer's p?syevd holds 3.5 matrices, ELPA 4 and more. Where they fill a rank's
  // memory, a quarter of the time is the smaller price (at 1 GiB a rank the model's ratio is 1.19
  // on 2 ranks, 1.22 on 10 000).
  constexpr double kLarge = 1024.0 * 1024 * 1024;
  if (vectors && k >= n && best.method != Method::scalapack) {
    const bool large =
        plan(n, k, vectors, best.method, shape, recommended_block(n, shape), single_precision)
            .bytes_per_rank >= kLarge;
    if (scalapack <= (large ? 1.25 : 1.04) * best.seconds) {
      best = {Method::scalapack, scalapack, ""};
      choice = large ? "the leanest within a quarter of the least" : "the leanest of equals";
    }
  }
  best.reason = fmt::format("{} of the predicted {} ({} ELPA kernels){}", choice, figures,
                            build.generic_kernels ? "generic" : "vectorised", left_out);
  return best;
}

Index recommended_block(Index n, GridShape shape) {
  const Index widest = std::max(shape.rows, shape.cols);
  return std::clamp<Index>(n / (4 * widest), 16, 64);
}

template <class T>
dist::DistMatrix<T> sample_kernel(const dist::ProcessGrid& grid, Index n, Index nb, Index d) {
  auto K = comm::together(grid.all(), [&] { return dist::DistMatrix<T>(grid, n, n, nb); });
  const Random random(0, Stream::test);
  Matrix<double> points(d, n);
  for (Index i = 0; i < n; ++i) {
    double norm = 0;
    for (Index a = 0; a < d; ++a) {
      points(a, i) = random.normal(static_cast<std::uint64_t>(i * d + a));
      norm += points(a, i) * points(a, i);
    }
    for (Index a = 0; a < d; ++a) points(a, i) /= std::sqrt(norm);
  }
  K.fill([&](Index i, Index j) {
    double u = 0;
    for (Index a = 0; a < d; ++a) u += points(a, i) * points(a, j);
    u = i == j ? 1.0 : std::clamp(u, -1.0, 1.0);
    const double angle = std::acos(u);
    return (std::sqrt(1 - u * u) + u * (std::numbers::pi - angle)) /
           (std::numbers::pi * static_cast<double>(n));
  });
  return K;
}

template <class T>
std::vector<Timing> time_backends(const std::function<dist::DistMatrix<T>()>& make, Index k,
                                  int repeats) {
  std::vector<Timing> timings;
  for (const Method m : {Method::elpa1, Method::elpa2, Method::scalapack, Method::automatic})
    timings.push_back({m, m, 0, 0, 0, 0, 0, ""});
  for (int repeat = 0; repeat < repeats; ++repeat)
    for (Timing& timing : timings) {
      auto K = make();
      const dist::ProcessGrid& grid = K.grid();
      const Index n = K.rows();
      grid.all().barrier();
      try {
        Options options;
        options.top = k;
        options.method = timing.method;
        const auto pairs = eigenpairs(std::move(K), options);
        const double solve = grid.all().all_reduce(pairs.solve_seconds, comm::Op::max);
        if (repeat == 0 || solve < timing.seconds) {
          timing.seconds = solve;
          timing.check_seconds = grid.all().all_reduce(pairs.seconds, comm::Op::max) - solve;
        }
        timing.ran = pairs.method;
        timing.predicted =
            predicted_seconds(pairs.method, n, k, true, grid.shape(),
                              la::elpa_build().generic_kernels, std::is_same_v<T, float>);
        timing.orthogonality = pairs.orthogonality;
        timing.residual = pairs.residuals.empty()
                              ? 0
                              : *std::max_element(pairs.residuals.begin(), pairs.residuals.end());
      } catch (const RunError& error) {  // alike on all ranks
        timing.failure = error.what();
      }
    }
  return timings;
}

#define MERCER_INSTANTIATE(T)                                                                    \
  template dist::DistMatrix<T> sample_kernel(const dist::ProcessGrid&, Index, Index, Index);     \
  template std::vector<Timing> time_backends(const std::function<dist::DistMatrix<T>()>&, Index, \
                                             int);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::spectral
