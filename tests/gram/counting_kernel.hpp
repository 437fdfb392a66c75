#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>

#include "mercer/base/random.hpp"
#include "mercer/dist/row_block.hpp"
#include "mercer/kernel/kernel.hpp"

/// Rows by formula, and a kernel that counts what it is asked for.
namespace mercer::test {

inline constexpr Index kDimension = 3;

inline double input(Index i, Index c) {
  return Random(7, Stream::test, 1).normal(static_cast<std::uint64_t>(i * kDimension + c));
}
inline double other_input(Index i, Index c) {
  return Random(7, Stream::test, 2).normal(static_cast<std::uint64_t>(i * kDimension + c));
}
/// 1/(1 + |x - z|^2) by a plain loop, which counts the entries that were asked for.
class CountingKernel : public kernel::Kernel {
 public:
  /// `steps`: those that it says an entry takes.
  explicit CountingKernel(double steps = 1) : steps_(steps) {}
  struct PlainRows : kernel::Rows {
    Matrix<double> x;
    Index size() const override { return x.cols(); }
    Index bytes() const override { return x.size() * 8; }
  };
  std::string text() const override { return "cauchy"; }
  std::unique_ptr<kernel::Rows> prepare(Matrix<double>&& X) const override {
    auto rows = std::make_unique<PlainRows>();
    rows->x = std::move(X);
    return rows;
  }
  void tile(const kernel::Rows& x, Index i0, const kernel::Rows& z, Index j0,
            MatrixView<double> out) const override {
    const auto& a = dynamic_cast<const PlainRows&>(x).x;
    const auto& b = dynamic_cast<const PlainRows&>(z).x;
    for (Index j = 0; j < out.cols; ++j)
      for (Index i = 0; i < out.rows; ++i) {
        double distance = 0;
        for (Index c = 0; c < a.rows(); ++c) distance += std::pow(a(c, i0 + i) - b(c, j0 + j), 2);
        out(i, j) = 1 / (1 + distance);
      }
    entries += out.rows * out.cols;
  }
  void diagonal(const kernel::Rows&, Index, Index count, double* out) const override {
    std::fill_n(out, count, 1.0);
  }
  Index bytes_per_row(Index d) const override { return 8 * d; }
  double steps_per_entry() const override { return steps_; }
  mutable std::atomic<Index> entries{0};

 private:
  double steps_;
};
/// The steps of a kernel that is assembled in panels, of one that is assembled by tiles, and of one
/// whose tiles have strips of one column.
inline constexpr double kSteps[] = {1, 1e4, 1e9};

template <class F>
double expected(F&& x, Index i, Index j) {
  double distance = 0;
  for (Index c = 0; c < kDimension; ++c) distance += std::pow(x(i, c) - input(j, c), 2);
  return 1 / (1 + distance);
}

template <class F>
dist::RowBlock<double> rows_of(const comm::Communicator& comm, Index n, Index cols, F&& f) {
  dist::RowBlock<double> X(comm, n, cols);
  for (Index i = 0; i < X.local_rows(); ++i)
    for (Index c = 0; c < cols; ++c)
      X.row(i)[static_cast<std::size_t>(c)] = f(X.first_row() + i, c);
  return X;
}

}  // namespace mercer::test
