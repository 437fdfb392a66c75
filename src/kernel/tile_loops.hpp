#pragma once

// The loops over the entries of a tile column, compiled once per instruction set. This header holds
// plain data only: a template or inline function compiled with AVX flags must not be shared with
// other files.

#include <cstdint>

namespace mercer::kernel {

/// The state of the recursion on a piece of a tile column, the n entries (i, j) of n rows i and one
/// row j: c = K/sqrt(q_i q_j), sigma = 1 - c^2 (carried along, not recomputed from c where it is
/// small), tau = T/sqrt(q_i q_j); tau is null for the NNGP.
struct Segment {
  std::int64_t n;
  double* c;
  double* sigma;
  double* tau;
};

/// A factor of each row i (array of n) and of the row j; a loop multiplies the two. Where the n
/// entries are pairs of pixels, each has a p' of its own: `each` is then an array of n that the
/// activations take in place of j, in all of their factors or in none.
struct Factor {
  const double* i;
  double j;
  const double* each = nullptr;
};

/// The factors of a sum of two states, see TileLoops::join.
struct JoinFactors {
  Factor skip, branch;                  ///< norms of the parts relative to the sum's
  Factor skip_mean, branch_mean;        ///< mean/norm of each part
  Factor skip_centred, branch_centred;  ///< norms of the centred parts relative to the sum's
  Factor mean;                          ///< mean of the sum relative to its norm
};

struct TileLoops {
  const char* name;
  /// sigma = (1 - c)(1 + c); returns the smallest of them and 1.
  double (*sigma_of_cosine)(std::int64_t n, const double* c, double* sigma);
  /// |u - v|^2 and |u + v|^2.
  void (*distances)(std::int64_t d, const double* u, const double* v, double* minus, double* plus);
  /// tau += c: a dense layer without bias.
  void (*dense)(const Segment& s);
  /// A dense layer with bias: alpha = sigma_w s/s', beta = sigma_b/s', where s and s' are the norms
  /// before and after it.
  void (*dense_bias)(const Segment& s, Factor alpha, Factor beta);
  /// a min(x,0) + b max(x,0), kappa = (a-b)^2/(a^2+b^2).
  void (*rectifier)(const Segment& s, double kappa);
  /// a erf(b x): e = sqrt(y/(1+y)), f = 1/sqrt(1+y), y = 2 b^2 q; p = e/sqrt(asin(e^2)).
  void (*erf)(const Segment& s, Factor e, Factor f, Factor p);
  /// e and f as for erf with y = q; p = sqrt(q/E[rho^2]).
  void (*gelu)(const Segment& s, Factor e, Factor f, Factor p);
  /// a sin(b x + c): t = |b| sqrt(q), r = |a|/sqrt(E[rho^2]).
  void (*sin)(const Segment& s, Factor t, Factor r, double c);
  /// c' = mean + linear c + c^parity sum_k F_k(i) F_k(j) c^(2k), k < terms. F_k(i) is
  /// features[k stride + i], or features[k stride] for every i where `uniform`; F_k(j) is
  /// features_j[k]. scratch: 2 n + terms doubles.
  void (*series)(const Segment& s, std::int64_t terms, int parity, const double* features,
                 std::int64_t stride, bool uniform, const double* features_j, Factor mean,
                 Factor linear, double* scratch);
  /// skip <- skip + branch: join where at least one of them has zero mean, else join_means.
  void (*join)(const Segment& skip, const Segment& branch, const JoinFactors& f);
  void (*join_means)(const Segment& skip, const Segment& branch, const JoinFactors& f);
  /// out = x s_i s_j.
  void (*scale)(std::int64_t n, const double* x, Factor s, double* out);
  /// On entry `dot` = <x_i, x_j>, on exit |x_i - x_j|^2 = n_i + n_j - 2 dot, where n = norm2 is
  /// |x|^2. Returns the smallest ratio to n_i + n_j, at most 1.
  double (*squared_distance)(std::int64_t n, double* dot, Factor norm2);
  /// d2 <- exp(-t d2), and d2 <- exp(-t sqrt(d2)); 0 where the exponent is below -700.
  void (*gaussian)(std::int64_t n, double* d2, double t);
  void (*laplace)(std::int64_t n, double* d2, double t);
};

/// The version of instructions() (base/instructions.hpp); chosen at the first call.
const TileLoops& tile_loops();

}  // namespace mercer::kernel
