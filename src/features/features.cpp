#include "mercer/features/features.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "loops.hpp"
#include "map.hpp"
#include "mercer/base/error.hpp"
#include "mercer/base/random.hpp"
#include "mercer/blas/blas.hpp"

namespace mercer::features {

namespace {

constexpr std::pair<Family, const char*> kNames[] = {{Family::rff, "rff"},
                                                     {Family::ntk, "ntk"},
                                                     {Family::arccos, "arccos"},
                                                     {Family::deep_ntk, "deep-ntk"}};

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

}  // namespace

std::string name(Family family) {
  return std::ranges::find(kNames, family, &std::pair<Family, const char*>::first)->second;
}

Family parse_family(std::string_view text) {
  std::string known;
  for (const auto& [family, name] : kNames) {
    if (text == name) return family;
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  throw InputError("`features` {}: give one of {}", text, known);
}

Index FeatureSpec::length() const {
  return family == Family::rff ? 2 : family == Family::ntk ? std::max<Index>(1, dimension) : 1;
}

std::string FeatureSpec::text() const {
  const auto of = [&] {
    if (family == Family::rff)
      return fmt::format("{}; h={}; ", laplace ? "laplace" : "gaussian", bandwidth);
    if (family == Family::deep_ntk)
      return fmt::format("{}; weight_std={}; bias_std={}; ", architecture.text(),
                         architecture.weight_std, architecture.bias_std);
    return std::string();
  };
  return fmt::format("{}({}count={}; seed={})", name(family), of(), count, seed);
}

std::shared_ptr<const kernel::Kernel> FeatureSpec::kernel() const {
  const auto d = static_cast<double>(dimension);
  const auto shallow = [](double weight_std) {
    return arch::fully_connected(1, "relu", {.weight_std = weight_std});
  };
  switch (family) {
    case Family::rff:
      return kernel::make({.kind = laplace ? kernel::Kind::laplace : kernel::Kind::gaussian,
                           .bandwidth = bandwidth});
    case Family::ntk:  // sigma_w^4/d = 1 takes the NTK parametrisation's factors away
      return kernel::make({.architecture = shallow(std::pow(d, 0.25)).first_trained()});
    case Family::arccos:
      return kernel::make(
          {.kind = kernel::Kind::nngp, .architecture = shallow(std::pow(2 * d, 0.25))});
    default:
      return kernel::make({.architecture = architecture.without_widths()});
  }
}

void FeatureSpec::validate() const {
  if (dimension < 1) throw InputError("`features`: rows of {} inputs have none", dimension);
  if (count < length())
    throw InputError("`count` {}: give at least {}, the columns of one draw of {}", count, length(),
                     name(family));
  if (family == Family::rff && !(bandwidth > 0 && std::isfinite(bandwidth)))
    throw InputError("`bandwidth` {}: give a positive number", bandwidth);
  if (family == Family::deep_ntk) require_deep(*this);
  if (!chosen.empty() && (std::ssize(chosen) != draws() || !has_density()))
    throw InputError("{}: {} draws were chosen, {} are wanted", text(), chosen.size(), draws());
  if (!factors.empty() && std::ssize(factors) != draws())
    throw InputError("{}: {} factors for {} draws", text(), factors.size(), draws());
  for (const double factor : factors)
    if (!(factor > 0 && std::isfinite(factor)))
      throw InputError("{}: a draw has the factor {}: give positive numbers", text(), factor);
}

namespace {

/// Families of draws w ~ N(0, I), up to scale: rff, ntk, arccos.
template <class T>
class GaussianMap final : public Features<T>::Map {
 public:
  explicit GaussianMap(const FeatureSpec& spec)
      : Features<T>::Map(spec), W_(spec.dimension, spec.draws()) {
    const Random draws(spec.seed, Stream::features, kDraws),
        divisors(spec.seed, Stream::features, kDivisors);
    const bool fourier = spec.family == Family::rff;
    const double constant = spec.family == Family::arccos ? std::sqrt(2.0) : 1.0;
    for (Index r = 0; r < W_.cols(); ++r) {
      const Index draw = spec.chosen.empty() ? r : spec.chosen[at(r)];
      double scale = fourier ? 1 / spec.bandwidth : 1;
      if (fourier && spec.laplace)
        scale /= std::abs(divisors.normal(static_cast<std::uint64_t>(draw)));
      for (Index i = 0; i < W_.rows(); ++i)
        W_(i, r) =
            static_cast<T>(scale * draws.normal(static_cast<std::uint64_t>(draw * W_.rows() + i)));
      const double factor = spec.factors.empty() ? 1 : spec.factors[at(r)];
      scale_.push_back(
          static_cast<T>(factor * constant / std::sqrt(static_cast<double>(W_.cols()))));
    }
  }

  void evaluate(MatrixView<const T> X, MatrixView<T> psi) const override {
    const Index draws = W_.cols(), rows = X.cols;
    using blas::Trans;
    if (this->spec().family == Family::ntk) {
      Matrix<T> z(draws, rows);
      blas::gemm<T>(Trans::yes, Trans::no, 1, W_.view(), X, 0, z.view());
      active_inputs(X, z, psi);
      return;
    }
    const auto z = psi.block(0, 0, draws, rows);
    blas::gemm<T>(Trans::yes, Trans::no, 1, W_.view(), X, 0, z);
    if (this->spec().family == Family::rff)
      loops<T>().waves(draws, rows, psi.ld, scale_.data(), z.data, psi.data + draws);
    else
      loops<T>().rectify(draws, rows, psi.ld, scale_.data(), 0, 1, z.data);
  }

 private:
  /// scale_r x 1[z_r > 0] for each draw.
  void active_inputs(MatrixView<const T> X, const Matrix<T>& z, MatrixView<T> psi) const {
    for (Index j = 0; j < X.cols; ++j) {
      const T* x = X.column(j);
      T* out = psi.column(j);
      for (Index r = 0; r < z.rows(); ++r, out += X.rows) {
        const T scale = z(r, j) > 0 ? scale_[at(r)] : T{0};
        for (Index i = 0; i < X.rows; ++i) out[i] = scale * x[i];
      }
    }
  }

  Matrix<T> W_;           ///< d x draws
  std::vector<T> scale_;  ///< of each draw: factor m^(-1/2), and the family's constant
};

}  // namespace

template <class T>
Features<T>::Features(const FeatureSpec& spec) {
  spec.validate();
  if (spec.family == Family::deep_ntk)
    map_ = make_deep<T>(spec);
  else
    map_ = std::make_unique<GaussianMap<T>>(spec);
}
template <class T>
Features<T>::~Features() = default;
template <class T>
Features<T>::Features(Features&&) noexcept = default;
template <class T>
Features<T>& Features<T>::operator=(Features&&) noexcept = default;

template <class T>
const FeatureSpec& Features<T>::spec() const {
  return map_->spec();
}

template <class T>
void Features<T>::evaluate(MatrixView<const T> X, MatrixView<T> psi) const {
  if (X.rows != spec().dimension || psi.rows != columns() || psi.cols != X.cols)
    throw InputError("features of {} x {} rows into {} x {}: {} inputs and {} columns are wanted",
                     X.cols, X.rows, psi.cols, psi.rows, spec().dimension, columns());
  if (X.cols > 0) map_->evaluate(X, psi);
}

FeatureCost feature_cost(const FeatureSpec& spec, bool single) {
  if (spec.family == Family::deep_ntk) return deep_cost(spec, single);
  const double draws = static_cast<double>(spec.draws()), d = static_cast<double>(spec.dimension),
               element = single ? 4 : 8;
  return {.flops = 2 * draws * d,
          .bytes = element * draws * (d + 1) + 16 * draws,
          .bytes_per_row = spec.family == Family::ntk ? element * draws : 0};
}

template class Features<double>;
template class Features<float>;

}  // namespace mercer::features
