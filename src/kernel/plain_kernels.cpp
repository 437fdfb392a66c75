#include <algorithm>
#include <cmath>

#include "kernels.hpp"
#include "mercer/la/blas.hpp"
#include "tile_loops.hpp"
#include "unit_rows.hpp"

namespace mercer::kernel {

namespace {

struct PlainRows : Rows {
  Matrix<double> x;  ///< d x m
  std::vector<double> norm2;
  Index size() const override { return x.cols(); }
  Index bytes() const override {
    return static_cast<Index>(sizeof(double)) * (x.size() + static_cast<Index>(norm2.size()));
  }
};

std::unique_ptr<PlainRows> plain_rows(Matrix<double>&& X) {
  auto rows = std::make_unique<PlainRows>();
  rows->norm2.resize(X.cols());
  for (Index j = 0; j < X.cols(); ++j) rows->norm2[j] = sum_of_squares(X.column(j), X.rows(), 1.0);
  rows->x = std::move(X);
  return rows;
}

void dots(const PlainRows& x, Index i0, const PlainRows& z, Index j0, MatrixView<double> out) {
  const Index d = x.x.rows();
  la::gemm<double>(la::Trans::yes, la::Trans::no, 1.0, x.x.view().block(0, i0, d, out.rows),
                   z.x.view().block(0, j0, d, out.cols), 0.0, out);
}

class LinearKernel : public Kernel {
 public:
  std::string text() const override { return "linear"; }
  std::unique_ptr<Rows> prepare(Matrix<double>&& X) const override {
    return plain_rows(std::move(X));
  }
  void tile(const Rows& x, Index i0, const Rows& z, Index j0,
            MatrixView<double> out) const override {
    dots(static_cast<const PlainRows&>(x), i0, static_cast<const PlainRows&>(z), j0, out);
  }
  void diagonal(const Rows& x, Index i0, Index count, double* out) const override {
    std::copy_n(static_cast<const PlainRows&>(x).norm2.data() + i0, count, out);
  }
  Index bytes_per_row(Index d) const override { return 8 * (d + 1); }
};

/// |x-z|^2 by the dot product where it is not small beside |x|^2 + |z|^2, else by the differences.
class DistanceKernel : public Kernel {
 public:
  DistanceKernel(bool squared, double bandwidth) : squared_(squared), h_(bandwidth) {}

  std::string text() const override {
    return fmt::format("{}(bandwidth={})", squared_ ? "gaussian" : "laplace", h_);
  }
  std::unique_ptr<Rows> prepare(Matrix<double>&& X) const override {
    return plain_rows(std::move(X));
  }
  void tile(const Rows& x_rows, Index i0, const Rows& z_rows, Index j0,
            MatrixView<double> out) const override {
    const auto& x = static_cast<const PlainRows&>(x_rows);
    const auto& z = static_cast<const PlainRows&>(z_rows);
    const TileLoops& loops = tile_loops();
    constexpr Index kSegment = 512;
    constexpr double kNear = 1e-3;
    dots(x, i0, z, j0, out);
    for (Index j = 0; j < out.cols; ++j)
      for (Index begin = 0; begin < out.rows; begin += kSegment) {
        const Index n = std::min(kSegment, out.rows - begin), first = i0 + begin;
        double* d2 = out.column(j) + begin;
        const double norm_j = z.norm2[j0 + j];
        if (!(loops.squared_distance(n, d2, {x.norm2.data() + first, norm_j}) >= kNear))
          for (Index i = 0; i < n; ++i)
            if (!(d2[i] >= kNear * (x.norm2[first + i] + norm_j))) {
              double plus;
              loops.distances(x.x.rows(), x.x.column(first + i), z.x.column(j0 + j), d2 + i, &plus);
            }
        if (squared_)
          loops.gaussian(n, d2, 1 / (2 * h_ * h_));
        else
          loops.laplace(n, d2, 1 / h_);
      }
  }
  void diagonal(const Rows&, Index, Index count, double* out) const override {
    std::fill_n(out, count, 1.0);
  }
  Index bytes_per_row(Index d) const override { return 8 * (d + 1); }

 private:
  bool squared_;
  double h_;
};

}  // namespace

std::shared_ptr<const Kernel> linear_kernel() {
  return std::make_shared<LinearKernel>();
}
std::shared_ptr<const Kernel> distance_kernel(bool squared, double bandwidth) {
  return std::make_shared<DistanceKernel>(squared, bandwidth);
}

}  // namespace mercer::kernel
