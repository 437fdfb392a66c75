#pragma once

#include <cstdint>

namespace mercer::gram {

/// The inner loops of products with few vectors. BLAS brings every tile into an order of its own
/// before it multiplies, once for each of the two products, which for 64 vectors takes a third of
/// the time: here a tile is read where it lies, a piece of it twice while it is in the cache.
/// Compiled once per instruction set (product_loops_simd.cpp).
struct ProductLoops {
  using Size = std::int64_t;
  /// Z(c, r) += sum over k of W(c, k) T[r row_stride + k depth_stride], c < b, r < rows, k < depth.
  /// W and Z are b x depth and b x rows, column-major without gaps; up to kBeyond doubles past the
  /// end of W are read (and must not trap: any value does).
  void (*add)(Size b, Size rows, Size depth, const double* T, Size row_stride, Size depth_stride,
              const double* W, double* Z);
  void (*widen)(Size n, const float* from, double* to);
};

/// The widest version that this processor runs; chosen at the first call.
const ProductLoops& product_loops();
inline constexpr int kBeyond = 32;

}  // namespace mercer::gram
