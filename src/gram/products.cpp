#include "products.hpp"

#include <algorithm>

#include "product_loops.hpp"

namespace mercer::gram {

template <class T>
void multiply(MatrixView<const T> K, Index b, const double* V_I, const double* V_J, double* Z_I,
              double* Z_J, double* piece) {
  const ProductLoops& loops = product_loops();
  for (Index j = 0; j < K.cols; j += kPiece) {
    const Index w = std::min(kPiece, K.cols - j);
    const double* part = piece;
    Index ld = K.rows;
    // The product with K^T goes down the columns and brings them into the cache for the other one.
    // That one alone would jump from column to column in memory: the piece is copied first.
    if constexpr (std::is_same_v<T, float>)
      for (Index c = 0; c < w; ++c) loops.widen(K.rows, K.column(j + c), piece + c * ld);
    else if (Z_J == nullptr)
      for (Index c = 0; c < w; ++c) std::copy_n(K.column(j + c), K.rows, piece + c * ld);
    else
      part = K.column(j), ld = K.ld;
    // Prefetch what follows in memory, the next columns or the next tile, during these products.
    Ahead ahead;
    if (Z_J != nullptr && K.ld == K.rows)
      ahead = {reinterpret_cast<const char*>(K.column(j + w)),
               std::max<Index>(1, loops.sums * static_cast<Index>(sizeof(T)) * kAheadSteps /
                                      (2 * 64 * (b + 4)))};
    if (Z_J != nullptr) loops.add({b, w, K.rows, ld, 1}, part, V_I, Z_J + j * b, ahead);
    loops.add({b, K.rows, w, 1, ld}, part, V_J + j * b, Z_I, ahead);
  }
}

template void multiply<double>(MatrixView<const double>, Index, const double*, const double*,
                               double*, double*, double*);
template void multiply<float>(MatrixView<const float>, Index, const double*, const double*, double*,
                              double*, double*);

}  // namespace mercer::gram
