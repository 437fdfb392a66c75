#include "patches.hpp"

#include <algorithm>
#include <cstring>

namespace mercer::net {
namespace {

/// The place of a patch: its first row and column, which may lie outside the image.
struct Corner {
  Index row, column;
};
Corner corner(const Convolution& c, Index y, Index x) {
  const bool centred = c.padding != arch::Padding::valid;
  return {y * c.stride - (centred ? c.filter.f1 / 2 : 0),
          x * c.stride - (centred ? c.filter.f2 / 2 : 0)};
}

/// Calls piece(at, pixel, n) for the pieces of a patch, in order: its n pixels from `at` on are
/// those of the image from `pixel` on; pixel -1: they lie outside, and are zero.
template <class F>
void each_piece(const Convolution& c, const Corner& patch, F&& piece) {
  const bool wraps = c.padding == arch::Padding::circular;
  const auto [f1, f2] = c.filter;
  const Index H = c.in.height, W = c.in.width, x0 = patch.column;
  const Index before = std::max<Index>(0, -x0), end = std::min(f2, W - x0);
  for (Index dy = 0, at = 0; dy < f1; ++dy, at += f2) {
    const Index row = wraps ? (patch.row + dy + H) % H : patch.row + dy;
    if (row < 0 || row >= H) {
      piece(at, -1, f2);
      continue;
    }
    if (before > 0) piece(at, wraps ? row * W + W + x0 : -1, before);
    piece(at + before, row * W + x0 + before, end - before);
    if (end < f2) piece(at + end, wraps ? row * W : -1, f2 - end);
  }
}

constexpr Index kBlock = 8;  ///< numbers that are copied at a time

/// Whether a patch lies within the image, and kBlock numbers more.
bool inside(const Convolution& c, const Corner& patch) {
  const Index last_row = patch.row + c.filter.f1 - 1, end = patch.column + c.filter.f2;
  return patch.row >= 0 && last_row < c.in.height && patch.column >= 0 && end <= c.in.width &&
         (last_row * c.in.width + end) * c.in.channels + kBlock <= c.in.numbers();
}

/// Copies a patch inside an image row by row, in blocks: those at the end of a row reach into the
/// next one, which is written afterwards, and up to kBlock - 1 numbers beyond the patch.
template <class T>
void copy_inside(const Convolution& c, const Corner& patch, const T* image, T* to) {
  const Index C = c.in.channels, run = c.filter.f2 * C;
  const T* from = image + (patch.row * c.in.width + patch.column) * C;
  for (Index dy = 0; dy < c.filter.f1; ++dy, from += c.in.width * C, to += run)
    for (Index k = 0; k < run; k += kBlock) std::memcpy(to + k, from + k, kBlock * sizeof(T));
}

/// Calls f(patch, image, place in `patches`, whether it is the last one) for all patches of the
/// lines first ... first + count - 1.
template <class T, class U, class F>
void each_patch(const Convolution& c, MatrixView<T> A, Index first, Index count, U* patches,
                F&& f) {
  const Index size = c.filter.f1 * c.filter.f2 * c.in.channels, end = first + count;
  for (Index r = first; r < end; ++r)
    for (Index x = 0; x < c.out.width; ++x, patches += size)
      f(corner(c, r % c.out.height, x), A.column(r / c.out.height), patches,
        r + 1 == end && x + 1 == c.out.width);
}

}  // namespace

template <class T>
void gather(const Convolution& c, MatrixView<const T> A, Index first, Index count, T* patches) {
  const Index C = c.in.channels;
  each_patch(c, A, first, count, patches,
             [&](const Corner& patch, const T* image, T* to, bool last) {
               if (!last && inside(c, patch)) return copy_inside(c, patch, image, to);
               each_piece(c, patch, [&](Index at, Index pixel, Index n) {
                 if (pixel < 0)
                   std::fill_n(to + at * C, n * C, T(0));
                 else
                   std::copy_n(image + pixel * C, n * C, to + at * C);
               });
             });
}

template <class T>
void scatter_add(const Convolution& c, const T* patches, Index first, Index count,
                 MatrixView<T> A) {
  const Index C = c.in.channels;
  each_patch(c, A, first, count, patches, [&](const Corner& patch, T* image, const T* from, bool) {
    each_piece(c, patch, [&](Index at, Index pixel, Index n) {
      if (pixel < 0) return;
      T* to = image + pixel * C;
      const T* values = from + at * C;
      for (Index k = 0; k < n * C; ++k) to[k] += values[k];
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
