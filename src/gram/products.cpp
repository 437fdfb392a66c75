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
    // The second product goes down the columns and brings them into the cache for the first; alone,
    // the first would jump from column to column in memory.
    if constexpr (std::is_same_v<T, float>)
      for (Index c = 0; c < w; ++c) loops.widen(K.rows, K.column(j + c), piece + c * ld);
    else if (Z_J == nullptr)
      for (Index c = 0; c < w; ++c) std::copy_n(K.column(j + c), K.rows, piece + c * ld);
    else
      part = K.column(j), ld = K.ld;
    if (Z_J != nullptr) loops.add(b, w, K.rows, part, ld, 1, V_I, Z_J + j * b);
    loops.add(b, K.rows, w, part, 1, ld, V_J + j * b, Z_I);
  }
}

template void multiply<double>(MatrixView<const double>, Index, const double*, const double*,
                               double*, double*, double*);
template void multiply<float>(MatrixView<const float>, Index, const double*, const double*, double*,
                              double*, double*);

}  // namespace mercer::gram
