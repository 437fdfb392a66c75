// Compiled once per instruction set, which MERCER_ISA names, with the flags of tile_loops_simd.cpp.

#include "plane_loops.hpp"

#include <math.h>

#include "arc_tangent.hpp"

namespace mercer::kernel::MERCER_ISA {

namespace {

constexpr double kPi = 3.14159265358979323846;
using Size = std::int64_t;

#if defined(__AVX512F__)
constexpr Size kVector = 64;
#elif defined(__AVX__)
constexpr Size kVector = 32;
#else
constexpr Size kVector = 16;
#endif
template <class Real>
struct VectorOf;
template <>
struct VectorOf<double> {
  typedef double type __attribute__((vector_size(kVector)));
};
template <>
struct VectorOf<float> {
  typedef float type __attribute__((vector_size(kVector)));
};
template <class Real>
struct PlacesOf;
template <>
struct PlacesOf<double> {
  typedef std::int64_t type __attribute__((vector_size(kVector)));
};
template <>
struct PlacesOf<float> {
  typedef std::int32_t type __attribute__((vector_size(kVector)));
};
template <class Real>
constexpr Size kLanes = kVector / static_cast<Size>(sizeof(Real));

/// Calls f(x, vector of that place) for whole vectors that cover 0 ... n-1, the last of which may
/// overlap the one before; for fewer numbers than a vector has f(x, one number).
template <class Real, class F>
inline __attribute__((always_inline)) void each_vector(Size n, F f) {
  using Vector = typename VectorOf<Real>::type;
  constexpr Size lanes = kLanes<Real>;
  if (n < lanes) {
    for (Size x = 0; x < n; ++x) f.template operator()<Real>(x);
    return;
  }
  Size x = 0;
  for (; x + lanes <= n; x += lanes) f.template operator()<Vector>(x);
  if (x < n) f.template operator()<Vector>(n - lanes);
}
template <class V, class Real>
inline __attribute__((always_inline)) V load(const Real* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof(V));  // p is not aligned
  return v;
}
template <class V, class Real>
inline __attribute__((always_inline)) void store(Real* p, V v) {
  __builtin_memcpy(p, &v, sizeof(V));
}

/// p[0] + p[step] + ... + p[(taps - 1) step] of vectors V; `taps` 0: of `count` of them.
template <class V, int taps, class Real>
inline __attribute__((always_inline)) V sum_of(const Real* p, Size count, Size step) {
  const auto at = [=](Size k) __attribute__((always_inline)) {
    return load<V>(p + k * step);
  };
  if constexpr (taps == 3) return at(0) + at(1) + at(2);
  if constexpr (taps == 5) return (at(0) + at(1)) + (at(2) + at(3)) + at(4);
  V sum = at(0);
  for (Size o = 1; o < count; ++o) sum += at(o);
  return sum;
}

template <class Real, int taps>
void sum_along_of(Size n, Size count, const Real* in, Real* out) {
  each_vector<Real>(
      n, [=]<class V>(Size x)
             __attribute__((always_inline)) { store(out + x, sum_of<V, taps>(in + x, count, 1)); });
}
/// Reads whole vectors only, which begin cache lines where in + 1 does: the neighbours of a
/// vector's numbers come from the vectors beside it.
template <class Real>
void sum_along_three(Size n, const Real* in, Real* out) {
  using Vector = typename VectorOf<Real>::type;
  constexpr Size lanes = kLanes<Real>;
  typename PlacesOf<Real>::type back, on;  // of {a, b}: b moved by one place
  for (Size k = 0; k < lanes; ++k) {
    back[k] = static_cast<decltype(+back[0])>(lanes - 1 + k);
    on[k] = static_cast<decltype(+back[0])>(1 + k);
  }
  const Real* middle = in + 1;
  Vector before = load<Vector>(middle - lanes), now = load<Vector>(middle);
  for (Size x = 0; x < n; x += lanes) {
    const Vector next = load<Vector>(middle + x + lanes);
    store(out + x,
          Vector(__builtin_shuffle(before, now, back) + now + __builtin_shuffle(now, next, on)));
    before = now;
    now = next;
  }
}
template <class Real>
void sum_along(Size n, Size count, const Real* in, Real* out) {
  count == 3   ? sum_along_three<Real>(n, in, out)
  : count == 5 ? sum_along_of<Real, 5>(n, count, in, out)
               : sum_along_of<Real, 0>(n, count, in, out);
}

/// What is beside row y of a plane.
template <class Real>
struct Beside {
  const Real* left;   ///< ends here
  const Real* right;  ///< begins here
  Real square;
  Beside(const RowSums<Real>& f, Size y)
      : left(f.left + y * f.left_pitch + f.before),
        right(f.right + y * f.right_pitch),
        square(f.square) {}
  Real at_left(Size distance) const { return of(left[-distance]); }
  Real at_right(Size distance) const { return of(right[distance - 1]); }

 private:
  Real of(Real v) const { return square > 0 ? square * v * v : v; }
};

/// The sums in columns first <= x < last.
template <class Real>
void sum_between(const Real* in, const RowSums<Real>& f, Size first, Size last, Real* out) {
  for (Size y = 0; y < f.h; ++y) {
    const Real* row = in + y * f.pitch;
    const Beside<Real> beside(f, y);
    for (Size x = first; x < last; ++x) {
      const Size from = x * f.stride - f.before;
      Real sum = 0;
      for (Size k = from; k < from + f.f; ++k)
        sum += k < 0 ? beside.at_left(-k) : k < f.w ? row[k] : beside.at_right(k - f.w + 1);
      out[y * f.out_pitch + x] = sum;
    }
  }
}

/// sum_ends for a filter of 2 half + 1 and rows of w >= 2 half values.
template <class Real, int half>
void sum_centred_ends(const Real* in, const RowSums<Real>& f, Real* out) {
  const Size h = f.h, w = f.w, pitch = f.pitch, out_pitch = f.out_pitch;
  for (Size y = 0; y < h; ++y) {
    const Real* row = in + y * pitch;
    Real* to = out + y * out_pitch;
    const Beside<Real> beside(f, y);
    Real left[half + 1], right[half + 1];  // at distances 1 ... half
    for (int k = 1; k <= half; ++k) {
      left[k] = beside.at_left(k);
      right[k] = beside.at_right(k);
    }
    for (int x = 0; x < half; ++x) {
      Real first = 0, last = 0;
      for (int k = x - half; k <= x + half; ++k) {
        first += k < 0 ? left[-k] : row[k];
        last += k < 0 ? right[-k] : row[w - 1 - k];
      }
      to[x] = first;
      to[w - 1 - x] = last;
    }
  }
}

template <class Real>
void sum_ends(const Real* in, const RowSums<Real>& f, Real* out) {
  const Size after = f.f - 1 - f.before;
  if (f.before == 1 && after == 1 && f.w >= 2) return sum_centred_ends<Real, 1>(in, f, out);
  if (f.before == 2 && after == 2 && f.w >= 4) return sum_centred_ends<Real, 2>(in, f, out);
  const Size left = f.before < f.out_w ? f.before : f.out_w;
  const Size right = f.w - after > left ? f.w - after : left;
  sum_between(in, f, 0, left, out);
  sum_between(in, f, right, f.out_w, out);
}

template <class Real>
void sum_rows(const Real* in, const RowSums<Real>& f, Real* out) {
  if (f.stride != 1) return sum_between(in, f, 0, f.out_w, out);
  for (Size y = 0; y < f.h; ++y)
    sum_along_of<Real, 0>(f.out_w, f.f, in + y * f.pitch - f.before, out + y * f.out_pitch);
  sum_ends(in, f, out);
}

/// With stride 1 as one long row.
template <class Real, int taps>
void sum_columns_of(const Real* in, const ColumnSums<Real>& f, Real* __restrict out) {
  const Size rows = f.stride == 1 ? 1 : f.out_h;
  const Size n = f.stride == 1 ? f.out_h * f.w : f.w;
  const Real weight = f.weight, constant = f.constant;
  for (Size y = 0; y < rows; ++y) {
    const Real* __restrict from = in + y * f.stride * f.w;
    Real* __restrict to = out + y * f.w;
#pragma omp simd
    for (Size x = 0; x < n; ++x) to[x] = weight * sum_of<Real, taps>(from + x, f.f, f.w) + constant;
  }
}

template <class Real>
void sum_columns(const Real* in, const ColumnSums<Real>& f, Real* out) {
  f.f == 3   ? sum_columns_of<Real, 3>(in, f, out)
  : f.f == 5 ? sum_columns_of<Real, 5>(in, f, out)
             : sum_columns_of<Real, 0>(in, f, out);
}

template <class Real>
void sum_squares(Size n, Size f, Size stride, Real square, const Real* v, Real* out) {
  if (stride == 1) {
    each_vector<Real>(
        n, [=]<class V>(Size x) __attribute__((always_inline)) {
          V sum = V() + 0;
          for (Size k = 0; k < f; ++k) {
            const V one = load<V>(v + x + k);
            sum += one * one;
          }
          store(out + x, V(square * sum));
        });
    return;
  }
  for (Size x = 0; x < n; ++x) {
    Real sum = 0;
    for (Size k = 0; k < f; ++k) sum += v[x * stride + k] * v[x * stride + k];
    out[x] = square * sum;
  }
}

/// channels 0: C of them.
template <class Real, int channels>
void distances_of(Size n, Size C, Size channel, const double* __restrict p,
                  const double* __restrict q, Real* __restrict E, Real* __restrict G) {
  const Size count = channels > 0 ? channels : C;
  const double scale = 1 / static_cast<double>(count);
#pragma omp simd
  for (Size x = 0; x < n; ++x) {
    double minus = 0, plus = 0;
    for (Size c = 0; c < count; ++c) {
      const double a = p[c * channel + x], b = q[c * channel + x];
      minus += (a - b) * (a - b);
      plus += (a + b) * (a + b);
    }
    E[x] = static_cast<Real>(scale * minus);
    G[x] = static_cast<Real>(scale * plus);
  }
}
template <class Real>
void distances(Size n, Size C, Size channel, const double* p, const double* q, Real* E, Real* G) {
  C == 1   ? distances_of<Real, 1>(n, C, channel, p, q, E, G)
  : C == 3 ? distances_of<Real, 3>(n, C, channel, p, q, E, G)
           : distances_of<Real, 0>(n, C, channel, p, q, E, G);
}

/// In whole vectors: the next piece writes over what one leaves behind its end.
template <class Real>
void products(Size h, Size pitch, Size pieces, const Piece<Real>* piece, Size norm_pitch,
              Real* __restrict apart, Real* __restrict four) {
  using Vector = typename VectorOf<Real>::type;
  for (Size y = 0; y < h; ++y)
    for (Size k = 0; k < pieces; ++k) {
      const Real* const si = piece[k].i + y * norm_pitch;
      const Real* const sj = piece[k].j + y * norm_pitch;
      Real* const a = apart + y * pitch + piece[k].first;
      Real* const p = four + y * pitch + piece[k].first;
      for (Size x = 0; x < piece[k].w; x += kLanes<Real>) {
        const Vector s = load<Vector>(si + x), z = load<Vector>(sj + x), difference = s - z;
        store(a + x, Vector(difference * difference));
        store(p + x, Vector(4 * s * z));
      }
    }
}

template <class Real>
inline __attribute__((always_inline)) Real rest_of_square(Real u);
template <>
inline __attribute__((always_inline)) double rest_of_square(double u) {
  return atan_rest_of_square(u);
}
template <>
inline __attribute__((always_inline)) float rest_of_square(float u) {
  return atan_rest_of_square(u);
}
template <class Real>
constexpr Real kSmallest = sizeof(Real) == 8 ? Real(1e-300) : Real(1e-36);

// rectifier_loop of tile_loops_simd.cpp from and to distances. With p = s_i s_j, N = 2 p min(1 - c,
// 1 + c) and F = 4 p - N the acute angle is w = 2 atan(t), t = (N/F)^(1/2), and with D = F - N =
// 4 p |c| and R = 1 - atan(t)/t the arc-cosine kernel's 2 p (sin w - w cos w) = t (N + D R), a sum
// of terms that are not negative. It is less than 4/3 N, as R < t^2/3 = N/(3 F).
template <class Real, bool tangent>
void acute_loop(Size n, const PlaneState<Real>& s, const Real* __restrict apart,
                const Real* __restrict four, const RectifierTerms& terms) {
  Real* __restrict E = s.E;
  Real* __restrict T = s.T;
  const Real turn = Real(terms.kappa / kPi), gain = Real(terms.gain);
  const Real of_kernel = Real(terms.kernel_term / 4);
#pragma omp simd
  for (Size x = 0; x < n; ++x) {
    Real N = E[x] - apart[x];
    const Real half = Real(0.5) * four[x];
    N = N > 0 ? N : 0;
    N = N < half ? N : half;
    Real F = four[x] - N;
    F = F > kSmallest<Real> ? F : kSmallest<Real>;
    const Real u = N / F, t = sqrt(u), R = -rest_of_square(u), D = F - N;
    const Real lift = turn * t * (N + D * R);
    E[x] = gain * (N - lift + apart[x]);
    if (tangent) T[x] = gain * (T[x] * (1 - 2 * turn * t * (1 - R)) + of_kernel * (D + 2 * lift));
  }
}

template <class Real, bool tangent, bool sums>
void any_angle_loop(Size n, const PlaneState<Real>& s, Real* __restrict G_out,
                    const Real* __restrict apart, const Real* __restrict four,
                    const RectifierTerms& terms) {
  Real* __restrict E = s.E;
  const Real* G = s.G;  // may be G_out
  Real* __restrict T = s.T;
  const Real kappa = Real(terms.kappa), turn = Real(terms.kappa / kPi), gain = Real(terms.gain);
  const Real of_kernel = Real(terms.kernel_term / 4);
#pragma omp simd
  for (Size x = 0; x < n; ++x) {
    Real minus = E[x] - apart[x], plus = G[x] - apart[x];
    const bool obtuse = plus < minus;
    const Real half = Real(0.5) * four[x];
    Real N = obtuse ? plus : minus;
    N = N > 0 ? N : 0;
    N = N < half ? N : half;
    Real F = four[x] - N;
    F = F > kSmallest<Real> ? F : kSmallest<Real>;
    const Real u = N / F, t = sqrt(u), R = -rest_of_square(u), D = F - N;
    const Real lift = turn * t * (N + D * R);
    const Real e = N - lift + (obtuse ? Real(0.5) * (2 - kappa) * D : 0);
    const Real g = N + lift + (obtuse ? Real(0.5) * kappa : 1) * D;
    E[x] = gain * (e + apart[x]);
    if (sums) G_out[x] = gain * (g + apart[x]);
    if (tangent) {
      const Real bend = 2 * turn * t * (1 - R), slope = obtuse ? 1 - kappa + bend : 1 - bend;
      T[x] = gain * (T[x] * slope + of_kernel * (2 * lift + (obtuse ? kappa - 1 : 1) * D));
    }
  }
}

template <class Real>
void rectifier(Size n, const PlaneState<Real>& s, Real* G_out, const Real* apart, const Real* four,
               const RectifierTerms& terms) {
  if (!s.G)
    s.T ? acute_loop<Real, true>(n, s, apart, four, terms)
        : acute_loop<Real, false>(n, s, apart, four, terms);
  else if (G_out)
    s.T ? any_angle_loop<Real, true, true>(n, s, G_out, apart, four, terms)
        : any_angle_loop<Real, false, true>(n, s, G_out, apart, four, terms);
  else
    s.T ? any_angle_loop<Real, true, false>(n, s, G_out, apart, four, terms)
        : any_angle_loop<Real, false, false>(n, s, G_out, apart, four, terms);
}

template <class Real>
void add_kernel(Size n, const PlaneState<Real>& s, Real share, Real scale, Real constant) {
  const Real* __restrict E = s.E;
  const Real* __restrict G = s.G;
  Real* __restrict T = s.T;
#pragma omp simd
  for (Size x = 0; x < n; ++x)
    T[x] = (share > 0 ? share * T[x] : 0) + (scale * (G[x] - E[x]) + constant);
}

template <class Real>
void add(Size n, const Real* __restrict values, Real* __restrict to) {
#pragma omp simd
  for (Size x = 0; x < n; ++x) to[x] += values[x];
}

template <class Real>
double sum(Size n, const Real* values) {
  double all = 0;
#pragma omp simd reduction(+ : all)
  for (Size x = 0; x < n; ++x) all += static_cast<double>(values[x]);
  return all;
}

void normalise(Size n, const PlaneState<double>& in, const double* __restrict si,
               const double* __restrict sj, double* __restrict c, double* __restrict sigma,
               double* __restrict tau) {
  const double* __restrict E = in.E;
  const double* __restrict G = in.G;
  const double* __restrict T = in.T;
  if (G) {
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
  } else {
#pragma omp simd
    for (Size x = 0; x < n; ++x) {
      const double difference = si[x] - sj[x], apart = difference * difference;
      const double product = si[x] * sj[x], half = product > 0 ? 0.5 / product : 0;
      double minus = (E[x] - apart) * half;
      minus = minus > 0 ? minus : 0;
      minus = minus < 1 ? minus : 1;
      c[x] = product > 0 ? 1 - minus : 0;
      sigma[x] = minus * (2 - minus);
    }
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
             const PlaneState<double>& out) {
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

template <class Real>
constexpr PlaneLoops<Real> kLoops = {sum_rows<Real>,    sum_along<Real>,   sum_ends<Real>,
                                     sum_columns<Real>, sum_squares<Real>, distances<Real>,
                                     products<Real>,    rectifier<Real>,   add_kernel<Real>,
                                     add<Real>,         sum<Real>};

}  // namespace

extern const PlaneLoops<double> double_loops;
extern const PlaneLoops<float> float_loops;
extern const PairLoops pair_loops;
const PlaneLoops<double> double_loops = kLoops<double>;
const PlaneLoops<float> float_loops = kLoops<float>;
const PairLoops pair_loops = {normalise, restore};

}  // namespace mercer::kernel::MERCER_ISA
