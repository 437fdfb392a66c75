#pragma once

// The loops over a plane of pixel pairs, compiled once per instruction set. This header holds plain
// data only (see tile_loops.hpp).

#include <cstdint>

namespace mercer::kernel {

/// The state of a pair of images on one plane: pairs of pixels (p, p') whose offset p - p' is the
/// same, as an h x w array. E = E|h(p) - h'(p')|^2 and G = E|h(p) + h'(p')|^2 for a unit h of the
/// channel, so that K = (G - E)/4; T, the tangent kernel, is null for the NNGP. Sums over pixels
/// keep what is small small: a pair of equal patches has E = 0, of opposite ones G = 0.
///
/// The pointers are to pair (0, 0); row y begins at y pitch, and around the plane there is a
/// margin, into which filters reach. Loops may write to the kOverrun elements behind a row, in
/// ascending order of the rows: rows are processed in whole vectors.
struct PlaneState {
  double* E;
  double* G;
  double* T;
};
constexpr std::int64_t kOverrun = 8;

/// Norms of a field of pixels: s = sqrt(q) and 1/s, or 0 where s = 0. Row y begins at y stride.
struct PixelNorms {
  const double* s;
  const double* inverse;
  std::int64_t stride;
};

/// A filter f1 x f2 on a plane whose margins are filled, its first pixel `before` the one that it
/// is for; out_h x out_w results, one for every stride-th pixel.
struct PlaneFilter {
  std::int64_t pitch, out_pitch, out_h, out_w;
  std::int64_t f1, f2, before1, before2, stride;
  double weight;       ///< sigma_w^2/(f1 f2): of every sum
  double bias;         ///< sigma_b^2: K' = weight sum K + bias
  double kernel_term;  ///< T' = weight (sum T + kernel_term sum K) + bias_term bias
  double bias_term;
};

struct PlaneLoops {
  /// out = the filter of in. scratch: 3 times out_h pitch + kOverrun doubles.
  void (*filter)(const PlaneState& in, const PlaneFilter& f, double* scratch,
                 const PlaneState& out);
  /// a min(x, 0) + b max(x, 0), kappa = (a-b)^2/(a^2+b^2), gain = (a^2+b^2)/2, of h x w pairs.
  void (*rectifier)(std::int64_t h, std::int64_t w, std::int64_t pitch, const PlaneState& in,
                    const PixelNorms& i, const PixelNorms& j, double kappa, double gain,
                    const PlaneState& out);
  /// n entries with norms s_i, s_j as arrays: c, sigma and tau = T/(s_i s_j) (tile_loops.hpp; no T:
  /// no tau), and back with the norms after an activation.
  void (*normalise)(std::int64_t n, const PlaneState& in, const double* si, const double* sj,
                    double* c, double* sigma, double* tau);
  void (*restore)(std::int64_t n, const double* c, const double* sigma, const double* tau,
                  const double* si, const double* sj, const PlaneState& out);
};

/// The version of instructions() (base/instructions.hpp); chosen at the first call.
const PlaneLoops& plane_loops();

}  // namespace mercer::kernel
