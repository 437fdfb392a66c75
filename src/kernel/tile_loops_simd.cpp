// Compiled once per instruction set, which MERCER_ISA names, and with fast-math, so that the
// compiler calls the vector versions of exp and expm1 (glibc's libmvec). No loop may rely on a NaN
// or an infinity in its input: data with either is refused when it is read. Reassociation stays
// off: the order of the subtractions below is what keeps near-parallel pairs accurate.

#include <math.h>

#include "arc_tangent.hpp"
#include "tile_loops.hpp"

namespace mercer::kernel::MERCER_ISA {

namespace {

constexpr double kPi = 3.14159265358979323846;
using Size = std::int64_t;

double sigma_of_cosine(Size n, const double* c, double* sigma) {
  double smallest = 1;
#pragma omp simd reduction(min : smallest)
  for (Size i = 0; i < n; ++i) {
    const double s = (1 - c[i]) * (1 + c[i]);
    sigma[i] = s;
    smallest = s < smallest ? s : smallest;
  }
  return smallest;
}

void distances(Size d, const double* u, const double* v, double* minus, double* plus) {
  double m = 0, p = 0;
#pragma omp simd reduction(+ : m, p)
  for (Size k = 0; k < d; ++k) {
    const double a = u[k] - v[k], b = u[k] + v[k];
    m += a * a;
    p += b * b;
  }
  *minus = m;
  *plus = p;
}

void dense(const Segment& s) {
  double* __restrict tau = s.tau;
  const double* __restrict c = s.c;
  if (!tau) return;
#pragma omp simd
  for (Size i = 0; i < s.n; ++i) tau[i] += c[i];
}

// c'' = A c + B with A = alpha_1 alpha_2, B = beta_1 beta_2; and, because alpha^2 + beta^2 = 1,
// 1 - c''^2 = A^2 sigma + (alpha_1 beta_2 - alpha_2 beta_1)^2 + 2 A B (1 - c).
template <bool tangent>
void dense_bias_loop(const Segment& s, Factor alpha, Factor beta) {
  double* __restrict c = s.c;
  double* __restrict sigma = s.sigma;
  double* __restrict tau = s.tau;
  const double* __restrict al = alpha.i;
  const double* __restrict be = beta.i;
#pragma omp simd
  for (Size i = 0; i < s.n; ++i) {
    const double A = al[i] * alpha.j, B = be[i] * beta.j;
    const double y = fabs(c[i]), near = sigma[i] / (1 + y);
    const double one_minus_c = c[i] < 0 ? 1 + y : near;
    const double turn = al[i] * beta.j - alpha.j * be[i];
    const double next = A * c[i] + B;
    sigma[i] = A * A * sigma[i] + turn * turn + 2 * A * B * one_minus_c;
    c[i] = next;
    if (tangent) tau[i] = next + A * tau[i];
  }
}
void dense_bias(const Segment& s, Factor alpha, Factor beta) {
  s.tau ? dense_bias_loop<true>(s, alpha, beta) : dense_bias_loop<false>(s, alpha, beta);
}

/// atan(t)/t for 0 <= t <= 1.
inline __attribute__((always_inline)) double atan_ratio(double t) {
  return 1 + atan_rest(t);
}
/// atan(t) for 0 <= t <= 1.
inline __attribute__((always_inline)) double atan_to_one(double t) {
  return t + t * atan_rest(t);
}

/// atan(y/x) for x > 0.
inline __attribute__((always_inline)) double angle_of(double y, double x) {
  const double a = fabs(y), small = a < x ? a : x, large = a < x ? x : a;
  const double acute = atan_to_one(small / large), angle = a < x ? acute : kPi / 2 - acute;
  return y < 0 ? -angle : angle;
}

// Arc-cosine kernel of degree 1 (Cho and Saul 2009) in distances from +-1: with w the acute angle
// and h = kappa (sin w - w cos w)/pi, minus = 1 - c' and plus = 1 + c' come without cancellation.
template <bool tangent>
void rectifier_loop(const Segment& s, double kappa) {
  double* __restrict c = s.c;
  double* __restrict sigma = s.sigma;
  double* __restrict tau = s.tau;
  const double kappa_pi = kappa / kPi;
#pragma omp simd
  for (Size i = 0; i < s.n; ++i) {
    const bool obtuse = c[i] < 0;
    const double y = fabs(c[i]), r = sqrt(sigma[i]), inverse = 1 / (1 + y);
    const double w = 2 * atan_to_one(r * inverse), g = sigma[i] * inverse;
    const double h = kappa_pi * (r - w * y);
    double minus = g - h + (obtuse ? (2 - kappa) * y : 0);
    minus = minus > 0 ? minus : 0;  // h has an error of eps w, more than g where w < eps
    const double plus = g + h + (obtuse ? kappa : 2) * y;
    c[i] = 0.5 * (plus - minus);
    sigma[i] = minus * plus;
    if (tangent) tau[i] *= obtuse ? 1 - kappa + kappa_pi * w : 1 - kappa_pi * w;
  }
}
void rectifier(const Segment& s, double kappa) {
  s.tau ? rectifier_loop<true>(s, kappa) : rectifier_loop<false>(s, kappa);
}

// Williams 1997: E[erf erf] = 2/pi asin(cc), cc = e_1 e_2 c; asin as atan of the stable
// 1 - cc^2 = f_1^2 + e_1^2 f_2^2 + e_1^2 e_2^2 sigma (e^2 + f^2 = 1). Its root is taken of terms
// scaled by 2^511, so that no f^2 underflows, and c' = P c (asin(cc)/cc) holds where cc itself
// underflows.
template <bool tangent, bool each>
void erf_loop(const Segment& s, Factor e, Factor f, Factor p) {
  constexpr double kUp = 0x1p511, kDown = 0x1p-511;
  double* __restrict c = s.c;
  double* __restrict sigma = s.sigma;
  double* __restrict tau = s.tau;
  const double* __restrict e1 = e.i, * __restrict f1 = f.i, * __restrict p1 = p.i;
#pragma omp simd
  for (Size i = 0; i < s.n; ++i) {
    const double ej = each ? e.each[i] : e.j;
    const double fj = each ? f.each[i] : f.j;
    const double pj = each ? p.each[i] : p.j;
    const double E = e1[i] * ej, P = p1[i] * pj, cc = fabs(E * c[i]);
    const double F1 = kUp * f1[i], F2 = e1[i] * (kUp * fj), G = kUp * E;
    const double root = sqrt(F1 * F1 + F2 * F2 + G * G * sigma[i]) * kDown + 1e-308;
    const double small = cc < root ? cc : root, inverse = 1 / (cc < root ? root : cc);
    const double t = small * inverse, ratio = atan_ratio(t);
    c[i] *= P * (cc < root ? ratio : kPi / 2 - t * ratio) * inverse;
    const double rest = (1 - c[i]) * (1 + c[i]);
    sigma[i] = rest > 0 ? rest : 0;
    if (tangent) tau[i] *= P / root;
  }
}

void erf_dual(const Segment& s, Factor e, Factor f, Factor p) {
  if (e.each)
    s.tau ? erf_loop<true, true>(s, e, f, p) : erf_loop<false, true>(s, e, f, p);
  else
    s.tau ? erf_loop<true, false>(s, e, f, p) : erf_loop<false, false>(s, e, f, p);
}

// E[gelu gelu]/sqrt(q_1 q_2) and E[gelu' gelu'] in terms of e, f and 1 - cc^2 as for erf.
template <bool tangent, bool each>
void gelu_loop(const Segment& s, Factor e, Factor f, Factor p) {
  double* __restrict c = s.c;
  double* __restrict sigma = s.sigma;
  double* __restrict tau = s.tau;
  const double* __restrict e1 = e.i, * __restrict f1 = f.i, * __restrict p1 = p.i;
#pragma omp simd
  for (Size i = 0; i < s.n; ++i) {
    const double ej = each ? e.each[i] : e.j;
    const double fj = each ? f.each[i] : f.j;
    const double pj = each ? p.each[i] : p.j;
    const double E = e1[i] * ej, F = f1[i] * fj, P = p1[i] * pj, x = c[i], cc = E * x;
    const double rest = f1[i] * f1[i] + e1[i] * e1[i] * (fj * fj);  // 1 - E^2
    const double square = rest + E * E * sigma[i] + 1e-300, root = sqrt(square);
    const double ratio = cc / root, angle = angle_of(cc, root);
    const double F2 = F * F;
    c[i] = P * (0.25 * x + (x * x * E * F2 / root + E * root + x * angle) / (2 * kPi));
    const double det = (1 - c[i]) * (1 + c[i]);
    sigma[i] = det > 0 ? det : 0;
    if (tangent) tau[i] *= P * (0.25 + (angle + ratio * (F2 / square + F2 + rest)) / (2 * kPi));
  }
}

void gelu_dual(const Segment& s, Factor e, Factor f, Factor p) {
  if (e.each)
    s.tau ? gelu_loop<true, true>(s, e, f, p) : gelu_loop<false, true>(s, e, f, p);
  else
    s.tau ? gelu_loop<true, false>(s, e, f, p) : gelu_loop<false, false>(s, e, f, p);
}

// E[sin sin] = (E1 - E2 cos 2c)/2 with E1, E2 = exp(-b^2 Var(u -+ v)/2) and c the phase; E1 - E2 by
// expm1, the variances from (s_1 - s_2)^2 and 1 -+ c, c the cosine.
template <bool tangent, bool each>
void sin_loop(const Segment& s, Factor t, Factor r, double phase) {
  double* __restrict c = s.c;
  double* __restrict sigma = s.sigma;
  double* __restrict tau = s.tau;
  const double* __restrict t1 = t.i, * __restrict r1 = r.i;
  const double sine = ::sin(phase), flat = sine * sine, cosine2 = 1 - 2 * flat;
#pragma omp simd
  for (Size i = 0; i < s.n; ++i) {
    const double tj = each ? t.each[i] : t.j;
    const double rj = each ? r.each[i] : r.j;
    const bool obtuse = c[i] < 0;
    const double y = fabs(c[i]), difference = t1[i] - tj;
    double tt = t1[i] * tj;
    tt = tt < 1e300 ? tt : 1e300;  // beyond, sigma decides, which may be 0
    double exponent = 0.5 * difference * difference + tt * (sigma[i] / (1 + y));
    exponent = exponent < 700 ? exponent : 700;
    double gap = 2 * tt * y;
    gap = gap < 700 ? gap : 700;
    const double large = exp(-exponent), part = -expm1(-gap), small = large * (1 - part);
    const double first = obtuse ? small : large, second = obtuse ? large : small;
    const double R = r1[i] * rj;
    c[i] = R * (0.5 * (obtuse ? -large : large) * part + flat * second);
    const double det = (1 - c[i]) * (1 + c[i]);
    sigma[i] = det > 0 ? det : 0;
    if (tangent) tau[i] *= 0.5 * R * tt * (first + cosine2 * second);
  }
}

void sin_dual(const Segment& s, Factor t, Factor r, double phase) {
  if (t.each)
    s.tau ? sin_loop<true, true>(s, t, r, phase) : sin_loop<false, true>(s, t, r, phase);
  else
    s.tau ? sin_loop<true, false>(s, t, r, phase) : sin_loop<false, false>(s, t, r, phase);
}

#if defined(__AVX512F__)
constexpr Size kLanes = 8;
#elif defined(__AVX__)
constexpr Size kLanes = 4;
#else
constexpr Size kLanes = 2;
#endif
typedef double Lanes __attribute__((vector_size(8 * kLanes), aligned(8), may_alias));
constexpr Size kBlock = 4 * kLanes;

// The series P(y) and its derivative P'(y) at y = c^2 of kBlock entries, by Horner's rule in
// registers.
template <bool uniform>
void series_block(const double* c, Size terms, const double* features, Size stride,
                  const double* coefficients, double* value, double* slope) {
  Lanes y[4], P[4], D[4];
  for (int b = 0; b < 4; ++b) {
    const Lanes x = *reinterpret_cast<const Lanes*>(c + b * kLanes);
    y[b] = x * x;
    P[b] = D[b] = x - x;
  }
  for (Size k = terms; k-- > 0;)
    for (int b = 0; b < 4; ++b) {
      D[b] = D[b] * y[b] + P[b];
      if (uniform)
        P[b] = P[b] * y[b] + coefficients[k];
      else
        P[b] = P[b] * y[b] + coefficients[k] * *reinterpret_cast<const Lanes*>(
                                                   features + k * stride + b * kLanes);
    }
  for (int b = 0; b < 4; ++b) {
    *reinterpret_cast<Lanes*>(value + b * kLanes) = P[b];
    *reinterpret_cast<Lanes*>(slope + b * kLanes) = D[b];
  }
}

template <bool uniform>
void series_sums(const Segment& s, Size terms, const double* features, Size stride,
                 const double* coefficients, double* value, double* slope) {
  for (Size begin = 0; begin < s.n; begin += kBlock) {
    if (s.n >= kBlock) {
      const Size at = begin + kBlock <= s.n ? begin : s.n - kBlock;  // the last block overlaps
      series_block<uniform>(s.c + at, terms, features + (uniform ? 0 : at), stride, coefficients,
                            value + at, slope + at);
      continue;
    }
    for (Size i = 0; i < s.n; ++i) {
      const double y = s.c[i] * s.c[i];
      double P = 0, D = 0;
      for (Size k = terms; k-- > 0;) {
        D = D * y + P;
        P = P * y + coefficients[k] * (uniform ? 1 : features[k * stride + i]);
      }
      value[i] = P;
      slope[i] = D;
    }
  }
}

/// c' and dc'/dc from the sums of the series; tau is multiplied by the latter (Price's theorem).
template <bool each>
void series_ends(const Segment& s, int parity, Factor mean, Factor linear, const double* value,
                 double* slope) {
#pragma omp simd
  for (Size i = 0; i < s.n; ++i) {
    const double Lj = each ? linear.each[i] : linear.j, Mj = each ? mean.each[i] : mean.j;
    const double x = s.c[i], L = linear.i[i] * Lj, M = mean.i[i] * Mj;
    const double odd = parity ? x : 1, own = parity ? value[i] : 0;
    const double next = M + L * x + odd * value[i], det = (1 - next) * (1 + next);
    slope[i] = L + own + odd * 2 * x * slope[i];
    s.c[i] = next;
    s.sigma[i] = det > 0 ? det : 0;
  }
  if (!s.tau) return;
#pragma omp simd
  for (Size i = 0; i < s.n; ++i) s.tau[i] *= slope[i];
}

void series(const Segment& s, Size terms, int parity, const double* features, Size stride,
            bool uniform, const double* features_j, Factor mean, Factor linear, double* scratch) {
  double *value = scratch, *slope = scratch + s.n, *products = scratch + 2 * s.n;
  if (uniform) {
    for (Size k = 0; k < terms; ++k) products[k] = features[k * stride] * features_j[k];
    series_sums<true>(s, terms, features, stride, products, value, slope);
  } else {
    series_sums<false>(s, terms, features, stride, features_j, value, slope);
  }
  linear.each ? series_ends<true>(s, parity, mean, linear, value, slope)
              : series_ends<false>(s, parity, mean, linear, value, slope);
}

// Parts i of a direct sum, w_1i and w_2i the norms of part i for the two rows. With
// W_i = w_1i w_2i, G_i = W_i c_i and D_i = W_i^2 sigma_i:
// 1 - c''^2 = sum D_i + sum_{i<j} (w_1i w_2j - w_1j w_2i)^2 + 2 (W_i W_j - G_i G_j), and
// 2 (W_i W_j - G_i G_j) = (W_i - G_i)(W_j + G_j) + (W_i + G_i)(W_j - G_j).
struct Part {
  double w1, w2, W, G, minus, plus;  // minus = W - G, plus = W + G
};
inline __attribute__((always_inline)) Part part(double w1, double w2, double G, double D) {
  const double W = w1 * w2, far = W + fabs(G), near = D / (far + 1e-300);
  return {w1, w2, W, G, G < 0 ? far : near, G < 0 ? near : far};
}
inline __attribute__((always_inline)) double cross(const Part& a, const Part& b) {
  const double turn = a.w1 * b.w2 - b.w1 * a.w2;
  return turn * turn + a.minus * b.plus + a.plus * b.minus;
}

template <bool tangent>
void join_loop(const Segment& skip, const Segment& branch, const JoinFactors& f) {
  double* __restrict c = skip.c, * __restrict sigma = skip.sigma, * __restrict tau = skip.tau;
  const double* __restrict cb = branch.c;
  const double* __restrict sb = branch.sigma;
  const double* __restrict tb = branch.tau;
  const double* __restrict ws = f.skip.i, * __restrict wb = f.branch.i;
#pragma omp simd
  for (Size i = 0; i < skip.n; ++i) {
    const double Ws = ws[i] * f.skip.j, Wb = wb[i] * f.branch.j;
    const double Ds = Ws * Ws * sigma[i], Db = Wb * Wb * sb[i];
    const Part s = part(ws[i], f.skip.j, Ws * c[i], Ds);
    const Part b = part(wb[i], f.branch.j, Wb * cb[i], Db);
    c[i] = s.G + b.G;
    sigma[i] = Ds + Db + cross(s, b);
    if (tangent) tau[i] = Ws * tau[i] + Wb * tb[i];
  }
}

void join(const Segment& skip, const Segment& branch, const JoinFactors& f) {
  skip.tau ? join_loop<true>(skip, branch, f) : join_loop<false>(skip, branch, f);
}

// With means nu (relative to the norm) the centred parts have c - nu_1 nu_2 in place of c and
// sigma - (nu_1 - nu_2)^2 - 2 nu_1 nu_2 (1 - c) in place of sigma; the sum of the means is a third
// part, of rank one.
template <bool tangent>
void join_means_loop(const Segment& skip, const Segment& branch, const JoinFactors& f) {
  double* __restrict c = skip.c, * __restrict sigma = skip.sigma, * __restrict tau = skip.tau;
  const double* __restrict cb = branch.c;
  const double* __restrict sb = branch.sigma;
  const double* __restrict tb = branch.tau;
#pragma omp simd
  for (Size i = 0; i < skip.n; ++i) {
    const double Ws = f.skip.i[i] * f.skip.j, Wb = f.branch.i[i] * f.branch.j;
    const double ns = f.skip_mean.i[i] * f.skip_mean.j, nb = f.branch_mean.i[i] * f.branch_mean.j;
    const double ds = f.skip_mean.i[i] - f.skip_mean.j, db = f.branch_mean.i[i] - f.branch_mean.j;
    const double os = c[i] < 0 ? 1 - c[i] : sigma[i] / (1 + fabs(c[i]));
    const double ob = cb[i] < 0 ? 1 - cb[i] : sb[i] / (1 + fabs(cb[i]));
    double Ds = Ws * Ws * (sigma[i] - ds * ds - 2 * ns * os);
    double Db = Wb * Wb * (sb[i] - db * db - 2 * nb * ob);
    Ds = Ds > 0 ? Ds : 0;
    Db = Db > 0 ? Db : 0;
    const Part s = part(f.skip_centred.i[i], f.skip_centred.j, Ws * (c[i] - ns), Ds);
    const Part b = part(f.branch_centred.i[i], f.branch_centred.j, Wb * (cb[i] - nb), Db);
    const Part m = part(fabs(f.mean.i[i]), fabs(f.mean.j), f.mean.i[i] * f.mean.j, 0);
    c[i] = s.G + b.G + m.G;
    sigma[i] = Ds + Db + cross(s, b) + cross(s, m) + cross(b, m);
    if (tangent) tau[i] = Ws * tau[i] + Wb * tb[i];
  }
}

void join_means(const Segment& skip, const Segment& branch, const JoinFactors& f) {
  skip.tau ? join_means_loop<true>(skip, branch, f) : join_means_loop<false>(skip, branch, f);
}

void scale(Size n, const double* x, Factor s, double* out) {
  const double* __restrict si = s.i;
#pragma omp simd
  for (Size i = 0; i < n; ++i) out[i] = x[i] * si[i] * s.j;
}

double squared_distance(Size n, double* __restrict dot, Factor norm2) {
  const double* __restrict ni = norm2.i;
  double smallest = 1;
#pragma omp simd reduction(min : smallest)
  for (Size i = 0; i < n; ++i) {
    const double sum = ni[i] + norm2.j, d2 = sum - 2 * dot[i], ratio = d2 / (sum + 1e-300);
    dot[i] = d2;
    smallest = ratio < smallest ? ratio : smallest;
  }
  return smallest;
}

void gaussian(Size n, double* __restrict d2, double t) {
#pragma omp simd
  for (Size i = 0; i < n; ++i) {
    const double x = t * d2[i];
    d2[i] = x < 700 ? exp(-x) : 0;
  }
}
void laplace(Size n, double* __restrict d2, double t) {
#pragma omp simd
  for (Size i = 0; i < n; ++i) {
    const double x = t * sqrt(d2[i]);
    d2[i] = x < 700 ? exp(-x) : 0;
  }
}

#define MERCER_STRING_(x) #x
#define MERCER_STRING(x) MERCER_STRING_(x)

}  // namespace

extern const TileLoops loops;
const TileLoops loops = {MERCER_STRING(MERCER_ISA),
                         sigma_of_cosine,
                         distances,
                         dense,
                         dense_bias,
                         rectifier,
                         erf_dual,
                         gelu_dual,
                         sin_dual,
                         series,
                         join,
                         join_means,
                         scale,
                         squared_distance,
                         gaussian,
                         laplace};

}  // namespace mercer::kernel::MERCER_ISA
