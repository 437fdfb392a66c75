#include <algorithm>
#include <cmath>

#include "kernels.hpp"
#include "mercer/blas/blas.hpp"
#include "reference.hpp"
#include "tile_loops.hpp"
#include "unit_rows.hpp"

namespace mercer::kernel {

namespace {

struct PlainRows : Rows {
  Matrix<double> x;  ///< d x m
  std::vector<double> norm2;
  std::vector<Index> far;  ///< ascending: rows with |x|^2 at or above 1e300, near the end of double
  Index size() const override { return x.cols(); }
  Index bytes() const override {
    return static_cast<Index>(sizeof(double)) *
           (x.size() + static_cast<Index>(norm2.size()) + static_cast<Index>(far.size()));
  }
};

std::unique_ptr<PlainRows> plain_rows(Matrix<double>&& X) {
  auto rows = std::make_unique<PlainRows>();
  rows->norm2.resize(X.cols());
  for (Index j = 0; j < X.cols(); ++j) rows->norm2[j] = sum_of_squares(X.column(j), X.rows());
  rows->x = std::move(X);
  return rows;
}

void dots(const PlainRows& x, Index i0, const PlainRows& z, Index j0, MatrixView<double> out) {
  const Index d = x.x.rows();
  blas::gemm<double>(blas::Trans::yes, blas::Trans::no, 1.0, x.x.view().block(0, i0, d, out.rows),
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
  std::string range_error(const Rows& x, Index i) const override {
    if (std::isfinite(static_cast<const PlainRows&>(x).norm2[static_cast<std::size_t>(i)]))
      return {};
    return "<x, x> exceeds the range of double precision (1.8e308): give smaller inputs (`scale`)";
  }
  std::optional<long double> reference(std::span<const double> x,
                                       std::span<const double> z) const override {
    return reference_linear(x, z);
  }
  Index bytes_per_row(Index d) const override { return 8 * (d + 1); }
};

/// |x-z|^2 from the dot product, or from the differences where it is small beside |x|^2 + |z|^2 or
/// where |x|^2 or |z|^2 leaves the range of double. For a very large or small bandwidth h, rows and
/// h are kept multiplied by a power of two, so that squares of distances near h stay in that range.
class DistanceKernel : public Kernel {
 public:
  DistanceKernel(Kind kind, double bandwidth)
      : kind_(kind),
        bandwidth_(bandwidth),
        exponent_(exponent(bandwidth)),
        h_(std::scalbn(bandwidth, exponent_)) {}

  std::string text() const override { return fmt::format("{}(bandwidth={})", name(), bandwidth_); }
  std::unique_ptr<Rows> prepare(Matrix<double>&& X) const override {
    if (exponent_ != 0) scale(X);
    auto rows = plain_rows(std::move(X));
    constexpr double kFar = 1e300;
    for (Index j = 0; j < rows->size(); ++j)
      if (double& norm2 = rows->norm2[static_cast<std::size_t>(j)]; !(norm2 < kFar)) {
        norm2 = kFar;
        rows->far.push_back(j);
      }
    return rows;
  }
  void tile(const Rows& x_rows, Index i0, const Rows& z_rows, Index j0,
            MatrixView<double> out) const override {
    const auto& x = static_cast<const PlainRows&>(x_rows);
    const auto& z = static_cast<const PlainRows&>(z_rows);
    const TileLoops& loops = tile_loops();
    const auto far_i = within(x.far, i0, out.rows), far_j = within(z.far, j0, out.cols);
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
            if (!(d2[i] >= kNear * (x.norm2[first + i] + norm_j)))
              by_differences(x, first + i, z, j0 + j, d2 + i);
        if (std::ranges::binary_search(far_j, j0 + j))
          for (Index i = 0; i < n; ++i) by_differences(x, first + i, z, j0 + j, d2 + i);
        else
          for (const Index i : within(far_i, first, n))
            by_differences(x, i, z, j0 + j, d2 + i - first);
        of_distances(loops, n, d2);
      }
  }
  void diagonal(const Rows&, Index, Index count, double* out) const override {
    std::fill_n(out, count, 1.0);
  }
  std::optional<long double> reference(std::span<const double> x,
                                       std::span<const double> z) const override {
    return reference_distance(kind_, bandwidth_, x, z);
  }
  Index bytes_per_row(Index d) const override { return 8 * (d + 1); }

 private:
  /// The power of two that brings h into 1e-100 ... 1e100: then |x - z|^2 neither overflows nor
  /// underflows while |x - z|/h is between 1e-54 and 1e54.
  static int exponent(double h) {
    constexpr int kMost = 332;
    return std::clamp(std::ilogb(h), -kMost, kMost) - std::ilogb(h);
  }
  void scale(Matrix<double>& X) const {
    for (Index j = 0; j < X.cols(); ++j)
      for (Index k = 0; k < X.rows(); ++k) {
        X(k, j) = std::scalbn(X(k, j), exponent_);
        if (!std::isfinite(X(k, j)))
          throw RowError(j, fmt::format("an input is more than 1e400 times the bandwidth {}: its "
                                        "distances cannot be computed: give a larger `bandwidth`",
                                        bandwidth_));
      }
  }
  /// The part of the ascending `rows` that lies in [first, first + count).
  static std::span<const Index> within(std::span<const Index> rows, Index first, Index count) {
    return {std::ranges::lower_bound(rows, first), std::ranges::lower_bound(rows, first + count)};
  }
  static void by_differences(const PlainRows& x, Index i, const PlainRows& z, Index j, double* d2) {
    double plus;
    tile_loops().distances(x.x.rows(), x.x.column(i), z.x.column(j), d2, &plus);
  }

  const char* name() const {
    switch (kind_) {
      case Kind::gaussian:
        return "gaussian";
      case Kind::laplace:
        return "laplace";
      case Kind::linear:  // these are no functions of the distance
      case Kind::ntk:
      case Kind::nngp:
        break;
    }
    return "";
  }
  /// Replaces the n squared distances by the kernel's values.
  void of_distances(const TileLoops& loops, Index n, double* d2) const {
    switch (kind_) {
      case Kind::gaussian:
        return static_cast<void>(loops.gaussian(n, d2, 1 / (2 * h_ * h_)));
      case Kind::laplace:
        return static_cast<void>(loops.laplace(n, d2, 1 / h_));
      case Kind::linear:
      case Kind::ntk:
      case Kind::nngp:
        break;
    }
  }

  Kind kind_;
  double bandwidth_;
  int exponent_;  ///< of two
  double h_;      ///< bandwidth_ 2^exponent_
};

}  // namespace

std::shared_ptr<const Kernel> linear_kernel() {
  return std::make_shared<LinearKernel>();
}
std::shared_ptr<const Kernel> distance_kernel(Kind kind, double bandwidth) {
  return std::make_shared<DistanceKernel>(kind, bandwidth);
}

}  // namespace mercer::kernel
