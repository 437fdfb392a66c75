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

/// Thrown by Kernel::prepare() for a row whose norms or variances leave the range of double. `row`
/// counts from 0 among the rows prepared: a caller that knows their numbers in the data set catches
/// this and throws an InputError with the right number (gram does).
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

/// Rows of a data set, prepared for one kernel: unit vectors, norms, and whatever else depends on
/// one row only (for an NTK: the variances of every layer). Local.
class Rows {
 public:
  virtual ~Rows() = default;
  virtual Index size() const = 0;
  virtual Index bytes() const = 0;
  /// Estimated error of an entry k(x, z) of these rows, relative to sqrt(k(x, x) k(z, z)), beyond
  /// rounding: that of the truncated series of tanh, softplus and sigmoid, or of pairs of pixels in
  /// single precision; otherwise 0.
  virtual double error_estimate() const { return 0; }
};

/// A kernel function on tiles: pure, local, no MPI, thread-safe. An entry depends on its two inputs
/// only, whatever the tile, up to the rounding of their dot product. The ridge, the factor 1/n and
/// g are applied elsewhere.
class Kernel {
 public:
  virtual ~Kernel() = default;
  /// Canonical text, stored in every result: "ntk(dense relu dense; weight_std=1.41421356;
  /// bias_std=0)".
  virtual std::string text() const = 0;
  /// X is d x m and finite: column j is data row j. The result takes over X's memory; in all it
  /// holds bytes_per_row(d) bytes a row. O(d m) flops, and O(m) for every layer (for tanh, softplus
  /// and sigmoid also a series for every distinct variance); for images as much as an entry each,
  /// for networks' empirical kernels their passes. Throws RowError.
  virtual std::unique_ptr<Rows> prepare(Matrix<double>&& X) const = 0;
  /// out(i, j) = k(x_(i0+i), z_(j0+j)), for rows prepared by this kernel: one GEMM (2 d flops an
  /// entry) and one vectorised pass; for images steps_per_entry() of the recursion. Allocates a few
  /// buffers of the length of a tile column, and scratch_bytes(). An entry outside the range of
  /// double is an infinity or a NaN: the caller checks (gram/entries.hpp).
  virtual void tile(const Rows& x, Index i0, const Rows& z, Index j0,
                    MatrixView<double> out) const = 0;
  /// out[i] = k(x_(i0+i), x_(i0+i)), i < count, to rounding, without the GEMM of a tile.
  virtual void diagonal(const Rows& x, Index i0, Index count, double* out) const = 0;
  /// For messages: why k(x_i, x_i) leaves the range of double, with the layer where there are
  /// layers. Empty where it does not, or where the kernel cannot tell. O(layers).
  virtual std::string range_error(const Rows& /*x*/, Index /*i*/) const { return {}; }
  /// For messages: what Rows::error_estimate() is the error of.
  virtual std::string error_source() const {
    return "that of its activation's quadrature at the variances of these rows";
  }
  /// The oracle for checks and tests: k(x, z) by the textbook formulas, one pair of rows at a time,
  /// in long double and in code of its own (reference.cpp). Microseconds to milliseconds an entry.
  /// Error relative to sqrt(k(x, x) k(z, z)): about 1e-10 for near-parallel rows, 1e-12 with tanh,
  /// softplus or sigmoid, else below the rounding of double. nullopt where a kernel has no oracle.
  virtual std::optional<long double> reference(std::span<const double> /*x*/,
                                               std::span<const double> /*z*/) const {
    return std::nullopt;
  }
  /// Steps of the recursion that reference() takes, each about 2 us and 400 bytes, where they take
  /// longer than a few milliseconds: for images. 0: there is no reference, or a fast one.
  virtual double reference_steps() const { return 0; }
  /// The shape of the images that rows are; not given where rows are any numbers.
  virtual arch::Image image() const { return {}; }
  /// Bytes that a prepared row of d inputs takes, for the memory plan. With tanh, softplus or
  /// sigmoid an estimate: the length of their series depends on the data.
  virtual Index bytes_per_row(Index d) const = 0;
  /// Length of the dot products of an entry, for rows of d inputs: an entry counts 2
  /// entry_length(d) flops. (Of images 20 for each step of the recursion.)
  virtual Index entry_length(Index d) const { return d; }
  /// Steps of the recursion that an entry takes, about 3 ns each, besides its dot product: hundreds
  /// to millions for images, whose pairs of pixels each take some. 1 for other kernels.
  virtual double steps_per_entry() const { return 1; }
  /// Bytes that prepare() and tile() allocate besides while they run, where it is more than a few
  /// buffers of the length of a tile column. For the memory plan.
  virtual Index scratch_bytes() const { return 0; }
};

enum class Kind { ntk, nngp, gaussian, laplace, linear };

using arch::Parametrization;

struct Options {
  Kind kind = Kind::ntk;
  arch::Architecture architecture{};  ///< ntk, nngp
  double bandwidth = 1;               ///< h: gaussian exp(-|x-z|^2/(2 h^2)), laplace exp(-|x-z|/h)
  Parametrization parametrization =
      Parametrization::ntk;   ///< of the networks that `ntk` is the limit of
  bool single_state = false;  ///< of images: pairs of pixels in single precision
};

/// ntk, nngp: the layer recursion in the NTK parametrisation (Jacot, Gabriel and
/// Hongler, "Neural tangent kernel", 2018; sigma_w, sigma_b as in arch), for every architecture
/// that parses. For each pair of rows the recursion carries the cosine c = K/sqrt(q q'), sigma =
/// 1 - c^2 and T/sqrt(q q'). sigma is never computed as a difference of nearly equal numbers, so
/// that entries of equal, parallel, antiparallel and nearly parallel rows have an error of 1e-13
/// sqrt(k(x, x) k(z, z)) whatever their norms (subnormal norms: the digits that those have). tanh,
/// softplus and sigmoid by Hermite expansion: error 1e-12 for variances up to 100, for larger ones
/// see Rows::error_estimate(). Cost of an entry besides the 2 d flops, with AVX-512: about 2 ns for
/// a rectifier, 4 ns for erf, gelu or sin, terms/10 ns for a series.
///
/// Architectures of images (conv; Architecture::on() has told their shape): the same recursion on
/// pairs of pixels (Arora et al. 2019, arXiv 1904.11955; Garriga-Alonso et al. 2019), in planes of
/// pairs of one offset, of which only pools join several; planes that the readout does not need are
/// left out. It carries E|h - h'|^2 and E|h + h'|^2, which convolutions add up, so that equal and
/// opposite patches keep the angle exact: error 1e-12 sqrt(k(x, x) k(z, z)), behind a pool that an
/// activation follows 5e-8 for nearly equal images (that of h - h' is a difference there). Images
/// of networks without biases and with rectifiers alone are scaled to one beforehand: their norms
/// do not count. Elsewhere a ratio r of two images' norms |h| adds about 3e-16 r. With single_state
/// these planes are of single precision: half of the time, an error of about 1e-6, behind such a
/// pool up to 1e-3, which Rows::error_estimate() measures on five images, in the time of thirty
/// entries in double precision, while the kernel exists. Cost of an entry:
/// Kernel::steps_per_entry() of 3 ns; (2 H - 1)(2 W - 1) planes of at most H W pairs with gap, one
/// with flatten and no pool. prepare() takes as long as an entry for each image. A RowError: an
/// image whose kernel, or unless it is scaled the square of a unit, leaves the range of double.
///
/// gaussian, laplace: |x - z|^2 from the dot product. It is recomputed from the differences x - z
/// (6 d flops a pair, outside the GEMM) where it is below 1e-3 (|x|^2 + |z|^2), as for rows whose
/// distances are small beside their norms, and where squares would overflow: k(x, x) = 1 whatever
/// the scale.
///
/// ntk of the standard parametrisation: the limit of (1/m) J J^T ([G] eq. 4, arXiv 2307.14531), m
/// the width of the last hidden layer: the weight term of a dense layer is fan_in/(m sigma_w^2)
/// times that of the NTK parametrisation, 0 for the input layer, and the bias terms vanish:
/// T <- sigma_w^2 (fan_in/(m sigma_w^2) K + T). Hidden widths may be left out where all are equal.
///
/// Local. Throws InputError: a bandwidth that is not positive and finite, an architecture that has
/// no Gaussian limit; standard: no hidden layer, hidden widths given for some layers only.
std::shared_ptr<const Kernel> make(const Options& options);

/// The kernel whose text() it is: the inverse of Kernel::text() for the kernels of make(). Throws
/// InputError for any other text (kernels of a program's own, empirical ones, files).
std::shared_ptr<const Kernel> parse(std::string_view text);

/// The NNGP kernel of the networks whose NTK `kernel` is; for an NNGP kernel the same again, null
/// for any other. Local.
std::shared_ptr<const Kernel> nngp_of(const Kernel& kernel);

/// A kernel of your own, from a function of two rows, k(x, z), or of their distance, k(|x - z|).
/// The function must be symmetric, positive semidefinite and safe to call from several threads.
/// `text` names the kernel in results: another kernel, or other parameters, need another text.
/// Every entry is one call of the function (radial: and 3 d flops); for speed derive from Kernel
/// instead. Throws InputError where the text or the function is empty.
std::shared_ptr<const Kernel> pairwise(
    std::string text,
    std::function<double(std::span<const double> x, std::span<const double> z)> k);
std::shared_ptr<const Kernel> radial(std::string text, std::function<double(double distance)> k);

}  // namespace mercer::kernel
