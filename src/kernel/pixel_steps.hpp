#pragma once

#include <memory>
#include <optional>

#include "plane_loops.hpp"
#include "planes.hpp"
#include "steps.hpp"

// The layers on pixels: convolutions, activations and residual branches between two pools.

namespace mercer::kernel {

/// Numbers over an image's pixels, in the precision of the planes.
class Field {
 public:
  Field(std::vector<double> values, bool single);
  template <class Real>
  const Real* data() const;
  Index bytes() const { return static_cast<Index>(8 * double_.size() + 4 * float_.size()); }

 private:
  std::vector<double> double_;
  std::vector<float> float_;
};

/// The state after a layer of the pixels of one image by themselves: as RowState, without tau.
struct PixelState {
  Extent extent;
  std::vector<double> s, mean;
  /// Behind a rectifier: the norms v before it, s^2 = square v^2.
  std::shared_ptr<const Field> norms{};
  double square = 1;
};

/// What an image contributes to one step, arrays over its pixels.
struct PixelFactors {
  /// Before a rectifier: sqrt(q). Before a convolution that needs q: v with q = square v^2, the
  /// norms of the rectifier before it where there is one. In both with margins of zeros.
  std::shared_ptr<const Field> norms{};
  double square = 1;
  std::vector<double> before{}, after{};  ///< norms before and after any other activation
  Factors dual{};                         ///< of it
  std::vector<double> skip_mean{}, branch_mean{};

  Index bytes() const;
};

/// What the strips of a program need at most, in elements.
struct StripSizes {
  Index pairs = 0, row_sums = 0, levels = 1;
  Index f1 = 1, f2 = 1;  ///< of the largest filters
  Extent outside{};      ///< pixels outside an image that filters see

  void include(const Strip& strip);
  /// Before and behind each array; of whole cache lines, so that vectors do not cross them.
  Index margin() const { return ceil_div(kOverrun + f2, kOverrun) * kOverrun; }
  /// Bytes in double precision.
  Index bytes() const;
};

/// Where the planes of one pair of images are worked on, a strip at a time: a stack, whose top is
/// the current state.
template <class Real>
class PlaneWork {
 public:
  PlaneWork(const StripSizes& sizes, bool tangent);

  Strip strip{};     ///< of all levels
  bool sums = true;  ///< whether the state has G
  PlaneState<Real> top() { return state(depth_); }
  PlaneState<Real> below() { return state(depth_ - 1); }
  void start(const Strip& of, bool with_sums) { strip = of, sums = with_sums, depth_ = 0; }
  void push();
  void pop() { --depth_; }
  Real* row_sums() { return row_sums_.data() + margin_; }
  Extent outside() const { return outside_; }
  bool tangent() const { return tangent_; }
  Work dual{};                                  ///< of the activations
  RawVector<double> of_i, of_j, c, sigma, tau;  ///< over the strip's pairs
  RawVector<Real> apart, four;                  ///< see PlaneLoops::products
  std::vector<Piece<Real>> pieces{};
  std::vector<RawVector<double>> in_double{};  ///< E, G and T

 private:
  PlaneState<Real> state(std::size_t depth);
  Extent outside_;
  Index margin_, length_;
  std::vector<RawVector<Real>> buffers_;  ///< E, G and T of a level
  RawVector<Real> row_sums_;
  std::size_t depth_ = 0;
  bool tangent_;
};

/// One layer on pixels, on an image (prepare) and on planes of pairs (apply).
class PixelStep {
 public:
  virtual ~PixelStep() = default;
  /// `single`: for planes in single precision; `outside`: the largest of the program.
  virtual PixelFactors prepare(std::vector<PixelState>& stack, bool single,
                               Extent outside) const = 0;
  /// Advances the top of the stack, whose pairs are of the images i and j.
  virtual void apply(PlaneWork<double>& work, const PixelFactors& i,
                     const PixelFactors& j) const = 0;
  virtual void apply(PlaneWork<float>& work, const PixelFactors& i,
                     const PixelFactors& j) const = 0;
  virtual Extent after(Extent image) const { return image; }
  /// Bytes that prepare() keeps for an image of this size before the step; at most, where it may
  /// share them with the step before it.
  virtual Index bytes(Extent, bool /*single*/, Extent /*outside*/) const { return 0; }
  virtual arch::Window filter() const { return {1, 1}; }
  /// Pixels outside an image that it sees.
  virtual Extent outside() const { return {}; }
};

/// How the tangent kernel of a convolution takes K: T' = weight (sum T + term sum K) + bias_term
/// sigma_b^2, with K' = weight sum K + sigma_b^2 (0 and 0: a fixed layer).
struct TangentTerms {
  double kernel = 1, bias = 1;
};
/// What a convolution finds in T: the tangent kernel, the same to which the rectifier before it has
/// added the kernel's term, or nothing that counts: T = 0 on the inputs.
enum class TangentBefore { plain, added, zero };
/// weight = sigma_w^2/(f1 f2), bias = sigma_b^2. `filter`: what of it can be inside an image.
std::unique_ptr<PixelStep> conv_step(const arch::Conv& conv, arch::Window filter, double weight,
                                     double bias, TangentTerms terms, TangentBefore before);
/// a min(x, 0) + b max(x, 0). `sums`: G is kept. `kernel_term`: see RectifierTerms.
std::unique_ptr<PixelStep> pixel_rectifier(double a, double b, bool sums, double kernel_term);
/// Any other activation.
std::unique_ptr<PixelStep> pixel_dual(const arch::Activation& rho, bool accurate);
/// `restores`: G is missing, and is needed from here on.
std::unique_ptr<PixelStep> pixel_branch(bool restores);
std::unique_ptr<PixelStep> pixel_join(bool means);

}  // namespace mercer::kernel
