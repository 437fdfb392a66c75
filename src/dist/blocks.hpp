#pragma once

#include <algorithm>

#include "mercer/base/index.hpp"

namespace mercer::dist {

/// What one redistribution step may keep in its send and receive buffers together, in bytes a rank.
/// Far below what a rank can spare: buffers that fit the cache are also the fastest.
inline constexpr Index kBufferBytes = Index{16} << 20;

/// to(i, j) = from(i, j), both column-major, rows x cols. Local.
template <class T>
void copy_block(const T* from, Index ld_from, T* to, Index ld_to, Index rows, Index cols) {
  for (Index j = 0; j < cols; ++j) std::copy_n(from + j * ld_from, rows, to + j * ld_to);
}

/// to(j, i) = from(i, j) for the rows x cols `from`, both column-major. Local. In square tiles, one
/// cache line wide: with a leading dimension that is a power of two, more than a few columns at a
/// time would compete for the same lines of the cache.
template <class T>
void transpose_block(const T* from, Index ld_from, T* to, Index ld_to, Index rows, Index cols) {
  constexpr Index tile = 64 / sizeof(T);
  for (Index i = 0; i < rows; i += tile)
    for (Index j = 0; j < cols; j += tile) {
      const T* a = from + i + j * ld_from;
      T* b = to + j + i * ld_to;
      if (i + tile <= rows && j + tile <= cols) {
        for (Index r = 0; r < tile; ++r)
          for (Index c = 0; c < tile; ++c) b[c + r * ld_to] = a[r + c * ld_from];
      } else {
        for (Index r = 0; r < std::min(tile, rows - i); ++r)
          for (Index c = 0; c < std::min(tile, cols - j); ++c)
            b[c + r * ld_to] = a[r + c * ld_from];
      }
    }
}

}  // namespace mercer::dist
