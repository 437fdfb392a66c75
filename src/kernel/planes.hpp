#pragma once

#include <vector>

#include "mercer/arch/architecture.hpp"
#include "mercer/base/matrix.hpp"
#include "plane_loops.hpp"

namespace mercer::kernel {

/// Size of an image in pixels.
struct Extent {
  Index h = 0, w = 0;
  Index pixels() const { return h * w; }
  bool operator==(const Extent&) const = default;
};

/// A plane: the pairs (p, p') of pixels of two images with p - p' = (dy, dx), pair (y, x) being
/// p = (y + yi, x + xi), p' = (y + yj, x + xj). `wrapped`: offsets count modulo the image's size,
/// and so do y + yj and x + xj; the plane then has a pair for every p.
struct Plane {
  Extent image;
  bool wrapped = false;
  Index h = 0, w = 0, yi = 0, xi = 0, yj = 0, xj = 0;
  Index size() const { return h * w; }
};
/// Local.
Plane plane_at(Extent image, bool wrapped, Index dy, Index dx);

/// Planes of one offset dy side by side, h rows of w pairs: loops that do not look at neighbours
/// then run over all pairs of a strip at once. Plane k begins at column first[k].
struct Strip {
  std::size_t number = 0;  ///< of its first plane among those of its stage
  std::vector<Plane> planes{};
  std::vector<Index> first{};
  Index h = 0, w = 0;

  Index size() const { return h * w; }
  void lay_out();  ///< first, h and w from the planes
};

/// The offsets of the planes that are needed somewhere, along one direction, ascending; 0 ...
/// size-1 where they are wrapped.
using Offsets = std::vector<Index>;

/// What joins the planes of one stage to those of the next: means over windows f1 x f2 (both
/// images'), and every stride-th pixel. 1, 1 and 1 where the planes only change between wrapped and
/// not.
struct Boundary {
  Index f1 = 1, f2 = 1, stride = 1;
  bool pools() const { return f1 * f2 > 1; }
};

/// Offsets before the boundary, along a direction of `size` pixels with windows of f, for those
/// after it, `after`, of images of `size_after`.
Offsets offsets_before(const Offsets& after, bool wrapped_after, Index size_after, Index f,
                       Index stride, bool wrapped, Index size);
/// All offsets between the pixels of an image along one direction.
Offsets all_offsets(Index size, bool wrapped);

/// The offsets in an order in which planes with |d| and size - |d| pairs in a row are adjacent. The
/// rows of strips are then multiples of an image's width: of 32 pixels each begins a cache line.
Offsets in_rows(Offsets offsets, Index size);
/// The planes of the offsets dy x dx, these in_rows(), in strips of about as many pairs as stay in
/// the first cache.
std::vector<Strip> strips_of(Extent image, bool wrapped, const Offsets& dy, const Offsets& dx);

/// Along one direction: where a plane's k-th pair goes behind a boundary: `at` is the number of the
/// offset in Offsets, -1 where it is not needed; `position` the pair's in that plane.
struct Target {
  Index at = -1, position = 0;
};
std::vector<Target> targets(Index offset, Index size, bool wrapped, Index f, Index stride,
                            const Offsets& after, Index size_after, bool wrapped_after);

}  // namespace mercer::kernel
