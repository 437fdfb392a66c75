#pragma once

#include <memory>
#include <optional>

#include "planes.hpp"
#include "steps.hpp"

// The layers on pixels: convolutions, activations and residual branches between two pools.

namespace mercer::kernel {

/// The state after a layer of the pixels of one image by themselves: as RowState, without tau.
struct PixelState {
  Extent extent;
  std::vector<double> s, mean;
};

/// What an image contributes to one step, arrays over its pixels: norms before an activation, their
/// inverses, and those after it; means of the parts of a sum.
struct PixelFactors {
  std::vector<double> before{}, inverse{}, after{};
  Factors dual{};  ///< of an activation but the rectifier
  std::vector<double> skip_mean{}, branch_mean{};

  Index bytes() const;
};

/// What the planes of a program need at most.
struct PlaneSizes {
  Extent margin{};  ///< pairs beyond each end that a filter reaches
  Index length = 0, scratch = 0, levels = 1;

  Index pitch(Index w) const { return w + 2 * margin.w; }
  /// For planes of h x w.
  void include(Index h, Index w);
  Index bytes() const;
};

/// Where the planes of one pair of images are worked on: a stack, whose top is the current state.
class PlaneWork {
 public:
  PlaneWork(const PlaneSizes& sizes, bool tangent);

  Plane plane{};  ///< of all levels
  Index pitch() const { return sizes_.pitch(plane.w); }
  PlaneState top() const { return state(order_[depth_], plane.w); }
  PlaneState below() const { return state(order_[depth_ - 1], plane.w); }
  /// Another buffer for a plane of width w, to be filled from top() and then exchanged with it.
  PlaneState spare(Index w) const { return state(order_.back(), w); }
  void take_spare() { std::swap(order_[depth_], order_.back()); }
  void start(const Plane& of) { plane = of, depth_ = 0; }
  void push();
  void pop() { --depth_; }
  double* filter_scratch() { return filter_.data(); }
  bool tangent() const { return tangent_; }
  Work dual{};                                  ///< of the activations
  RawVector<double> of_i, of_j, c, sigma, tau;  ///< over the plane's pairs

 private:
  PlaneState state(std::size_t buffer, Index w) const;
  PlaneSizes sizes_;
  mutable std::vector<RawVector<double>> buffers_;
  std::vector<std::size_t> order_;  ///< the buffer of each level, and the spare one
  RawVector<double> filter_;
  std::size_t depth_ = 0;
  bool tangent_;
};

/// One layer on pixels, on an image (prepare) and on planes of pairs (apply).
class PixelStep {
 public:
  virtual ~PixelStep() = default;
  virtual PixelFactors prepare(std::vector<PixelState>& stack) const = 0;
  /// Advances the top of the stack, whose pairs are of the images i and j.
  virtual void apply(PlaneWork& work, const PixelFactors& i, const PixelFactors& j) const = 0;
  virtual Extent after(Extent image) const { return image; }
  virtual Index doubles_per_pixel() const { return 0; }
  /// Pairs beyond the plane that it reads.
  virtual Extent margin() const { return {}; }
};

/// How the tangent kernel of a convolution takes K: T' = weight (sum T + term sum K) + bias_term
/// sigma_b^2, with K' = weight sum K + sigma_b^2 (0 and 0: a fixed layer).
struct TangentTerms {
  double kernel = 1, bias = 1;
};
std::unique_ptr<PixelStep> conv_step(const arch::Conv& conv, arch::Window filter, double weight_std,
                                     double bias_std, TangentTerms terms);
std::unique_ptr<PixelStep> pixel_activation(const arch::Activation& rho, bool accurate);
std::unique_ptr<PixelStep> pixel_branch();
std::unique_ptr<PixelStep> pixel_join(bool means);

}  // namespace mercer::kernel
