#include "unit_rows.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/la/blas.hpp"
#include "tile_loops.hpp"

namespace mercer::kernel {

UnitRows unit_rows(MatrixView<const double> X) {
  UnitRows rows{Matrix<double>(X.rows, X.cols), std::vector<double>(X.cols)};
  for (Index j = 0; j < X.cols; ++j) {
    const double* x = X.column(j);
    double* u = rows.u.column(j);
    double largest = 0;
    for (Index k = 0; k < X.rows; ++k) largest = std::max(largest, std::fabs(x[k]));
    double sum = 0;
    for (Index k = 0; k < X.rows; ++k) {
      u[k] = largest > 0 ? x[k] / largest : 0.0;
      sum += u[k] * u[k];
    }
    const double length = std::sqrt(sum);
    if (largest > 0)
      for (Index k = 0; k < X.rows; ++k) u[k] /= length;
    rows.norm[j] = largest * length;
  }
  return rows;
}

void cosines(const UnitRows& x, Index i0, const UnitRows& z, Index j0, MatrixView<double> c) {
  const Index d = x.u.rows();
  la::gemm<double>(la::Trans::yes, la::Trans::no, 1.0, x.u.view().block(0, i0, d, c.rows),
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
