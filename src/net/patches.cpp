#include "patches.hpp"

#include <algorithm>

namespace mercer::net {
namespace {

/// Calls piece(at, pixel, n) for the pieces of the patches of output row y, in the order of the
/// patches: n pixels of a patch from its pixel `at` on (counted over the row's W_out patches) are
/// those of the image from `pixel` on; pixel -1: they lie outside, and are zero.
template <class F>
void each_piece(const Convolution& c, Index y, F&& piece) {
  const bool centred = c.padding != arch::Padding::valid;
  const bool wraps = c.padding == arch::Padding::circular;
  const auto [f1, f2] = c.filter;
  const Index H = c.in.height, W = c.in.width;
  const Index top = y * c.stride - (centred ? f1 / 2 : 0), left = centred ? f2 / 2 : 0;
  Index at = 0;
  for (Index x = 0; x < c.out.width; ++x)
    for (Index dy = 0; dy < f1; ++dy, at += f2) {
      const Index row = wraps ? (top + dy + H) % H : top + dy;
      if (row < 0 || row >= H) {
        piece(at, -1, f2);
        continue;
      }
      const Index x0 = x * c.stride - left;
      const Index before = std::max<Index>(0, -x0), end = std::min(f2, W - x0);
      if (before > 0) piece(at, wraps ? row * W + W + x0 : -1, before);
      piece(at + before, row * W + x0 + before, end - before);
      if (end < f2) piece(at + end, wraps ? row * W : -1, f2 - end);
    }
}

/// Calls line(y, A's column, patches of the line) for the lines first ... first + count - 1.
template <class T, class U, class F>
void each_line(const Convolution& c, MatrixView<T> A, Index first, Index count, U* patches,
               F&& line) {
  const Index size = c.out.width * c.filter.f1 * c.filter.f2 * c.in.channels;
  for (Index r = first; r < first + count; ++r, patches += size)
    line(r % c.out.height, A.column(r / c.out.height), patches);
}

}  // namespace

template <class T>
void gather(const Convolution& c, MatrixView<const T> A, Index first, Index count, T* patches) {
  const Index C = c.in.channels;
  each_line(c, A, first, count, patches, [&](Index y, const T* image, T* to) {
    each_piece(c, y, [&](Index at, Index pixel, Index n) {
      T* out = to + at * C;
      if (pixel < 0)
        for (Index k = 0; k < n * C; ++k) out[k] = 0;
      else
        for (Index k = 0; k < n * C; ++k) out[k] = image[pixel * C + k];
    });
  });
}

template <class T>
void scatter_add(const Convolution& c, const T* patches, Index first, Index count,
                 MatrixView<T> A) {
  const Index C = c.in.channels;
  each_line(c, A, first, count, patches, [&](Index y, T* image, const T* from) {
    each_piece(c, y, [&](Index at, Index pixel, Index n) {
      const T* in = from + at * C;
      for (Index k = 0; pixel >= 0 && k < n * C; ++k) image[pixel * C + k] += in[k];
    });
  });
}

#define MERCER_INSTANTIATE(T)                                                         \
  template void gather<T>(const Convolution&, MatrixView<const T>, Index, Index, T*); \
  template void scatter_add<T>(const Convolution&, const T*, Index, Index, MatrixView<T>);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::net
