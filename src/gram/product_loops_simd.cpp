// Compiled once per instruction set, with MERCER_ISA naming it.

#include "product_loops.hpp"

namespace mercer::gram::MERCER_ISA {
namespace {

using Size = ProductLoops::Size;

// Doubles a vector register, sums that are kept in registers, and the most registers of one column
// of W: the sums, that column and an entry of T fill the register file.
#if defined(__AVX512F__)
constexpr int kLanes = 8, kSums = 24, kMost = 4;
#elif defined(__AVX2__)
constexpr int kLanes = 4, kSums = 12, kMost = 3;
#else
constexpr int kLanes = 2, kSums = 12, kMost = 3;
#endif
static_assert(kMost * kLanes <= kBeyond);

using Vector [[gnu::vector_size(8 * kLanes), gnu::aligned(8), gnu::may_alias]] = double;

/// R rows of T times V registers of W's rows, of which the first `valid` numbers count.
template <int V, int R>
void sums(Size b, Size valid, Size depth, const double* __restrict T, Size row_stride,
          Size depth_stride, const double* __restrict W, double* __restrict Z) {
  Vector sum[R][V] = {};
  for (Size k = 0; k < depth; ++k) {
    Vector w[V];
    for (int v = 0; v < V; ++v) w[v] = *reinterpret_cast<const Vector*>(W + k * b + v * kLanes);
    for (int r = 0; r < R; ++r) {
      const double t = T[r * row_stride + k * depth_stride];
      for (int v = 0; v < V; ++v) sum[r][v] += t * w[v];
    }
  }
  if (valid == V * kLanes) {
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < V; ++v) *reinterpret_cast<Vector*>(Z + r * b + v * kLanes) += sum[r][v];
  } else {
    for (int r = 0; r < R; ++r)
      for (Size c = 0; c < valid; ++c) Z[r * b + c] += sum[r][c / kLanes][c % kLanes];
  }
}

template <int V, int R>
void rows_of(Size b, Size valid, Size rows, Size depth, const double* T, Size row_stride,
             Size depth_stride, const double* W, double* Z) {
  for (; rows >= R; rows -= R, T += R * row_stride, Z += R * b)
    sums<V, R>(b, valid, depth, T, row_stride, depth_stride, W, Z);
  if constexpr (R > 1)
    if (rows > 0) rows_of<V, R / 2>(b, valid, rows, depth, T, row_stride, depth_stride, W, Z);
}

void add(Size b, Size rows, Size depth, const double* T, Size row_stride, Size depth_stride,
         const double* W, double* Z) {
  for (Size c = 0; c < b;) {
    const auto with = [&]<int V>() {
      const Size valid = b - c < V * kLanes ? b - c : V * kLanes;
      rows_of<V, kSums / V>(b, valid, rows, depth, T, row_stride, depth_stride, W + c, Z + c);
      c += valid;
    };
    if (b - c <= kLanes)
      with.template operator()<1>();
    else if (b - c <= 2 * kLanes)
      with.template operator()<2>();
    else
      with.template operator()<kMost>();
  }
}

void widen(Size n, const float* __restrict from, double* __restrict to) {
#pragma omp simd
  for (Size i = 0; i < n; ++i) to[i] = from[i];
}

}  // namespace

extern const ProductLoops loops;
const ProductLoops loops{add, widen};

}  // namespace mercer::gram::MERCER_ISA
