#pragma once

#include <memory>

#include "mercer/features/features.hpp"

// The families as functions of rows.

namespace mercer::features {

template <class T>
class Features<T>::Map {
 public:
  explicit Map(const FeatureSpec& spec) : spec_(spec) {}
  virtual ~Map() = default;
  const FeatureSpec& spec() const { return spec_; }
  virtual void evaluate(MatrixView<const T> X, MatrixView<T> psi) const = 0;

 private:
  FeatureSpec spec_;
};

template <class T>
std::unique_ptr<const typename Features<T>::Map> make_deep(const FeatureSpec& spec);

/// Throws InputError, naming `arch`, for what deep_ntk does not know.
void require_deep(const FeatureSpec& spec);
FeatureCost deep_cost(const FeatureSpec& spec, bool single);

/// Substreams of Stream::features: a family's draws; the divisors of the Laplace kernel's; those of
/// deep_ntk from kDeep on, two a layer.
enum : std::uint32_t { kDraws = 0, kDivisors = 1, kDeep = 16 };

}  // namespace mercer::features
