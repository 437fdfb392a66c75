#pragma once

#include "pixel_steps.hpp"

namespace mercer::kernel {

/// The steps between two boundaries, on planes that stay apart.
struct Stage {
  Extent begin, end;                ///< of the images, at its start and after its steps
  bool wrapped = false;             ///< some convolution is circular: all are
  std::size_t first = 0, last = 0;  ///< of the steps, last excluded
  Index stride = 1;                 ///< of all its steps
  Offsets dy{}, dx{};               ///< at its start
  bool sums = true;                 ///< whether the state has G at its start
  std::vector<Strip> strips{};      ///< at its start
  Boundary boundary{};              ///< to the next stage
  /// Behind the boundary: of the rows of each dy, and of the columns of each dx.
  std::vector<std::vector<Target>> rows{}, columns{};
  /// Sums over the rows of windows alone, for each dx one behind the other: of the planes of all
  /// offsets behind the boundary `pooled_rows` rows, the first of each in pooled_first.
  std::vector<Index> pooled_first{};
  Index pooled_rows = 0, pooled = 0;
};

/// The layers of an architecture of images up to flatten or gap.
struct PixelProgram {
  std::vector<std::unique_ptr<PixelStep>> steps;
  std::vector<Stage> stages;
  bool gap = false;           ///< the mean over all pairs of pixels; else over p = p'
  StripSizes sizes{};         ///< of PlaneWork
  bool fills_tangent = true;  ///< whether the first step reads T
  bool sums = true;           ///< whether the readout has G
  Index state = 0;            ///< pairs that a boundary holds, at most
  Index pooled = 0;           ///< Stage::pooled, at most
  bool mean = false;          ///< whether the units have one at the end
  std::size_t layers = 0;     ///< of the text, up to and with flatten or gap

  /// Pairs of pixels that all steps together go through, for one pair of images.
  double entries() const;
};

/// `weight_terms`: standard_weight_terms(), whose first are taken away; else empty.
PixelProgram compile_pixels(const arch::Architecture& architecture,
                            std::span<const double>& weight_terms);

}  // namespace mercer::kernel
