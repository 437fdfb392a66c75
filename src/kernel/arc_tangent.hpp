#pragma once

// For the loops that are compiled once per instruction set, and for no other file.

namespace mercer::kernel::MERCER_ISA {

namespace {

/// atan(t)/t - 1 of u = t^2 for 0 <= t <= 1, to 1e-16: atan(t)/t interpolated in t^2 at 20
/// Chebyshev nodes of [0, 1]. Even and odd powers of t^2 are summed apart: two shorter chains of
/// dependent operations.
inline __attribute__((always_inline)) double atan_rest_of_square(double u) {
  const double v = u * u;
  double even = 0.00021423810738603946;
  even = even * v + 0.003751138483965141;
  even = even * v + 0.01671959606350739;
  even = even * v + 0.03387126702700675;
  even = even * v + 0.04668745304848529;
  even = even * v + 0.058768281144872724;
  even = even * v + 0.07692198997458294;
  even = even * v + 0.11111110578002083;
  even = even * v + 0.1999999999964796;
  double odd = -1.93423475928923e-05;
  odd = odd * v - 0.0011252544302234645;
  odd = odd * v - 0.00899108054265826;
  odd = odd * v - 0.02556862364437174;
  odd = odd * v - 0.040811247503178855;
  odd = odd * v - 0.052374234719188166;
  odd = odd * v - 0.06665764910689723;
  odd = odd * v - 0.09090899793217341;
  odd = odd * v - 0.14285714266926733;
  odd = odd * v - 0.333333333333307;
  return u * (odd + u * even);
}
/// The same in single precision, to 1e-8: (atan(t)/t - 1)/t^2 interpolated at 9 nodes.
inline __attribute__((always_inline)) float atan_rest_of_square(float u) {
  const float v = u * u;
  float even = -0.00238699732f;
  even = even * v - 0.035871539f;
  even = even * v - 0.0865688043f;
  even = even * v - 0.142785687f;
  even = even * v - 0.333333317f;
  float odd = 0.0135077714f;
  odd = odd * v + 0.0625016944f;
  odd = odd * v + 0.110337641f;
  odd = odd * v + 0.199997393f;
  return u * (even + u * odd);
}
/// atan(t)/t - 1.
inline __attribute__((always_inline)) double atan_rest(double t) {
  return atan_rest_of_square(t * t);
}
}  // namespace

}  // namespace mercer::kernel::MERCER_ISA
