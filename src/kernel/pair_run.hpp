#pragma once

#include "pixel_program.hpp"

namespace mercer::kernel {

/// What an image contributes to every step, and behind every boundary that pools: half the mean of
/// E over the pairs of each window with itself, by which |mean h - mean h'|^2 is less than the mean
/// of |h - h'|^2 over the pairs of two windows.
struct ImageFields {
  std::vector<PixelFactors> steps;
  std::vector<std::vector<double>> spread;  ///< one per stage, of its boundary
  double readout_spread = 0;                ///< of gap
};

/// The planes of a stage, one behind the other, of E, G and T.
template <class Real>
struct Planes {
  std::vector<Index> first;
  RawVector<Real> values;
  Index pairs = 0;

  void lay_out(const Stage& stage);  ///< and sets all to 0
};

/// E, G and T behind flatten or gap.
struct Readout {
  double E = 0, G = 0, T = 0;
};

/// An image by itself behind flatten or gap.
struct ImageState {
  double s = 0, mean = 0, tau = 0;  ///< as RowState
  double error = 0;                 ///< of the series of its activations
  double largest = 0;               ///< norm of a pixel in any layer
};

/// The recursion on pixels for one pair of images, with planes of Real.
template <class Real>
class PairRun {
 public:
  PairRun(const PixelProgram& program, const arch::Image& image, bool tangent);

  /// The fields of the image x (channel after channel, h x w numbers each), stage by stage: norms
  /// of single pixels by the steps, and behind a boundary from the planes of the image with itself.
  /// Costs as much as run().
  ImageState prepare(const double* x, ImageFields& fields);
  /// The pair (x, z), whose fields are i and j; G of the readout only where the program says so.
  Readout run(const double* x, const ImageFields& i, const double* z, const ImageFields& j);

 private:
  void stage(std::size_t k, const double* x, const ImageFields& i, const double* z,
             const ImageFields& j);
  void input(const double* x, const double* z);
  void take();
  void pool_rows(std::size_t k);
  void pool_columns(std::size_t k);
  void subtract_spread(std::size_t k, const std::vector<double>& of_i,
                       const std::vector<double>& of_j);
  void add_to_readout();
  Readout readout(double spread_i, double spread_j) const;
  void cross(std::size_t k, PixelState& state, std::vector<double>& spread);
  const Real* own(std::size_t k) const;

  const PixelProgram& program_;
  arch::Image image_;
  PlaneWork<Real> work_;
  Planes<Real> now_, next_;
  RawVector<Real> pooled_rows_;  ///< see Stage::pooled_rows, for E, G and T
  Readout sum_;
};

}  // namespace mercer::kernel
