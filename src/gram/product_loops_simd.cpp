// Compiled once per instruction set, which MERCER_ISA names.

#include "product_loops.hpp"

namespace mercer::gram::MERCER_ISA {
namespace {

using Size = std::int64_t;

// Doubles in a vector register, registers that hold sums, and at most how many hold one column of
// W: the sums, that column and an entry of T fill the register file.
#if defined(__AVX512F__)
constexpr int kLanes = 8, kSums = 24, kMost = 4;
#elif defined(__AVX2__)
constexpr int kLanes = 4, kSums = 12, kMost = 3;
#else
constexpr int kLanes = 2, kSums = 12, kMost = 3;
#endif
static_assert(kMost * kLanes <= kBeyond);

using Vector [[gnu::vector_size(8 * kLanes), gnu::aligned(8), gnu::may_alias]] = double;

/// Adds to Z the product of R rows of T with V registers of W's columns, of which the first `valid`
/// numbers count.
template <int V, int R>
void sums(const Product& p, Size valid, const double* __restrict T, const double* __restrict W,
          double* __restrict Z, Ahead& ahead) {
  const Size b = p.b, row_stride = p.row_stride, depth_stride = p.depth_stride;
  Vector sum[R][V] = {};
  for (Size first = 0; first < p.depth; first += kAheadSteps) {
    for (Size line = 0; line < ahead.lines; ++line) __builtin_prefetch(ahead.at + 64 * line, 0, 2);
    ahead.at += 64 * ahead.lines;
    const Size last = first + kAheadSteps < p.depth ? first + kAheadSteps : p.depth;
    for (Size k = first; k < last; ++k) {
      Vector w[V];
      for (int v = 0; v < V; ++v) w[v] = *reinterpret_cast<const Vector*>(W + k * b + v * kLanes);
#pragma GCC unroll 24
      for (int r = 0; r < R; ++r) {
        const double t = T[r * row_stride + k * depth_stride];
        for (int v = 0; v < V; ++v) sum[r][v] += t * w[v];
      }
    }
  }
#pragma GCC unroll 24
  for (int r = 0; r < R; ++r) {
    double* z = Z + r * b;
    if (valid == V * kLanes) {
      for (int v = 0; v < V; ++v) *reinterpret_cast<Vector*>(z + v * kLanes) += sum[r][v];
    } else {
      double part[V * kLanes];
      for (int v = 0; v < V; ++v) *reinterpret_cast<Vector*>(part + v * kLanes) = sum[r][v];
      for (Size c = 0; c < valid; ++c) z[c] += part[c];
    }
  }
}

template <int V, int R>
void rows_of(const Product& p, Size valid, Size rows, const double* T, const double* W, double* Z,
             Ahead& ahead) {
  for (; rows >= R; rows -= R, T += R * p.row_stride, Z += R * p.b)
    sums<V, R>(p, valid, T, W, Z, ahead);
  if constexpr (R > 1)
    if (rows > 0) rows_of<V, R / 2>(p, valid, rows, T, W, Z, ahead);
}

void add(const Product& p, const double* T, const double* W, double* Z, Ahead& ahead) {
  for (Size c = 0; c < p.b;) {
    const auto with = [&]<int V>() {
      const Size valid = p.b - c < V * kLanes ? p.b - c : V * kLanes;
      rows_of<V, kSums / V>(p, valid, p.rows, T, W + c, Z + c, ahead);
      c += valid;
    };
    if (p.b - c <= kLanes)
      with.template operator()<1>();
    else if (p.b - c <= 2 * kLanes)
      with.template operator()<2>();
    else if (p.b - c <= 3 * kLanes)
      with.template operator()<3>();
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
const ProductLoops loops{add, widen, kSums* kLanes};

}  // namespace mercer::gram::MERCER_ISA
