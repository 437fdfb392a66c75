#pragma once

// For the loops that are compiled once per instruction set, and for no other file.

namespace mercer::kernel::MERCER_ISA {

namespace {

/// atan(t)/t - 1 for 0 <= t <= 1, to 1e-16: atan(t)/t interpolated in t^2 at 20 Chebyshev nodes of
/// [0, 1]. Even and odd powers of t^2 are summed apart: two shorter chains of dependent operations.
inline __attribute__((always_inline)) double atan_rest(double t) {
  const double u = t * t, v = u * u;
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
}  // namespace

}  // namespace mercer::kernel::MERCER_ISA
