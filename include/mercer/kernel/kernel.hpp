#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mercer/arch/architecture.hpp"
#include "mercer/base/error.hpp"
#include "mercer/base/matrix.hpp"

namespace mercer::kernel {

/// Thrown by Kernel::prepare() for a row whose own share in the entries leaves the range of double:
/// `row` counts from 0 among the rows prepared. Whoever knows what rows they are says so again.
class RowError : public InputError {
 public:
  RowError(Index row, const std::string& reason)
      : InputError("row {}: {}", row + 1, reason), row_(row), reason_(reason) {}
  Index row() const { return row_; }
  const std::string& reason() const { return reason_; }

 private:
  Index row_;
  std::string reason_;
};

/// Rows of a data set, prepared for one kernel: unit vectors, norms, and whatever a row alone
/// contributes to its entries (for an NTK: the variances of every layer).
class Rows {
 public:
  virtual ~Rows() = default;
  virtual Index size() const = 0;
  virtual Index bytes() const = 0;
  /// Estimated error of an entry k(x, z) of these rows, relative to sqrt(k(x, x) k(z, z)), beyond
  /// rounding: that of the quadrature of tanh, softplus and sigmoid; 0 for closed forms.
  virtual double error_estimate() const { return 0; }
};

/// A kernel function on tiles: pure, local, no MPI, thread-safe. An entry depends on its two inputs
/// alone, up to the rounding of their dot product, whatever the tile. No ridge, no 1/n, no g in
/// here.
class Kernel {
 public:
  virtual ~Kernel() = default;
  /// Canonical text, stored in every result: "ntk(dense relu dense; weight_std=1.41421356;
  /// bias_std=0)".
  virtual std::string text() const = 0;
  /// X is d x m: column j is data row j. O(d m) plus O(m) times the layers; keeps X's memory, and
  /// bytes_per_row a row in all. X is finite. Throws RowError.
  virtual std::unique_ptr<Rows> prepare(Matrix<double>&& X) const = 0;
  /// out(i, j) = k(x_(i0+i), z_(j0+j)), for rows prepared by this kernel: one GEMM (2 d flops an
  /// entry) and one vectorised pass. Nothing is allocated beyond a few buffers of a tile column. An
  /// entry beyond the range of double is an infinity or a NaN: callers look (gram/entries.hpp).
  virtual void tile(const Rows& x, Index i0, const Rows& z, Index j0,
                    MatrixView<double> out) const = 0;
  /// k(x_i, x_i), exact.
  virtual void diagonal(const Rows& x, Index i0, Index count, double* out) const = 0;
  /// Why k(x_i, x_i) leaves the range of double, with the layer where there are layers; empty where
  /// it does not, or where nothing is known. For errors: O(layers).
  virtual std::string range_error(const Rows& /*x*/, Index /*i*/) const { return {}; }
  /// The oracle: k(x, z) by the textbook formulas, one pair of rows at a time, in long double, with
  /// nothing of what prepare() and tile() do. For checks and tests; microseconds to milliseconds an
  /// entry. Near-parallel rows keep about 1e-10 of sqrt(k(x, x) k(z, z)), others more than double
  /// has. Empty where a kernel has none.
  virtual std::optional<long double> reference(std::span<const double> /*x*/,
                                               std::span<const double> /*z*/) const {
    return std::nullopt;
  }
  /// For the memory plan. For tanh, softplus and sigmoid an estimate: their features follow the
  /// data.
  virtual Index bytes_per_row(Index d) const = 0;
  /// What prepare() and tile() take beside that while they run, where it is more than a few buffers
  /// of a tile column. For the memory plan.
  virtual Index scratch_bytes() const { return 0; }
};

enum class Kind { ntk, nngp, gaussian, laplace, linear };

using arch::Parametrization;

struct Options {
  Kind kind = Kind::ntk;
  arch::Architecture architecture{};  ///< ntk, nngp
  double bandwidth = 1;               ///< h: gaussian exp(-|x-z|^2/(2 h^2)), laplace exp(-|x-z|/h)
  Parametrization parametrization =
      Parametrization::ntk;  ///< of the networks whose tangent kernel is meant
};

/// ntk, nngp: the layer recursion in the NTK parametrisation (Jacot, Gabriel and
/// Hongler, "Neural tangent kernel", 2018; sigma_w, sigma_b as in arch), for every architecture
/// that parses. Per pair the cosine c = K/sqrt(q q'), sigma = 1 - c^2 and T/sqrt(q q') are carried,
/// sigma never as a difference of nearly equal numbers, so that equal, parallel, antiparallel and
/// nearly parallel rows keep 1e-13 of sqrt(k(x, x) k(z, z)), whatever their norms (of subnormal
/// norms, the digits that those have). tanh, softplus
/// and sigmoid by Hermite expansion: 1e-12 for variances up to 100, beyond see
/// Rows::error_estimate. Cost of an entry beside the 2 d flops: about 2 ns a rectifier, 4 ns an
/// erf, gelu or sin with AVX-512, terms/10 ns a series. gaussian, laplace: |x - z|^2 from the dot
/// product, recomputed from differences where it is below 1e-3 (|x|^2 + |z|^2), as for rows far
/// from the origin beside their distances (then 2 d operations a pair that no GEMM does), and where
/// squares would overflow: k(x, x) = 1 whatever the scale.
///
/// ntk of the standard parametrisation: the limit of (1/m) J J^T ([G] eq. 4, arXiv 2307.14531), m
/// the width of the last hidden layer: the weight term of a dense layer is fan_in/(m sigma_w^2)
/// times that of the NTK parametrisation, 0 for the input layer, and the bias terms vanish:
/// T <- sigma_w^2 (fan_in/(m sigma_w^2) K + T). Hidden widths may be left out where all are equal.
///
/// Throws InputError: bandwidth not positive, an architecture that has no Gaussian limit; standard:
/// no hidden layer, hidden widths given for some layers only.
std::shared_ptr<const Kernel> make(const Options& options);

/// The kernel whose text() it is: the inverse of Kernel::text() for the kernels of make(). Throws
/// InputError for any other text (kernels of a program's own, empirical ones, files).
std::shared_ptr<const Kernel> parse(std::string_view text);

/// A kernel of your own, from a function of two rows, k(x, z), or of their distance, k(|x - z|):
/// symmetric, positive semidefinite, and safe to call from several threads. `text` names it in
/// results and must tell it, parameters included, from any other. Entries are evaluated one by one:
/// 2 d flops and a call each; a kernel that is to be fast derives from Kernel.
std::shared_ptr<const Kernel> pairwise(
    std::string text,
    std::function<double(std::span<const double> x, std::span<const double> z)> k);
std::shared_ptr<const Kernel> radial(std::string text, std::function<double(double distance)> k);

}  // namespace mercer::kernel
