#include <algorithm>
#include <cmath>

#include "backends.hpp"
#include "mercer/spectral/cost.hpp"

namespace mercer::spectral {

Plan plan(Index n, Index k, bool vectors, Method method, dist::GridShape shape, Index nb,
          bool single_precision) {
  if (k < 0) k = n;
  const double size = single_precision ? 4 : 8;
  if (method == Method::automatic) method = choose(n, k, vectors, shape, single_precision).method;
  const Placement place = placement(method, n, nb, shape);
  auto local = [&](Index cols, dist::GridShape s, Index b) {  // elements of the largest rank
    return static_cast<double>(dist::BlockCyclic1D{n, b, 0, s.rows}.local_size()) *
           static_cast<double>(dist::BlockCyclic1D{cols, b, 0, s.cols}.local_size());
  };
  const double matrix = local(n, place.shape, place.nb);
  const double workspace = method == Method::lapack ? 2 * matrix : 3 * matrix;
  Plan result;
  result.bytes_per_rank = size * (matrix + workspace);
  const double N = static_cast<double>(n), K = static_cast<double>(k);
  result.flops = 4.0 / 3 * N * N * N + (vectors ? 2 * N * N * K + N * K * K : 0) + 32 * N * N;
  return result;
}

}  // namespace mercer::spectral
