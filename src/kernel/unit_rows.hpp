#pragma once

#include <vector>

#include "mercer/base/matrix.hpp"

namespace mercer::kernel {

/// max |x_k| over k < d.
double largest_magnitude(const double* x, Index d);
/// sum x_k^2 over k < d.
double sum_of_squares(const double* x, Index d);

/// Rows x as u = x/|x| and |x|; u = 0 for a zero row. Works for every finite x, subnormal ones
/// included; norm is infinite where |x| exceeds 1.8e308.
struct UnitRows {
  Matrix<double> u;  ///< d x m
  std::vector<double> norm;
};
UnitRows unit_rows(Matrix<double>&& X);  ///< in X's own memory

/// c(i, j) = <u_(i0+i), v_(j0+j)>: one GEMM.
void cosines(const UnitRows& x, Index i0, const UnitRows& z, Index j0, MatrixView<double> c);

/// sigma = 1 - c^2 of n entries of a column of cosines. Where it is below kNearParallel, c and
/// sigma are replaced by cos and sin^2 of the angle 2 atan(|u - v|/|u + v|): exact for equal rows.
void sines(const UnitRows& x, Index i0, Index n, const UnitRows& z, Index j, double* c,
           double* sigma);

/// The error of a dot product, a few 1e-16 in c, is that over sqrt(sigma) in the angle: a few 1e-14
/// at this sigma. (A recomputed pair takes as long as some thirty entries of the GEMM.)
inline constexpr double kNearParallel = 1e-4;

}  // namespace mercer::kernel
