#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "pixel_steps.hpp"

// What the steps on pixels share: numbers over an image's pixels, and over the pairs of a strip.

namespace mercer::kernel {

inline std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

/// The values of an image's field, rows of `pitch`, at the pixels p (of_i) or p' of a strip.
template <class From, class To>
void gather(const From* field, Index pitch, const Strip& strip, bool of_i, To* out) {
  for (std::size_t k = 0; k < strip.planes.size(); ++k) {
    const Plane& plane = strip.planes[k];
    const Index y0 = of_i ? plane.yi : plane.yj, x0 = of_i ? plane.xi : plane.xj;
    const Index first = std::min(plane.w, plane.image.w - x0);
    for (Index y = 0; y < plane.h; ++y) {
      const From* row = field + (y + y0) % plane.image.h * pitch;
      To* to = std::copy_n(row + x0, first, out + y * strip.w + strip.first[k]);
      std::copy_n(row, plane.w - first, to);
    }
  }
}
inline void gather(const std::vector<double>& field, const Strip& strip, bool of_i,
                   RawVector<double>& out) {
  out.resize(at(strip.size() + kOverrun));
  gather(field.data(), strip.planes[0].image.w, strip, of_i, out.data());
}

/// Numbers over an image's pixels with `outside` zeros around it, and kOverrun behind.
inline std::shared_ptr<const Field> padded(const std::vector<double>& values, Extent image,
                                           Extent outside, bool single) {
  const Index pitch = image.w + 2 * outside.w;
  std::vector<double> all(at((image.h + 2 * outside.h) * pitch + kOverrun), 0.0);
  for (Index y = 0; y < image.h; ++y)
    std::copy_n(values.data() + y * image.w, image.w,
                all.data() + (y + outside.h) * pitch + outside.w);
  return std::make_shared<const Field>(std::move(all), single);
}
inline Index bytes_of_field(Extent image, bool single, Extent outside) {
  return (single ? 4 : 8) * ((image.h + 2 * outside.h) * (image.w + 2 * outside.w) + kOverrun);
}
/// A field of padded(): a value of pixel (0, 0), and the pitch of its rows.
template <class Real>
struct FieldView {
  const Real* first;
  Index pitch;
  FieldView(const Field& field, Extent image, Extent outside)
      : first(field.data<Real>() + outside.h * (image.w + 2 * outside.w) + outside.w),
        pitch(image.w + 2 * outside.w) {}
  const Real* at(Index y, Index x) const { return first + y * pitch + x; }
};

/// A step whose apply() is written once, as Derived::on(work, i, j).
template <class Derived>
class StepOf : public PixelStep {
 public:
  void apply(PlaneWork<double>& work, const PixelFactors& i, const PixelFactors& j) const final {
    static_cast<const Derived&>(*this).on(work, i, j);
  }
  void apply(PlaneWork<float>& work, const PixelFactors& i, const PixelFactors& j) const final {
    static_cast<const Derived&>(*this).on(work, i, j);
  }
};

}  // namespace mercer::kernel
