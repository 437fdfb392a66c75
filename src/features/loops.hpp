#pragma once

// The element passes of features, compiled once per instruction set. Plain data only, as in
// net/loops.hpp.

#include <cstdint>

namespace mercer::features {

template <class T>
struct Loops {
  const char* name;
  /// Columns of z, `rows` entries: z_i <- scale_i cos z_i and sines_i = scale_i sin z_i. Columns of
  /// both are `ld` apart.
  void (*waves)(std::int64_t rows, std::int64_t cols, std::int64_t ld, const T* scale, T* z,
                T* sines);
  /// z_i <- scale_i (below min(z_i, 0) + above max(z_i, 0)).
  void (*rectify)(std::int64_t rows, std::int64_t cols, std::int64_t ld, const T* scale, T below,
                  T above, T* z);
  /// z_i <- scale_i (z_i > 0 ? above : below) y_i.
  void (*slope_times)(std::int64_t rows, std::int64_t cols, std::int64_t ld, const T* scale,
                      T below, T above, T* z, std::int64_t ld_y, const T* y);
};

/// The version of instructions() (base/instructions.hpp); chosen at the first call. T = double,
/// float.
template <class T>
const Loops<T>& loops();

}  // namespace mercer::features
