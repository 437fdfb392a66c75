#include <algorithm>
#include <cmath>

#include "backends.hpp"
#include "mercer/spectral/cost.hpp"
#include "mercer/spectral/krylov.hpp"

namespace mercer::spectral {
namespace {

/// The peak memory of the solvers, K and V included, in elements on the rank that has most.
/// `matrix`: that rank's share of an n x n matrix. Measured as VmHWM on 1 and 2 ranks, n = 2000 ...
/// 5000. ELPA's divide and conquer keeps two more matrices besides K and V, and its second stage
/// the Householder vectors of the band, half a matrix. la::syevd keeps half a matrix besides V and
/// p?stedc's workspace of two matrices, one of which stays untouched on a single rank. p?syevx
/// reduces on the largest square grid, to which it moves the matrix.
double peak_elements(Method method, bool syevx, double n, double count, double matrix, double nb,
                     bool vectors, int ranks) {
  const double panels = 4 * std::max(nb, 64.0) * n;
  switch (method) {
    case Method::elpa1:
      return 4 * matrix + panels;
    case Method::elpa2:
      return 4.5 * matrix + 2 * panels;
    case Method::lapack:
      return 3 * matrix + 16 * n;
    default:
      break;
  }
  if (!vectors) return matrix + panels;
  if (!syevx) return (ranks == 1 ? 2.5 : 3.5) * matrix + panels;
  const double side = std::floor(std::sqrt(static_cast<double>(ranks)));
  const double moved = ranks == 1 ? 1.0 : 1.25 / (side * side);
  return 2 * matrix + moved * n * n + count * n + panels;
}

}  // namespace

Plan plan(Index n, Index k, bool vectors, Method method, dist::GridShape shape, Index nb,
          bool single_precision) {
  if (k < 0) k = n;
  const double size = single_precision ? 4 : 8;
  if (method == Method::automatic) method = choose(n, k, vectors, shape, single_precision).method;
  const Placement place = placement(method, n, nb, shape);
  const int ranks = place.shape.rows * place.shape.cols;
  const Index count = std::min(k + 1, n);
  auto largest_part = [&](dist::GridShape s, Index b) {
    return static_cast<double>(dist::BlockCyclic1D{n, b, 0, s.rows}.local_size()) *
           static_cast<double>(dist::BlockCyclic1D{n, b, 0, s.cols}.local_size());
  };
  const double N = static_cast<double>(n), K = static_cast<double>(k);
  if (method == Method::krylov) {
    const KrylovSizes sizes = krylov_sizes(n, ranks, {.top = k});
    // Besides it the vectors of a product in message buffers, and the pairs in both distributions.
    const double shares =
        4 * N * static_cast<double>(sizes.block) / std::min(shape.rows, shape.cols);
    const double products = static_cast<double>(std::min<Index>(n, 4 * k + 8 * sizes.block));
    return {size * largest_part(shape, nb) + krylov_bytes(n, k, ranks, sizes) + 8 * shares +
                2 * size * N * K / ranks,
            2 * N * N * products};
  }
  const double there = peak_elements(
      method, takes_syevx(n, count, vectors, ranks), N, static_cast<double>(count),
      largest_part(place.shape, place.nb), static_cast<double>(place.nb), vectors, ranks);
  // While it is redistributed, the matrix exists twice.
  const double moving =
      place.why.empty() ? 0 : largest_part(shape, nb) + largest_part(place.shape, place.nb);
  Plan result;
  result.bytes_per_rank = size * std::max(there, moving);
  // Reduction to tridiagonal form, back-transformation of the vectors; then the checks.
  result.flops = 4.0 / 3 * N * N * N + (vectors ? 2 * N * N * K + N * K * K : 0.0) + 32 * N * N;
  return result;
}

}  // namespace mercer::spectral
