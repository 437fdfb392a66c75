// Compiled once per instruction set, which MERCER_ISA names, and with fast-math, so that the
// compiler calls glibc's vector functions (libmvec). A NaN that goes in must still come out, so
// that a run that diverges is noticed: every value below is one expression of its argument, without
// a comparison that could choose a finite value instead.

#include <math.h>

#include "loops.hpp"

namespace mercer::net::MERCER_ISA {

namespace {

using Size = std::int64_t;

#define MERCER_INLINE inline __attribute__((always_inline))

MERCER_INLINE double exp_of(double x) {
  return ::exp(x);
}
MERCER_INLINE float exp_of(float x) {
  return ::expf(x);
}
MERCER_INLINE double erf_of(double x) {
  return ::erf(x);
}
MERCER_INLINE float erf_of(float x) {
  return ::erff(x);
}
MERCER_INLINE double erfc_of(double x) {
  return ::erfc(x);
}
MERCER_INLINE float erfc_of(float x) {
  return ::erfcf(x);
}
MERCER_INLINE double tanh_of(double x) {
  return ::tanh(x);
}
MERCER_INLINE float tanh_of(float x) {
  return ::tanhf(x);
}
MERCER_INLINE double sin_of(double x) {
  return ::sin(x);
}
MERCER_INLINE float sin_of(float x) {
  return ::sinf(x);
}
MERCER_INLINE double log1p_of(double x) {
  return ::log1p(x);
}
MERCER_INLINE float log1p_of(float x) {
  return ::log1pf(x);
}
MERCER_INLINE double abs_of(double x) {
  return ::fabs(x);
}
MERCER_INLINE float abs_of(float x) {
  return ::fabsf(x);
}

/// A value and the derivative.
template <class T>
struct Pair {
  T value, slope;
};

// One struct per activation: value and slope at z.
template <class T>
struct Rectifier {
  T a, b;
  // z/2 (b + a) + |z|/2 (b - a): NaN stays NaN. Exact for relu; the slope at 0 is a.
  MERCER_INLINE Pair<T> operator()(T z) const {
    const T up = z + abs_of(z), down = z - abs_of(z);
    return {T(0.5) * (a * down + b * up), z > 0 ? b : a};
  }
};
template <class T>
struct Erf {
  T a, b;
  MERCER_INLINE Pair<T> operator()(T z) const {
    const T x = b * z;
    return {a * erf_of(x), a * b * T(1.12837916709551257390) * exp_of(-x * x)};
  }
};
template <class T>
struct Gelu {
  MERCER_INLINE Pair<T> operator()(T z) const {
    const T Phi = T(0.5) * erfc_of(-z * T(0.70710678118654752440));
    return {z * Phi, Phi + z * T(0.39894228040143267794) * exp_of(T(-0.5) * z * z)};
  }
};
template <class T>
struct Sin {
  T a, b, c;
  // cos(x) is computed as a sine: GCC would combine sin and cos into one call of sincos, which has
  // no vector version.
  MERCER_INLINE Pair<T> operator()(T z) const {
    const T x = b * z + c;
    return {a * sin_of(x), a * b * sin_of(x + T(1.57079632679489661923))};
  }
};
template <class T>
struct Tanh {
  // 1 - tanh^2 = 4 e/(1 + e)^2 with e = exp(-2 |z|), without cancellation.
  MERCER_INLINE Pair<T> operator()(T z) const {
    const T e = exp_of(-2 * abs_of(z)), s = 1 + e;
    return {tanh_of(z), 4 * e / (s * s)};
  }
};
template <class T>
struct Softplus {
  MERCER_INLINE Pair<T> operator()(T z) const {
    return {T(0.5) * (z + abs_of(z)) + log1p_of(exp_of(-abs_of(z))), 1 / (1 + exp_of(-z))};
  }
};
template <class T>
struct Sigmoid {
  MERCER_INLINE Pair<T> operator()(T z) const {
    const T e = exp_of(-abs_of(z)), s = 1 + e;
    return {1 / (1 + exp_of(-z)), e / (s * s)};
  }
};

template <bool biased, bool sloped, class T, class F>
void pass(F rho, Size rows, Size cols, const T* z, const T* bias, T scale, T* out, T* slope) {
  for (Size j = 0; j < cols; ++j) {
    const T* zj = z + j * rows;
    T *oj = out + j * rows, *sj = sloped ? slope + j * rows : nullptr;
#pragma omp simd
    for (Size i = 0; i < rows; ++i) {
      const Pair<T> r = rho(biased ? zj[i] + scale * bias[i] : zj[i]);
      oj[i] = r.value;
      if (sloped) sj[i] = r.slope;
    }
  }
}

template <class T, class F>
void passes(F rho, Size rows, Size cols, const T* z, const T* bias, T scale, T* out, T* slope) {
  if (bias)
    slope ? pass<true, true>(rho, rows, cols, z, bias, scale, out, slope)
          : pass<true, false>(rho, rows, cols, z, bias, scale, out, slope);
  else
    slope ? pass<false, true>(rho, rows, cols, z, bias, scale, out, slope)
          : pass<false, false>(rho, rows, cols, z, bias, scale, out, slope);
}

template <class T>
void activate(const Rho<T>& rho, Size rows, Size cols, const T* z, const T* bias, T scale, T* out,
              T* slope) {
  const auto with = [&](auto f) { passes(f, rows, cols, z, bias, scale, out, slope); };
  switch (rho.function) {
    case arch::Function::rectifier:
      return with(Rectifier<T>{rho.a, rho.b});
    case arch::Function::erf:
      return with(Erf<T>{rho.a, rho.b});
    case arch::Function::gelu:
      return with(Gelu<T>{});
    case arch::Function::sin:
      return with(Sin<T>{rho.a, rho.b, rho.c});
    case arch::Function::tanh:
      return with(Tanh<T>{});
    case arch::Function::softplus:
      return with(Softplus<T>{});
    case arch::Function::sigmoid:
      return with(Sigmoid<T>{});
  }
}

template <class T>
void add_bias(Size rows, Size cols, T* z, const T* bias, T scale) {
  for (Size j = 0; j < cols; ++j) {
    T* zj = z + j * rows;
#pragma omp simd
    for (Size i = 0; i < rows; ++i) zj[i] += scale * bias[i];
  }
}

/// slope(k) is the slope of entry k.
template <class T, class F>
void multiply(F slope, Size n, const T* g, T* out, bool add) {
  if (add) {
#pragma omp simd
    for (Size k = 0; k < n; ++k) out[k] += slope(k) * g[k];
  } else {
#pragma omp simd
    for (Size k = 0; k < n; ++k) out[k] = slope(k) * g[k];
  }
}

template <class T>
void times_slope(const Slope<T>& s, Size n, const T* g, T* out, bool add) {
  const T *stored = s.stored, *value = s.value;
  const T below = s.below, above = s.above;
  if (stored)
    multiply([=](Size k) { return stored[k]; }, n, g, out, add);
  else
    multiply([=](Size k) { return value[k] > 0 ? above : below; }, n, g, out, add);
}

constexpr Size kTall = 512, kWide = 64;

// Partial sums over kWide columns stay in the first-level cache and keep the rounding of a long sum
// small.
template <bool sloped, class T, class F>
void tiles(F slope, Size rows, Size cols, Size ld, T* g, T* sums, T scale) {
  T partial[kTall];
  for (Size i0 = 0; i0 < rows; i0 += kTall) {
    const Size tall = rows - i0 < kTall ? rows - i0 : kTall;
    for (Size j0 = 0; j0 < cols; j0 += kWide) {
      const Size end = cols - j0 < kWide ? cols : j0 + kWide;
      for (Size i = 0; i < tall; ++i) partial[i] = 0;
      for (Size j = j0; j < end; ++j) {
        const Size at = i0 + j * ld;
#pragma omp simd
        for (Size i = 0; i < tall; ++i) {
          const T x = sloped ? slope(at + i) * g[at + i] : g[at + i];
          if (sloped) g[at + i] = x;
          partial[i] += x;
        }
      }
#pragma omp simd
      for (Size i = 0; i < tall; ++i) sums[i0 + i] += scale * partial[i];
    }
  }
}

template <class T>
void slope_and_sums(const Slope<T>& s, Size rows, Size cols, Size ld, T* g, T* sums, T scale) {
  const T *stored = s.stored, *value = s.value;
  const T below = s.below, above = s.above;
  if (!sums) {
    if (!stored && !value) return;
    const bool gaps = ld != rows;
    const Size run = gaps ? rows : rows * cols;
    for (Size at = 0; at < ld * cols; at += gaps ? ld : run)
      times_slope(Slope<T>{stored ? stored + at : stored, value ? value + at : value, below, above},
                  run, g + at, g + at, false);
  } else if (stored) {
    tiles<true>([=](Size k) { return stored[k]; }, rows, cols, ld, g, sums, scale);
  } else if (value) {
    tiles<true>([=](Size k) { return value[k] > 0 ? above : below; }, rows, cols, ld, g, sums,
                scale);
  } else {
    tiles<false>([](Size) { return T(1); }, rows, cols, ld, g, sums, scale);
  }
}

template <class T>
void add(Size n, const T* x, T* y) {
#pragma omp simd
  for (Size k = 0; k < n; ++k) y[k] += x[k];
}

#define MERCER_STRING_(x) #x
#define MERCER_STRING(x) MERCER_STRING_(x)

}  // namespace

extern const Loops<double> loops_double;
extern const Loops<float> loops_float;
const Loops<double> loops_double = {
    MERCER_STRING(MERCER_ISA), add_bias, activate, times_slope, slope_and_sums, add};
const Loops<float> loops_float = {
    MERCER_STRING(MERCER_ISA), add_bias, activate, times_slope, slope_and_sums, add};

}  // namespace mercer::net::MERCER_ISA
