// Compiled once per instruction set, which MERCER_ISA names, with the flags of tile_loops_simd.cpp.

#include "plane_loops.hpp"

#include <math.h>

#include "arc_tangent.hpp"

namespace mercer::kernel::MERCER_ISA {

namespace {

constexpr double kPi = 3.14159265358979323846;
using Size = std::int64_t;

inline Size whole_vectors(Size n) {
  return (n + kOverrun - 1) / kOverrun * kOverrun;
}

/// p[0] + p[step] + ... + p[(taps - 1) step]; `taps` 0: of `count` numbers.
template <int taps>
inline __attribute__((always_inline)) double sum_of(const double* p, Size count, Size step) {
  if constexpr (taps == 3) return p[0] + p[step] + p[2 * step];
  if constexpr (taps == 5) return (p[0] + p[step]) + (p[2 * step] + p[3 * step]) + p[4 * step];
  double sum = p[0];
  for (Size o = 1; o < count; ++o) sum += p[o * step];
  return sum;
}

/// Sums over the filter's height, all columns of the padded rows: with stride 1 as one long row.
template <int taps>
void sum_rows(const double* in, const PlaneFilter& f, double* __restrict out) {
  const Size rows = f.stride == 1 ? 1 : f.out_h;
  const Size n = f.stride == 1 ? f.out_h * f.pitch : f.pitch;
  for (Size y = 0; y < rows; ++y) {
    const double* __restrict from = in + y * f.stride * f.pitch;
    double* __restrict to = out + y * f.pitch;
#pragma omp simd
    for (Size x = 0; x < n; ++x) to[x] = sum_of<taps>(from + x, f.f1, f.pitch);
  }
}

/// Sums along the rows. `taps`: f2 where it is known to the compiler, and the stride 1; else 0.
template <bool tangent, int taps>
void sum_columns(const double* E_in, const double* G_in, const double* T_in, const PlaneFilter& f,
                 const PlaneState& out) {
  const Size step = taps > 0 ? 1 : f.stride;
  const double weight = f.weight, bias = 4 * f.bias;
  const double of_kernel = f.kernel_term / 4, of_bias = f.bias_term * f.bias;
  const bool one_row = taps > 0 && f.pitch == f.out_pitch;  // what it writes to margins is not read
  const Size rows = one_row ? 1 : f.out_h;
  const Size width = one_row ? (f.out_h - 1) * f.pitch + f.out_w : f.out_w;
  const Size n = taps > 0 ? whole_vectors(width) : width;
  for (Size y = 0; y < rows; ++y) {
    const double* __restrict e = E_in + y * f.pitch;
    const double* __restrict g = G_in + y * f.pitch;
    const double* __restrict t = tangent ? T_in + y * f.pitch : nullptr;
    double* __restrict E = out.E + y * f.out_pitch;
    double* __restrict G = out.G + y * f.out_pitch;
    double* __restrict T = tangent ? out.T + y * f.out_pitch : nullptr;
#pragma omp simd
    for (Size x = 0; x < n; ++x) {
      const double es = sum_of<taps>(e + x * step, f.f2, 1);
      const double gs = sum_of<taps>(g + x * step, f.f2, 1);
      E[x] = weight * es;
      G[x] = weight * gs + bias;
      if (tangent)
        T[x] = weight * (sum_of<taps>(t + x * step, f.f2, 1) + of_kernel * (gs - es)) + of_bias;
    }
  }
}

template <bool tangent>
void columns(const double* E, const double* G, const double* T, const PlaneFilter& f,
             const PlaneState& out) {
  if (f.stride == 1 && f.f2 == 3)
    sum_columns<tangent, 3>(E, G, T, f, out);
  else if (f.stride == 1 && f.f2 == 5)
    sum_columns<tangent, 5>(E, G, T, f, out);
  else
    sum_columns<tangent, 0>(E, G, T, f, out);
}

void filter(const PlaneState& in, const PlaneFilter& f, double* scratch, const PlaneState& out) {
  const Size size = f.out_h * f.pitch + 2 * kOverrun;
  const Size first = -f.before1 * f.pitch - f.before2;  // of the first filter, from pair (0, 0)
  const auto rows = f.f1 == 3 ? sum_rows<3> : f.f1 == 5 ? sum_rows<5> : sum_rows<0>;
  double* const E = scratch;
  double* const G = scratch + size;
  double* const T = scratch + 2 * size;
  rows(in.E + first, f, E);
  rows(in.G + first, f, G);
  if (out.T) {
    rows(in.T + first, f, T);
    columns<true>(E, G, T, f, out);
  } else {
    columns<false>(E, G, nullptr, f, out);
  }
}

// As rectifier_loop of tile_loops_simd.cpp, from and to distances: with minus = 1 - c and plus =
// 1 + c, near the smaller and far the larger, the acute angle is w = 2 atan((near/far)^(1/2)).
template <bool tangent>
void rectifier_loop(Size h, Size w, Size pitch, const PlaneState& in, const PixelNorms& i,
                    const PixelNorms& j, double kappa, double gain, const PlaneState& out) {
  const double kappa_pi = kappa / kPi;
  const Size n = whole_vectors(w);
  for (Size y = 0; y < h; ++y) {
    const double* __restrict E = in.E + y * pitch;
    const double* __restrict G = in.G + y * pitch;
    const double* __restrict T = tangent ? in.T + y * pitch : nullptr;
    const double* __restrict si = i.s + y * i.stride;
    const double* __restrict sj = j.s + y * j.stride;
    const double* __restrict ri = i.inverse + y * i.stride;
    const double* __restrict rj = j.inverse + y * j.stride;
    double* __restrict E_out = out.E + y * pitch;
    double* __restrict G_out = out.G + y * pitch;
    double* __restrict T_out = tangent ? out.T + y * pitch : nullptr;
#pragma omp simd
    for (Size x = 0; x < n; ++x) {
      const double difference = si[x] - sj[x], apart = difference * difference;
      const double half = 0.5 * ri[x] * rj[x], two = 2 * si[x] * sj[x];
      double minus = (E[x] - apart) * half, plus = (G[x] - apart) * half;
      minus = minus > 0 ? minus : 0;
      plus = plus > 0 ? plus : 0;
      const bool obtuse = plus < minus;
      const double near = obtuse ? plus : minus, far = (obtuse ? minus : plus) + 1e-300;
      const double t = sqrt(near / far), angle = 2 * (t + t * atan_rest(t)), cosine = 1 - near;
      const double lift = kappa_pi * (t * far - angle * cosine);
      double e = near - lift + (obtuse ? (2 - kappa) * cosine : 0);
      e = e > 0 ? e : 0;
      const double g = near + lift + (obtuse ? kappa : 2) * cosine;
      E_out[x] = gain * (two * e + apart);
      G_out[x] = gain * (two * g + apart);
      if (tangent)
        T_out[x] = gain * T[x] * (obtuse ? 1 - kappa + kappa_pi * angle : 1 - kappa_pi * angle);
    }
  }
}

void rectifier(Size h, Size w, Size pitch, const PlaneState& in, const PixelNorms& i,
               const PixelNorms& j, double kappa, double gain, const PlaneState& out) {
  out.T ? rectifier_loop<true>(h, w, pitch, in, i, j, kappa, gain, out)
        : rectifier_loop<false>(h, w, pitch, in, i, j, kappa, gain, out);
}

void normalise(Size n, const PlaneState& in, const double* __restrict si,
               const double* __restrict sj, double* __restrict c, double* __restrict sigma,
               double* __restrict tau) {
  const double* __restrict E = in.E;
  const double* __restrict G = in.G;
  const double* __restrict T = in.T;
#pragma omp simd
  for (Size x = 0; x < n; ++x) {
    const double difference = si[x] - sj[x], apart = difference * difference;
    const double product = si[x] * sj[x], half = product > 0 ? 0.5 / product : 0;
    double minus = (E[x] - apart) * half, plus = (G[x] - apart) * half;
    minus = minus > 0 ? minus : 0;
    plus = plus > 0 ? plus : 0;
    c[x] = 0.5 * (plus - minus);
    sigma[x] = minus * plus;
  }
  if (!T) return;
#pragma omp simd
  for (Size x = 0; x < n; ++x) {
    const double product = si[x] * sj[x];
    tau[x] = product > 0 ? T[x] / product : 0;
  }
}

void restore(Size n, const double* __restrict c, const double* __restrict sigma,
             const double* __restrict tau, const double* __restrict si, const double* __restrict sj,
             const PlaneState& out) {
  double* __restrict E = out.E;
  double* __restrict G = out.G;
  double* __restrict T = out.T;
#pragma omp simd
  for (Size x = 0; x < n; ++x) {
    const double difference = si[x] - sj[x], apart = difference * difference;
    const double product = si[x] * sj[x], far = 1 + fabs(c[x]), near = sigma[x] / far;
    const bool obtuse = c[x] < 0;
    E[x] = 2 * product * (obtuse ? far : near) + apart;
    G[x] = 2 * product * (obtuse ? near : far) + apart;
  }
  if (!T) return;
#pragma omp simd
  for (Size x = 0; x < n; ++x) T[x] = tau[x] * si[x] * sj[x];
}

}  // namespace

extern const PlaneLoops plane_loops;
const PlaneLoops plane_loops = {filter, rectifier, normalise, restore};

}  // namespace mercer::kernel::MERCER_ISA
