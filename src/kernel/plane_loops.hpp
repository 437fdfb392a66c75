#pragma once

// The loops over planes of pixel pairs, compiled once per instruction set. This header holds plain
// data only (see tile_loops.hpp). Real is double or float.

#include <cstdint>

namespace mercer::kernel {

/// The state of a pair of images on a strip of planes (planes.hpp), arrays over its pairs: E =
/// E|h(p) - h'(p')|^2 and G = E|h(p) + h'(p')|^2 for a unit h of the channel, so that K is
/// (G - E)/4; T, the tangent kernel, is null for the NNGP. Sums over pixels keep what is small
/// small: a pair of equal patches has E = 0, of opposite ones G = 0. G is null where every K >= 0,
/// as behind a rectifier: it is then 2 (q + q') - E without cancellation.
///
/// Before and behind each array there are kOverrun elements that loops may read, and behind it as
/// many that they may write: they work in whole vectors.
template <class Real>
struct PlaneState {
  Real* E;
  Real* G;
  Real* T;
};
constexpr std::int64_t kOverrun = 32;

/// Sums of f values along the rows of a plane, one for every stride-th column, the first value
/// `before` columns to the left of the one that the sum is for. What lies outside row y is in left
/// + y left_pitch (`before` values) and right + y right_pitch (at least f - 1 - before); where
/// `square` is not 0, it is square v^2 of the values v there.
template <class Real>
struct RowSums {
  std::int64_t h, w, pitch, out_w, out_pitch;
  std::int64_t f, before, stride;
  const Real* left;
  const Real* right;
  std::int64_t left_pitch, right_pitch;
  Real square;
};

/// weight (sum of f rows) + constant, one for every stride-th row of w values.
template <class Real>
struct ColumnSums {
  std::int64_t out_h, w, f, stride;
  Real weight, constant;
};

/// Of rows of pairs w from column `first` on, with the norms sqrt(q) of their pixels p and p' in
/// row 0. Behind these there are kOverrun elements that loops may read.
template <class Real>
struct Piece {
  const Real* i;
  const Real* j;
  std::int64_t first, w;
};

/// a min(x, 0) + b max(x, 0): kappa = (a-b)^2/(a^2+b^2), gain = (a^2+b^2)/2. kernel_term K is added
/// to T, for the convolution that follows.
struct RectifierTerms {
  double kappa, gain, kernel_term;
};

template <class Real>
struct PlaneLoops {
  void (*sum_rows)(const Real* in, const RowSums<Real>& f, Real* out);
  /// sum_rows in two parts, where every row keeps its width: out[x] = in[x] + ... + in[x + f - 1],
  /// n sums, which are wrong where rows end, and what comes behind them (in may be read to either
  /// side); then the first and last sums of a plane's rows again.
  void (*sum_along)(std::int64_t n, std::int64_t f, const Real* in, Real* out);
  void (*sum_ends)(const Real* in, const RowSums<Real>& f, Real* out);
  void (*sum_columns)(const Real* in, const ColumnSums<Real>& f, Real* out);
  /// out[x] = square (v[x stride]^2 + ... + v[x stride + f - 1]^2), n of them.
  void (*sum_squares)(std::int64_t n, std::int64_t f, std::int64_t stride, Real square,
                      const Real* v, Real* out);
  /// E = |p - q|^2/C and G = |p + q|^2/C of n pairs of pixels, whose channels are `channel` apart.
  void (*distances)(std::int64_t n, std::int64_t C, std::int64_t channel, const double* p,
                    const double* q, Real* E, Real* G);
  /// apart = (s_i - s_j)^2 and four = 4 s_i s_j of h rows of `pitch` pairs, which the pieces fill
  /// from the left to the right. Norms have rows of norm_pitch.
  void (*products)(std::int64_t h, std::int64_t pitch, std::int64_t pieces,
                   const Piece<Real>* piece, std::int64_t norm_pitch, Real* apart, Real* four);
  /// n pairs, in place; G_out is written if it is not null.
  void (*rectifier)(std::int64_t n, const PlaneState<Real>& state, Real* G_out, const Real* apart,
                    const Real* four, const RectifierTerms& terms);
  /// T <- share T + scale (G - E) + constant; share 0: whatever T holds.
  void (*add_kernel)(std::int64_t n, const PlaneState<Real>& state, Real share, Real scale,
                     Real constant);
  void (*add)(std::int64_t n, const Real* values, Real* to);
  double (*sum)(std::int64_t n, const Real* values);
};

/// n pairs with norms s_i, s_j as arrays: c, sigma and tau = T/(s_i s_j) (tile_loops.hpp; no T: no
/// tau), and back with the norms after an activation, then with G.
struct PairLoops {
  void (*normalise)(std::int64_t n, const PlaneState<double>& in, const double* si,
                    const double* sj, double* c, double* sigma, double* tau);
  void (*restore)(std::int64_t n, const double* c, const double* sigma, const double* tau,
                  const double* si, const double* sj, const PlaneState<double>& out);
};

/// The version of instructions() (base/instructions.hpp); chosen at the first call.
template <class Real>
const PlaneLoops<Real>& plane_loops();
const PairLoops& pair_loops();

}  // namespace mercer::kernel
