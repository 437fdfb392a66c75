#pragma once

#include "mercer/base/matrix.hpp"

namespace mercer::gram {

/// Columns of a piece: with the 504 rows of a tile it stays in the second-level cache.
inline constexpr Index kPiece = 96;

/// Z_I += K V_J and, unless Z_J is null, Z_J += K^T V_I, for blocks of b vectors that are kept
/// transposed: V_I and Z_I are b x K.rows, V_J and Z_J b x K.cols, without gaps. V_I and V_J must
/// be readable kBeyond doubles past their end (product_loops.hpp). `piece`: scratch of K.rows
/// kPiece doubles. T = float: arithmetic in double. K m x n: 4 m n b flops, or 2 m n b. Local.
template <class T>
void multiply(MatrixView<const T> K, Index b, const double* V_I, const double* V_J, double* Z_I,
              double* Z_J, double* piece);

}  // namespace mercer::gram
