#pragma once

#include <vector>

#include "mercer/base/matrix.hpp"

namespace mercer::kernel {

/// sum x_k^2 over k < d.
double sum_of_squares(const double* x, Index d);

/// Rows x as u = x/|x| and |x|; a zero row stays zero. For every finite x, subnormal ones included;
/// |x| itself is infinite where it is beyond 1.8e308.
struct UnitRows {
  Matrix<double> u;  ///< d x m
  std::vector<double> norm;
};
UnitRows unit_rows(Matrix<double>&& X);  ///< in X's own memory

/// c(i, j) = <u_(i0+i), v_(j0+j)>: one GEMM.
void cosines(const UnitRows& x, Index i0, const UnitRows& z, Index j0, MatrixView<double> c);

/// sigma = 1 - c^2 of a piece of a column of cosines. Where it is below kNearParallel, c and sigma
/// are recomputed from the angle 2 atan(|u - v|/|u + v|): cos and sin^2 of it, exact for equal
/// rows.
void sines(const UnitRows& x, Index i0, Index n, const UnitRows& z, Index j, double* c,
           double* sigma);

/// A dot product's error, a few 1e-16 in c, costs that over 2 sqrt(sigma) in the angle: a few 1e-14
/// here. (The d operations of a recomputed pair take as long as some thirty GEMM entries.)
inline constexpr double kNearParallel = 1e-4;

}  // namespace mercer::kernel
