#pragma once

// The loops over the entries of a tile column, compiled once per instruction set. Nothing but plain
// data here: a template or inline function compiled with AVX flags must not be shared with others.

#include <cstdint>

namespace mercer::kernel {

/// A piece of a tile column, n entries (i, j) for rows i and one j, of a state of the network:
/// c = K/sqrt(q_i q_j), sigma = 1 - c^2 (carried, never recomputed from c where it is small),
/// tau = T/sqrt(q_i q_j); tau is null for the NNGP.
struct Segment {
  std::int64_t n;
  double* c;
  double* sigma;
  double* tau;
};

/// A factor of the rows i (array of n) and of the row j.
struct Factor {
  const double* i;
  double j;
};

/// A sum of two states, see join.
struct JoinFactors {
  Factor skip, branch;                  ///< norms of the parts relative to the sum's
  Factor skip_mean, branch_mean;        ///< mean/norm of each part
  Factor skip_centred, branch_centred;  ///< norms of the centred parts relative to the sum's
  Factor mean;                          ///< mean of the sum relative to its norm
};

struct TileLoops {
  const char* name;
  /// sigma = (1 - c)(1 + c); returns the smallest.
  double (*sigma_of_cosine)(std::int64_t n, const double* c, double* sigma);
  /// |u - v|^2 and |u + v|^2.
  void (*distances)(std::int64_t d, const double* u, const double* v, double* minus, double* plus);
  /// tau += c: a dense layer without bias.
  void (*dense)(const Segment& s);
  /// A dense layer: alpha = sqrt(sigma_w^2 a/q), beta = sqrt(sigma_b^2/q).
  void (*dense_bias)(const Segment& s, Factor alpha, Factor beta);
  /// a min(x,0) + b max(x,0) with kappa = (a-b)^2/(a^2+b^2).
  void (*rectifier)(const Segment& s, double kappa);
  /// e = sqrt(x/(1+x)), f = 1/sqrt(1+x), x = 2 b^2 q; p = e/sqrt(asin(e^2)).
  void (*erf)(const Segment& s, Factor e, Factor f, Factor p);
  /// e, f with x = q; p = sqrt(q/a).
  void (*gelu)(const Segment& s, Factor e, Factor f, Factor p);
  /// t = b sqrt(q), r = |amplitude|/sqrt(a), phase c.
  void (*sin)(const Segment& s, Factor t, Factor r, double c);
  /// c' = mean + linear c + c^parity sum_k F_k(i) F_k(j) c^(2k), k < terms. `features` of the rows
  /// i: feature k at features[k stride + i], or at features[k stride] for every i where `uniform`;
  /// features_j[k] of the row j; scratch of 2 n + terms doubles.
  void (*series)(const Segment& s, std::int64_t terms, int parity, const double* features,
                 std::int64_t stride, bool uniform, const double* features_j, Factor mean,
                 Factor linear, double* scratch);
  /// skip <- skip + branch, one of them with zero mean; and both with means.
  void (*join)(const Segment& skip, const Segment& branch, const JoinFactors& f);
  void (*join_means)(const Segment& skip, const Segment& branch, const JoinFactors& f);
  /// out = x s_i s_j.
  void (*scale)(std::int64_t n, const double* x, Factor s, double* out);
  /// On entry `dot` = <x_i, x_j>, on exit |x_i - x_j|^2 = n_i + n_j - 2 dot; returns the smallest
  /// ratio to n_i + n_j.
  double (*squared_distance)(std::int64_t n, double* dot, Factor norm2);
  /// out = exp(-t d2), and exp(-t sqrt(d2)).
  void (*gaussian)(std::int64_t n, double* d2, double t);
  void (*laplace)(std::int64_t n, double* d2, double t);
};

/// The version of instructions() (base/instructions.hpp); chosen at the first call.
const TileLoops& tile_loops();

}  // namespace mercer::kernel
