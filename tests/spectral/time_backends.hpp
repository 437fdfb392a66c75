#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <string>
#include <vector>

#include "mercer/base/error.hpp"
#include "mercer/base/random.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/la/elpa.hpp"
#include "mercer/spectral/cost.hpp"

/// Measures what the cost model of the direct eigensolvers predicts (src/spectral/cost.cpp).
namespace mercer::spectral {

/// What one backend took.
struct Timing {
  Method method = Method::automatic;  ///< the backend asked for; `automatic` among them
  Method ran = Method::automatic;     ///< the backend that ran
  double seconds = 0;                 ///< of the solve, largest over the ranks
  double check_seconds = 0;           ///< of Mercer's own checks
  double predicted = 0;               ///< by the model
  double residual = 0;                ///< largest relative residual
  double orthogonality = 0;
  std::string failure;  ///< why it did not run; empty when it did
};

/// A kernel matrix to measure with: K = (1/n) k(x_i, x_j), k the arc-cosine kernel of degree 1 on n
/// random points of the unit sphere in `d` dimensions. Local: O(n^2 d / P) flops.
template <class T>
dist::DistMatrix<T> sample_kernel(const dist::ProcessGrid& grid, Index n, Index nb, Index d = 16) {
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

/// Solves the same problem with every backend and with `automatic`, `repeats` times each in turn,
/// and keeps the shortest time. `make` assembles K afresh for each run and is collective. This is
/// the measurement that the coefficients in cost.cpp were fitted to. Collective.
template <class T>
std::vector<Timing> time_backends(const std::function<dist::DistMatrix<T>()>& make, Index k,
                                  int repeats = 1) {
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

}  // namespace mercer::spectral
