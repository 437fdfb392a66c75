#pragma once

#include <cstdint>

namespace mercer::gram {

/// Z(c, r) += sum over k of W(c, k) T[r row_stride + k depth_stride], c < b, r < rows, k < depth.
/// W and Z are b x depth and b x rows, column-major without gaps.
struct Product {
  std::int64_t b, rows, depth;
  std::int64_t row_stride, depth_stride;
};

/// Prefetching of the memory that is read next into the second-level cache: `lines` cache lines
/// from `at` on with every kAheadSteps steps of the inner loop. It may run past the end of an
/// array.
struct Ahead {
  const char* at = nullptr;
  std::int64_t lines = 0;
};
inline constexpr int kAheadSteps = 16;

/// The inner loops of products with few vectors. BLAS would pack every tile before it multiplies,
/// once for each of the two products: a third of the time for 64 vectors. These loops read a tile
/// where it lies, and each piece of it twice while it is in the cache. Compiled once per
/// instruction set (product_loops_simd.cpp).
struct ProductLoops {
  /// Reads up to kBeyond doubles past the end of W, whose values do not matter.
  void (*add)(const Product& product, const double* T, const double* W, double* Z, Ahead& ahead);
  void (*widen)(std::int64_t n, const float* from, double* to);
  int sums;  ///< doubles of the register block: sums that a step of the inner loop updates
};

/// The version of instructions() (base/instructions.hpp); chosen at the first call.
const ProductLoops& product_loops();
inline constexpr int kBeyond = 32;

}  // namespace mercer::gram
