#pragma once

// The element passes of a network, compiled once per instruction set. This header holds plain data
// only: a template or inline function compiled with AVX flags must not be shared with other files.

#include <cstdint>

#include "mercer/arch/function.hpp"

namespace mercer::net {

/// rho of an activation, as arch::Activation has it.
template <class T>
struct Rho {
  arch::Function function;
  T a, b, c;
};

/// rho'(z) of the entries: `stored`; or, for an increasing rectifier, `above` where the value
/// rho(z) is positive, else `below`. Where both pointers are null the slope is 1 (slope_and_sums
/// only).
template <class T>
struct Slope {
  const T* stored;
  const T* value;
  T below, above;
};

template <class T>
struct Loops {
  const char* name;
  /// z += scale bias, column by column.
  void (*add_bias)(std::int64_t rows, std::int64_t cols, T* z, const T* bias, T scale);
  /// out = rho(z + scale bias) and slope = rho'(..), in one pass; `bias` and `slope` may be null,
  /// `out` may be `z`.
  void (*activate)(const Rho<T>& rho, std::int64_t rows, std::int64_t cols, const T* z,
                   const T* bias, T scale, T* out, T* slope);
  /// out = slope o g, or out += slope o g where `add`; `out` may be `g`.
  void (*times_slope)(const Slope<T>& slope, std::int64_t n, const T* g, T* out, bool add);
  /// g <- slope o g and sums += scale (sum of the columns of g), in one pass; `sums` may be null.
  /// Columns of g and of slope are `ld` apart.
  void (*slope_and_sums)(const Slope<T>& slope, std::int64_t rows, std::int64_t cols,
                         std::int64_t ld, T* g, T* sums, T scale);
  /// y += x.
  void (*add)(std::int64_t n, const T* x, T* y);
};

/// The version of instructions() (base/instructions.hpp); chosen at the first call. T = double,
/// float.
template <class T>
const Loops<T>& loops();

}  // namespace mercer::net
