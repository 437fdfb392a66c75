#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mercer/arch/architecture.hpp"
#include "mercer/base/matrix.hpp"
#include "mercer/kernel/kernel.hpp"

/// Random features phi(x, w) of kernels k(x, z) = E_w[phi(x, w)^T phi(z, w)], w ~ p ([L] sec. 3,
/// arXiv 2009.09829): with m draws w_1 ... w_m,
///
///     psi(x) = m^(-1/2) (phi(x, w_1), ..., phi(x, w_m)),   E[psi(x)^T psi(z)] = k(x, z).
///
/// Nothing of size n x n is needed: ridge regression with s features costs n s^2.
namespace mercer::features {

enum class Family {
  /// Fourier features of the Gaussian and Laplace kernels (Rahimi and Recht 2007): phi(x, w) =
  /// (cos w^T x, sin w^T x), w ~ N(0, I/h^2) for exp(-|x-z|^2/(2 h^2)), w/|u| with u ~ N(0, 1) for
  /// exp(-|x-z|/h).
  rff,
  /// phi(x, w) = x 1[w^T x > 0], w ~ N(0, I): the NTK of the two-layer ReLU network whose first
  /// layer is trained ([L] 3.2.2), k(x, z) = x^T z (pi - theta)/(2 pi), theta the angle.
  ntk,
  /// phi(x, w) = 2^(1/2) max(w^T x, 0), w ~ N(0, I): the arc-cosine kernel of order 1 (Cho and Saul
  /// 2009), the NNGP of one hidden layer of ReLU, k(x, z) = |x| |z| (sin theta + (pi - theta) cos
  /// theta)/pi.
  arccos,
  /// The NTK of an architecture of dense layers and rectifiers, layer by layer from random features
  /// of the layer before (deep_features.cpp).
  deep_ntk,
};
std::string name(Family family);
/// "rff", "ntk", "arccos", "deep-ntk". Throws InputError.
Family parse_family(std::string_view text);

/// Which features: plain data that, with the rows, determines them.
struct FeatureSpec {
  Family family = Family::rff;
  bool laplace = false;               ///< rff: of the Laplace kernel, else the Gaussian
  double bandwidth = 1;               ///< rff: h
  arch::Architecture architecture{};  ///< deep_ntk
  Index dimension = 0;                ///< d
  Index count = 0;                    ///< columns that were asked for
  std::uint64_t seed = 0;
  /// The draws, by their numbers among all draws of this seed; empty: 0 ... draws() - 1.
  std::vector<Index> chosen{};
  /// (p(w_r)/q(w_r))^(1/2) of each draw that was taken from another density q ([L] Def. 3.2);
  /// empty: 1.
  std::vector<double> factors{};

  /// Columns of one draw: 2 for rff, d for ntk, otherwise 1.
  Index length() const;
  /// m: as many as `count` columns hold.
  Index draws() const { return count / length(); }
  /// s = m length(), at most `count`.
  Index columns() const { return draws() * length(); }
  /// Columns of draw r: first(r), first(r) + stride(), ...
  Index first(Index r) const { return family == Family::rff ? r : r * length(); }
  Index stride() const { return family == Family::rff ? draws() : 1; }
  /// Whether draws are independent, with a density p that others can replace: not of deep_ntk.
  bool has_density() const { return family != Family::deep_ntk; }

  /// "rff(gaussian; h=1; count=2048; seed=0)": what determines the features, but for `chosen` and
  /// `factors`.
  std::string text() const;
  /// The kernel that they are features of, k above; of deep_ntk in the limit of many columns in
  /// every layer.
  std::shared_ptr<const kernel::Kernel> kernel() const;
  /// Throws InputError, naming the field: no inputs, fewer columns than one draw has, a bandwidth
  /// that is not positive, draws and factors of other numbers, an architecture that deep_ntk does
  /// not know. Local.
  void validate() const;
};

/// The features as a function of rows. T = double, float.
template <class T>
class Features {
 public:
  /// Draws w_1 ... w_m: the same on every rank. Memory: bytes(). Local. Throws InputError as
  /// FeatureSpec::validate().
  explicit Features(const FeatureSpec& spec);
  ~Features();
  Features(Features&&) noexcept;
  Features& operator=(Features&&) noexcept;

  const FeatureSpec& spec() const;
  Index columns() const { return spec().columns(); }
  /// psi <- psi(x_j) in column j, s x m, for the columns x_j of X, d x m. One GEMM of 2 d flops a
  /// draw (deep_ntk: one a layer) and an element pass. Local; thread-safe.
  void evaluate(MatrixView<const T> X, MatrixView<T> psi) const;

  class Map;  ///< of one family
 private:
  std::unique_ptr<const Map> map_;
};

/// What features cost for each row, and what they hold. Local, pure.
struct FeatureCost {
  double flops = 0;          ///< of GEMMs, a row
  double bytes = 0;          ///< of the draws, a rank
  double bytes_per_row = 0;  ///< of workspace, for each row of one evaluate()
};
FeatureCost feature_cost(const FeatureSpec& spec, bool single);

}  // namespace mercer::features
