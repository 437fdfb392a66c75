#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mercer/base/index.hpp"

namespace mercer::msk {

/// Modes of a K in precision T with lambda_i <= kModeTolerance<T> lambda_1 are left as they are:
/// this is about the error of computed eigenvalues.
template <Real T>
inline constexpr double kModeTolerance = std::is_same_v<T, double> ? 1e-13 : 1e-6;

/// g on the eigenvalues of a given K: g acts on the top k of them; pairs after k and modes with
/// lambda_i <= tolerance lambda_1 stay as they are.
struct ModifiedSpectrum {
  std::vector<double> lambda;  ///< lambda_1 ... lambda_k, or more (cut_spectrum())
  std::vector<double> g;       ///< g(lambda_i); lambda_i itself for modes left as they are
  double next = 0;       ///< lambda_(k+1); where it is not above the tolerance (k = n, or a K of
                         ///< rank <= k), the smallest eigenvalue that is; 0 where none is
  double tolerance = 0;  ///< relative to lambda_1
  Index left_out = 0;    ///< modes at or below the tolerance: tell the user (a two-layer ReLU NTK
                         ///< without biases is exactly 0 at odd frequencies >= 3 on the circle)
  /// g(lambda_i)/lambda_i, 1 for modes left as they are: the eigenvalues of S. Local.
  std::vector<double> ratio() const;
};

/// g of a Modified Spectrum Kernel ([G] Def. 3.1): `flat` (lambda_(k+1), the default), `flat:c`,
/// `identity`, `power:p` (lambda_(k+1) (lambda/lambda_(k+1))^p), `inverse` (1: S = K^-1 on the top
/// k), `table:FILE` (CSV lambda,g: linear in log lambda, constant beyond its ends; lambda ascending
/// or descending, a header line and # comments allowed), or an expression in l (lambda_i), lk
/// (lambda_(k+1)), l1 (lambda_1) and i (from 1), parsed by muParser. `flat:c` is c lambda_(k+1).
/// Local, pure but for reading FILE in parse().
class SpectrumMap {
 public:
  /// Throws InputError: empty text, parameter that is not a finite number, expression that does not
  /// parse (with muParser's position), assigns, or has several values; table that is missing or
  /// empty, has a line that is not two numbers, a lambda that is not positive, or is not monotone.
  static SpectrumMap parse(std::string_view text);
  SpectrumMap(SpectrumMap&&) noexcept;
  SpectrumMap& operator=(SpectrumMap&&) noexcept;
  ~SpectrumMap();

  /// Canonical text, for reports; an expression as it was given.
  const std::string& text() const;

  enum class Positivity {
    nonnegative,
    positive
  };  ///< ridge regression needs g >= 0, S needs g > 0
  /// g on lambda_1 >= ... >= lambda_k; `next` is lambda_(k+1). `all`: k = n, there is no
  /// lambda_(k+1); the smallest eigenvalue above `tolerance` (relative to lambda_1) takes its
  /// place. Local. Throws InputError naming g, the first i and lambda_i at which g is negative,
  /// zero where it must not be, infinite or NaN; RunError for a lambda_i that is not finite.
  ModifiedSpectrum apply(std::span<const double> lambda, double next, bool all,
                         Positivity positivity, double tolerance = kTolerance) const;

  static constexpr double kTolerance = kModeTolerance<double>;

 private:
  struct Map;
  explicit SpectrumMap(std::unique_ptr<Map> map);
  std::unique_ptr<Map> map_;
};

}  // namespace mercer::msk
