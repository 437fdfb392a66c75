#include "unit_rows.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "mercer/blas/blas.hpp"
#include "tile_loops.hpp"

namespace mercer::kernel {

namespace {

// Partial results side by side, which the compiler keeps in vector registers.
constexpr Index kLanes = 8;

}  // namespace

double largest_magnitude(const double* x, Index d) {
  double lane[kLanes] = {};
  Index k = 0;
  for (; k + kLanes <= d; k += kLanes)
    for (Index l = 0; l < kLanes; ++l) {
      const double magnitude = std::fabs(x[k + l]);
      lane[l] = magnitude > lane[l] ? magnitude : lane[l];
    }
  for (; k < d; ++k) lane[0] = std::max(lane[0], std::fabs(x[k]));
  return *std::max_element(lane, lane + kLanes);
}

double sum_of_squares(const double* x, Index d) {
  double lane[kLanes] = {};
  Index k = 0;
  for (; k + kLanes <= d; k += kLanes)
    for (Index l = 0; l < kLanes; ++l) lane[l] += x[k + l] * x[k + l];
  for (; k < d; ++k) lane[0] += x[k] * x[k];
  return std::accumulate(lane, lane + kLanes, 0.0);
}

UnitRows unit_rows(Matrix<double>&& X) {
  UnitRows rows{std::move(X), {}};
  const Index d = rows.u.rows();
  rows.norm.resize(rows.u.cols());
  for (Index j = 0; j < rows.u.cols(); ++j) {
    double* x = rows.u.column(j);
    const double largest = largest_magnitude(x, d);
    // Where the squared norm would leave the range of double, the row is first multiplied by a
    // power of two, which is exact. That power may itself be outside the range: hence scalbn.
    const bool scaled = largest > 0 && !(largest > 1e-100 && largest < 1e100);
    const int exponent = scaled ? std::ilogb(largest) : 0;
    if (scaled)
      for (Index k = 0; k < d; ++k) x[k] = std::scalbn(x[k], -exponent);
    const double length = std::sqrt(sum_of_squares(x, d));
    const double inverse = largest > 0 ? 1 / length : 0;
    for (Index k = 0; k < d; ++k) x[k] *= inverse;
    rows.norm[j] = std::scalbn(length, exponent);
  }
  return rows;
}

void cosines(const UnitRows& x, Index i0, const UnitRows& z, Index j0, MatrixView<double> c) {
  const Index d = x.u.rows();
  blas::gemm<double>(blas::Trans::yes, blas::Trans::no, 1.0, x.u.view().block(0, i0, d, c.rows),
                     z.u.view().block(0, j0, d, c.cols), 0.0, c);
}

void sines(const UnitRows& x, Index i0, Index n, const UnitRows& z, Index j, double* c,
           double* sigma) {
  const TileLoops& loops = tile_loops();
  if (!(loops.sigma_of_cosine(n, c, sigma) < kNearParallel)) return;
  for (Index i = 0; i < n; ++i) {
    if (!(sigma[i] < kNearParallel)) continue;
    double minus, plus;
    loops.distances(x.u.rows(), x.u.column(i0 + i), z.u.column(j), &minus, &plus);
    const double sum = minus + plus;
    c[i] = (plus - minus) / sum;
    sigma[i] = 4 * (minus / sum) * (plus / sum);
  }
}

}  // namespace mercer::kernel
