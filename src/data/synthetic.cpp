// Synthetic sets: a row is a pure function of (spec, seed, role, position). Training set (role 0)
// and test set (role 1) have different points and the same target function.
#include <cmath>
#include <numbers>
#include <vector>

#include "mercer/base/random.hpp"
#include "reader.hpp"

namespace mercer::data {
namespace {

double as_real(Index i) {
  return static_cast<double>(i);
}

/// A direction drawn uniformly from the unit sphere in R^d.
std::vector<double> random_direction(const Random& random, Index first, Index d) {
  std::vector<double> x(static_cast<std::size_t>(d));
  double square = 0;
  for (Index j = 0; j < d; ++j) {
    const double g = random.normal(static_cast<std::uint64_t>(first + j));
    x[static_cast<std::size_t>(j)] = g;
    square += g * g;
  }
  for (double& value : x) value /= std::sqrt(square);
  return x;
}

/// The points (cos t, sin t), the target amplitude sin(freq t); t uniform at random, or, for
/// `grid`, t_i = 2 pi (i + u)/n with one random u.
class Circle : public Reader {
 public:
  Circle(const Spec& spec, const Request& request)
      : n_(spec.whole("n", 1, 0)),
        frequency_(spec.whole("freq", 0, 1)),
        grid_(spec.values.contains("grid")),
        amplitude_(spec.number("amplitude", 1)),
        angles_(request.seed, Stream::data_inputs, request.role),
        offset_(Random(request.seed, Stream::data_offset, request.role).uniform(0)) {}

  Contents contents() const override {
    return {.rows = n_, .dimension = 2, .outputs = 1, .image = {}, .everywhere = true};
  }
  void read(Index first, Index count, double* rows) override {
    for (Index i = first; i < first + count; ++i, rows += 3) {
      const double turn = grid_ ? (as_real(i) + offset_) / as_real(n_)
                                : angles_.uniform(static_cast<std::uint64_t>(i));
      const double t = 2 * std::numbers::pi * turn;
      rows[0] = std::cos(t);
      rows[1] = std::sin(t);
      rows[2] = amplitude_ * std::sin(as_real(frequency_) * t);
    }
  }

 private:
  Index n_, frequency_;
  bool grid_;
  double amplitude_;
  Random angles_;
  double offset_;
};

/// The random direction of the targets. It is drawn when first needed, so that a set with a huge d
/// can be refused before anything of size d is allocated.
class Axis {
 public:
  Axis(std::uint64_t seed, Index d) : seed_(seed), d_(d) {}
  const std::vector<double>& values() {
    if (values_.empty()) values_ = random_direction(Random(seed_, Stream::data_targets), 0, d_);
    return values_;
  }

 private:
  std::uint64_t seed_;
  Index d_;
  std::vector<double> values_;
};

constexpr Index kHighestDegree = 100'000;

/// Points uniform on the unit sphere in R^d; the target is the zonal harmonic of the given degree
/// about a random direction e, of mean square 1: sqrt(N) P(<x, e>), P the Legendre polynomial of
/// dimension d with P(1) = 1, N the number of linearly independent harmonics of that degree
/// (Mueller, "Spherical Harmonics", LNM 17, 1966).
class Sphere : public Reader {
 public:
  Sphere(const Spec& spec, const Request& request)
      : n_(spec.whole("n", 1, 0)),
        d_(spec.whole("d", 2, 0)),
        degree_(spec.whole("degree", 0, 1)),
        points_(request.seed, Stream::data_inputs, request.role),
        axis_(request.seed, d_) {
    if (degree_ > kHighestDegree)
      throw InputError("{}: degree={}: at most {}", spec.text, degree_, kHighestDegree);
    double count = 1;  // N = (2k + d - 2)/k binomial(k + d - 3, k - 1)
    if (degree_ > 0) {
      for (Index j = 1; j < degree_; ++j) count *= as_real(d_ - 2 + j) / as_real(j);
      count *= as_real(2 * degree_ + d_ - 2) / as_real(degree_);
    }
    scale_ = std::sqrt(count);
  }

  Contents contents() const override {
    return {.rows = n_, .dimension = d_, .outputs = 1, .image = {}, .everywhere = true};
  }
  void read(Index first, Index count, double* rows) override {
    for (Index i = first; i < first + count; ++i, rows += d_ + 1) {
      const auto x = random_direction(points_, i * d_, d_);
      double t = 0;
      const auto& e = axis_.values();
      for (std::size_t j = 0; j < x.size(); ++j) t += x[j] * e[j];
      std::copy(x.begin(), x.end(), rows);
      rows[d_] = scale_ * legendre(t);
    }
  }

 private:
  /// (k + d - 2) P_{k+1} = (2k + d - 2) t P_k - k P_{k-1}.
  double legendre(double t) const {
    if (degree_ == 0) return 1;
    double before = 1, now = t;
    for (Index k = 1; k < degree_; ++k) {
      const double next =
          (as_real(2 * k + d_ - 2) * t * now - as_real(k) * before) / as_real(k + d_ - 2);
      before = now;
      now = next;
    }
    return now;
  }

  Index n_, d_, degree_;
  Random points_;
  Axis axis_;
  double scale_ = 1;
};

/// x ~ N(0, I) in R^d, target <x, e> with a random direction e, |e| = 1: standard normal too.
class Gaussian : public Reader {
 public:
  Gaussian(const Spec& spec, const Request& request)
      : n_(spec.whole("n", 1, 0)),
        d_(spec.whole("d", 1, 0)),
        points_(request.seed, Stream::data_inputs, request.role),
        axis_(request.seed, d_) {}

  Contents contents() const override {
    return {.rows = n_, .dimension = d_, .outputs = 1, .image = {}, .everywhere = true};
  }
  void read(Index first, Index count, double* rows) override {
    const auto& e = axis_.values();
    for (Index i = first; i < first + count; ++i, rows += d_ + 1) {
      rows[d_] = 0;
      for (Index j = 0; j < d_; ++j) {
        rows[j] = points_.normal(static_cast<std::uint64_t>(i * d_ + j));
        rows[d_] += rows[j] * e[static_cast<std::size_t>(j)];
      }
    }
  }

 private:
  Index n_, d_;
  Random points_;
  Axis axis_;
};

}  // namespace

std::unique_ptr<Reader> open_synthetic(const Spec& spec, const Request& request) {
  switch (spec.format) {
    case Spec::Format::circle:
      return std::make_unique<Circle>(spec, request);
    case Spec::Format::sphere:
      return std::make_unique<Sphere>(spec, request);
    default:
      return std::make_unique<Gaussian>(spec, request);
  }
}

}  // namespace mercer::data
