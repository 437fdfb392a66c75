#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "hermite.hpp"
#include "quadrature.hpp"
#include "steps.hpp"

namespace mercer::kernel {

namespace {

using arch::Activation;
using arch::Function;
using std::numbers::pi;

/// Nodes and weights of Gauss-Legendre quadrature on [0, 1], by Newton's iteration.
struct GaussLegendre {
  static constexpr std::size_t size = 24;
  std::array<double, size> x, w;
  GaussLegendre() {
    for (std::size_t k = 0; k < size; ++k) {
      double z = std::cos(pi * (static_cast<double>(k) + 0.75) / (size + 0.5)), slope = 1;
      for (int step = 0; step < 50; ++step) {
        double p = 1, before = 0;
        for (std::size_t n = 0; n < size; ++n) {
          const double a = static_cast<double>(n);
          const double next = ((2 * a + 1) * z * p - a * before) / (a + 1);
          before = p;
          p = next;
        }
        slope = static_cast<double>(size) * (z * p - before) / (z * z - 1);
        const double change = p / slope;
        z -= change;
        if (std::fabs(change) < 1e-16) break;
      }
      x[k] = (1 - z) / 2;
      w[k] = 1 / ((1 - z * z) * slope * slope);
    }
  }
};

/// A smooth activation. c' comes from its loop, and sigma' = (1 - c')(1 + c') has an absolute error
/// of 1e-15. A rectifier further on takes the square root of sigma: where one follows (`accurate`),
/// refine() computes small sigma' again.
class SmoothStep : public Step {
 public:
  SmoothStep(const Activation& rho, bool accurate) : rho_(rho), accurate_(accurate) {}

  Factors prepare(std::vector<RowState>& stack) const override {
    RowState& rows = stack.back();
    Factors f;
    const std::vector<double> before = rows.s;
    advance(rows, f);
    if (accurate_) {
      f.of.push_back(before);
      f.of.push_back(rows.s);
    }
    return f;
  }
  void apply(Work& work, const RowView& rows, const RowView& row_j) const override {
    const Segment& s = work.top();
    if (accurate_) {
      work.before.resize(static_cast<std::size_t>(2 * s.n));
      std::copy_n(s.c, s.n, work.before.data());
      std::copy_n(s.sigma, s.n, work.before.data() + s.n);
    }
    loop(s, rows, row_j, work);
    if (!accurate_) return;
    for (Index i = 0; i < s.n; ++i)
      if (!(s.sigma[i] >= 1e-5))
        refine(work, one_row(rows, i), row_j.each ? one_row(row_j, i) : row_j, work.before[i],
               work.before[s.n + i], s.c[i], s.sigma[i]);
  }
  Index doubles_per_row() const override { return factors() + (accurate_ ? 2 : 0); }

 protected:
  /// Advances the rows and appends factors() arrays to f.
  virtual void advance(RowState& rows, Factors& f) const = 0;
  virtual Index factors() const = 0;
  virtual void loop(const Segment& s, const RowView& rows, const RowView& row_j,
                    Work& work) const = 0;
  Activation rho_;

 private:
  static RowView one_row(RowView rows, Index i) {
    rows.first += i;
    if (!rows.uniform && rows.packed) rows.packed += i;
    rows.each = false;
    return rows;
  }

  /// With t the sign of c': 1 - t c' = 1/2 E[(rho(u)/a_1 - t rho(v)/a_2)^2], a^2 = E[rho^2], without
  /// cancellation. With e the sign of c, its value at c = e is one integral of squared differences
  /// (parallel_distance), and the integral of dc'/dc between e and c is added (turned). c' near -1
  /// comes from an odd rho (t = e = -1), c' near 1 of nearly antiparallel rows from an even one.
  void refine(Work& work, const RowView& row, const RowView& row_j, double c, double sigma,
              double& c_out, double& sigma_out) const {
    const double e = c < 0 ? -1 : 1, t = c_out < 0 ? -1 : 1;
    if (c_out == 0 || (e > 0 && t < 0)) return;
    const std::size_t at = row.factors->of.size() - 2;
    const double s1 = *row.of(at), s2 = *row_j.of(at), a1 = *row.of(at + 1), a2 = *row_j.of(at + 1);
    if (!(a1 > 0 && a2 > 0)) return;
    const double far = std::max(0.0, parallel_distance(s1, a1, e * s2, t * a2) +
                                         t * e * turned(work, row, row_j, c, sigma));
    c_out = t * (1 - far);
    sigma_out = far * (2 - far);
  }

  /// 1/2 E[(rho(s1 g)/a1 - rho(s2 g)/a2)^2], g ~ N(0, 1).
  double parallel_distance(double s1, double a1, double s2, double a2) const {
    if (s1 == s2 && a1 == a2) return 0;
    double sum = 0;
    const auto add = [&](double g, double w) {
      const double difference = arch::value(rho_, s1 * g) / a1 - arch::value(rho_, s2 * g) / a2;
      sum += w * difference * difference;
    };
    const double scale = std::max(std::fabs(s1), std::fabs(s2));
    switch (rho_.function) {
      case Function::sin:
        wave_quadrature(std::min(scale * std::fabs(rho_.b), 1e3), add);
        break;
      case Function::erf:
        step_quadrature(scale * std::fabs(rho_.b), add);
        break;
      case Function::gelu:
      case Function::tanh:
      case Function::softplus:
      case Function::sigmoid:
      case Function::rectifier:
        step_quadrature(scale, add);
        break;
    }
    return sum / 2;
  }

  /// The integral of dc'/dc between c and the nearer of -1 and 1, upwards, with the angle as the
  /// variable. The slopes dc'/dc are what the loop makes of tau = 1 (Price's theorem).
  double turned(Work& work, const RowView& row, const RowView& row_j, double c,
                double sigma) const {
    static const GaussLegendre rule;
    constexpr std::size_t N = GaussLegendre::size;
    const double angle = std::atan2(std::sqrt(sigma), std::fabs(c));
    if (!(angle > 0)) return 0;
    std::array<double, N> cosine, square, slope;
    for (std::size_t k = 0; k < N; ++k) {
      const double theta = angle * rule.x[k];
      cosine[k] = std::copysign(std::cos(theta), c);
      square[k] = std::sin(theta) * std::sin(theta);
      slope[k] = 1;
    }
    Factors same;  // the row's factors, N times
    for (const auto& array : row.factors->of) same.of.emplace_back(N, array[row.first]);
    RowView repeated{&same, 0, row.packed, row.terms, row.stride, true};
    repeated.products = row.products;
    loop({N, cosine.data(), square.data(), slope.data()}, repeated, row_j, work);
    double sum = 0;
    for (std::size_t k = 0; k < N; ++k) sum += rule.w[k] * slope[k] * std::sin(angle * rule.x[k]);
    return angle * sum;
  }

  bool accurate_;
};

/// a erf(b x).
class ErfStep : public SmoothStep {
 public:
  using SmoothStep::SmoothStep;

 private:
  void advance(RowState& rows, Factors& f) const override {
    const std::size_t m = rows.s.size();
    f.of.assign(3, std::vector<double>(m));
    for (std::size_t i = 0; i < m; ++i) {
      const double x = std::numbers::sqrt2 * std::fabs(rho_.b) * rows.s[i], h = std::hypot(1.0, x);
      const double e = x / h, F = 1 / h, root = F * std::sqrt(1 + e * e);
      const double p = e > 1e-100 ? e / std::sqrt(std::atan2(e * e, root)) : 1;
      f.of[0][i] = e;
      f.of[1][i] = F;
      f.of[2][i] = p;
      rows.s[i] = std::fabs(rho_.a) * std::sqrt(2 / pi) * e / p;
      rows.mean[i] = 0;
      rows.tau[i] *= p * p / root;
    }
  }
  Index factors() const override { return 3; }
  void loop(const Segment& s, const RowView& rows, const RowView& row_j, Work&) const override {
    tile_loops().erf(s, factor(rows, row_j, 0), factor(rows, row_j, 1), factor(rows, row_j, 2));
  }
};

/// x Phi(x).
class GeluStep : public SmoothStep {
 public:
  using SmoothStep::SmoothStep;

 private:
  void advance(RowState& rows, Factors& f) const override {
    const std::size_t m = rows.s.size();
    f.of.assign(3, std::vector<double>(m));
    for (std::size_t i = 0; i < m; ++i) {
      const double s = rows.s[i], h = std::hypot(1.0, s), e = s / h, F = 1 / h;
      // root^2 = 1 - E^2 = F^2 (1 + E): computed from F, because F^2 underflows for large s.
      const double E = e * e, F2 = F * F, side = std::sqrt(1 + E), root = F * side;
      const double angle = std::atan(E / root);
      const double gain = 0.25 + (E * F * F2 / side + E * root + angle) / (2 * pi);
      const double slope = 0.25 + (angle + E * F / side * (1 / (1 + E) + F2 + 1 + E)) / (2 * pi);
      const double p = 1 / std::sqrt(gain);
      f.of[0][i] = e;
      f.of[1][i] = F;
      f.of[2][i] = p;
      rows.s[i] = s / p;
      rows.mean[i] = p * e / std::sqrt(2 * pi);
      rows.tau[i] *= p * p * slope;
    }
  }
  Index factors() const override { return 3; }
  void loop(const Segment& s, const RowView& rows, const RowView& row_j, Work&) const override {
    tile_loops().gelu(s, factor(rows, row_j, 0), factor(rows, row_j, 1), factor(rows, row_j, 2));
  }
};

/// a sin(b x + c).
class SinStep : public SmoothStep {
 public:
  using SmoothStep::SmoothStep;

 private:
  void advance(RowState& rows, Factors& f) const override {
    const std::size_t m = rows.s.size();
    const double sine = std::sin(rho_.c), flat = sine * sine;
    f.of.assign(2, std::vector<double>(m));
    // Without a phase the sine of small units is linear, and c' does not depend on t. Smaller t are
    // replaced by this one, for which neither t^2 nor 1/t^2 leaves the range of double.
    constexpr double kLinear = 1e-100;
    for (std::size_t i = 0; i < m; ++i) {
      const double size = std::fabs(rho_.b) * rows.s[i];
      const bool linear = flat == 0 && size > 0 && size < kLinear;
      const double t = linear ? kLinear : size, gap = std::min(2 * t * t, 700.0);
      const double s = std::fabs(rho_.a) * std::sqrt(-std::expm1(-gap) / 2 + flat * std::exp(-gap));
      const double r = s > 0 ? std::fabs(rho_.a) / s : 0;
      f.of[0][i] = t;
      f.of[1][i] = r;
      rows.s[i] = linear ? std::fabs(rho_.a) * size : s;
      rows.mean[i] = s > 0 ? rho_.a * sine * std::exp(-std::min(t * t / 2, 700.0)) / s : 0;
      rows.tau[i] *= 0.5 * r * r * (t * t) * (1 + (1 - 2 * flat) * std::exp(-gap));
    }
  }
  Index factors() const override { return 2; }
  void loop(const Segment& s, const RowView& rows, const RowView& row_j, Work&) const override {
    tile_loops().sin(s, factor(rows, row_j, 0), factor(rows, row_j, 1), rho_.c);
  }
};

/// tanh, softplus, sigmoid.
class SeriesStep : public SmoothStep {
 public:
  SeriesStep(const Activation& rho, bool accurate)
      : SmoothStep(rho, accurate), parts_(hermite_parts(rho)) {}

 private:
  void advance(RowState& rows, Factors& f) const override {
    const std::size_t m = rows.s.size();
    const std::vector<double> s = rows.s;
    std::vector<double> slope(m);
    f.of.assign(2, std::vector<double>(m));
    for (std::size_t i = 0; i < m; ++i) {
      if (i > 0 && s[i] == s[i - 1]) {
        rows.s[i] = rows.s[i - 1];
        rows.mean[i] = rows.mean[i - 1];
        slope[i] = slope[i - 1];
      } else {
        moments(s[i], rows.s[i], rows.mean[i], slope[i]);
      }
      const double norm = rows.s[i] > 0 ? rows.s[i] : INFINITY;  // 1/norm may overflow
      f.of[0][i] = parts_.constant / norm;
      f.of[1][i] = parts_.linear * s[i] / norm;
      rows.tau[i] *= slope[i];
    }
    f.features = hermite_features(rho_, s, rows.s, slope);
  }
  /// norm = sqrt(E[rho^2]), mean = E[rho]/norm, slope = s^2 E[rho'^2]/norm^2.
  void moments(double s, double& norm, double& mean, double& slope) const {
    // rho is divided by its typical size, whose square might leave the range of double.
    const double unit = rho_.function == Function::tanh && s > 0 ? std::min(1.0, s)
                        : rho_.function == Function::softplus    ? std::max(1.0, s)
                                                                 : 1;
    double square = 0, first = 0, derivative = 0;
    step_quadrature(s, [&](double g, double w) {
      const double x = s * g, v = arch::value(rho_, x) / unit;
      const double sigmoid = x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
      double d = sigmoid;  // softplus'
      if (rho_.function == Function::sigmoid) {
        const double tail = std::exp(-std::fabs(x));
        d = tail / ((1 + tail) * (1 + tail));
      } else if (rho_.function == Function::tanh) {
        const double tail = std::exp(-2 * std::fabs(x));
        d = 4 * tail / ((1 + tail) * (1 + tail));
      }
      d *= s / unit;
      square += w * v * v;
      first += w * v;
      derivative += w * d * d;
    });
    norm = unit * std::sqrt(square);
    mean = square > 0 && rho_.function != Function::tanh ? first / std::sqrt(square) : 0;
    slope = square > 0 ? derivative / square : 0;
  }
  /// The features that each row keeps depend on the data: none where all rows have one norm, a few
  /// hundred for variances about 1, up to kMostTerms for large ones. 512 are assumed.
  Index factors() const override { return 2 + 512; }
  void pack(RowView& rows, Index n, const Factors& z, RawVector<double>& buffer) const override {
    const Features& x = rows.factors->features;
    rows.terms = terms_needed(x, z.features);
    rows.uniform = x.uniform && (!rows.each || z.features.uniform);
    rows.products = rows.each && !rows.uniform;
    if (rows.uniform) {
      rows.packed = x.values.data();
      rows.stride = 1;
      return;
    }
    buffer.resize(static_cast<std::size_t>(rows.terms * n));
    for (Index i = 0; i < n; ++i)
      for (Index k = 0; k < rows.terms; ++k)
        buffer[k * n + i] = x.row(rows.first + i)[k] * (rows.products ? z.features.row(i)[k] : 1);
    rows.packed = buffer.data();
    rows.stride = n;
  }
  void loop(const Segment& s, const RowView& rows, const RowView& row_j,
            Work& work) const override {
    const auto room = static_cast<std::size_t>(2 * s.n + 2 * rows.terms);
    if (work.scratch.size() < room) work.scratch.resize(room);
    const double* features_j = row_j.factors->features.row(row_j.first);
    if (rows.products) {
      double* ones = work.scratch.data() + 2 * s.n + rows.terms;
      std::fill_n(ones, rows.terms, 1.0);
      features_j = ones;
    }
    tile_loops().series(s, rows.terms, parts_.parity, rows.packed, rows.stride, rows.uniform,
                        features_j, factor(rows, row_j, 0), factor(rows, row_j, 1),
                        work.scratch.data());
  }
  HermiteParts parts_;
};

}  // namespace

std::unique_ptr<Step> smooth_step(const Activation& rho, bool accurate) {
  switch (rho.function) {
    case Function::erf:
      return std::make_unique<ErfStep>(rho, accurate);
    case Function::gelu:
      return std::make_unique<GeluStep>(rho, accurate);
    case Function::sin:
      return std::make_unique<SinStep>(rho, accurate);
    case Function::rectifier:  // steps.cpp has it
    case Function::tanh:
    case Function::softplus:
    case Function::sigmoid:
      break;
  }
  return std::make_unique<SeriesStep>(rho, accurate);
}

}  // namespace mercer::kernel
