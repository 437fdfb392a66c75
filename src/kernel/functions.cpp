#include <cmath>
#include <utility>

#include "mercer/kernel/kernel.hpp"

namespace mercer::kernel {
namespace {

struct OwnRows : Rows {
  Matrix<double> x;  ///< d x m
  Index size() const override { return x.cols(); }
  Index bytes() const override { return static_cast<Index>(sizeof(double)) * x.size(); }
  std::span<const double> row(Index j) const {
    return {x.column(j), static_cast<std::size_t>(x.rows())};
  }
};

/// Entries by a function of two rows, one at a time.
class PairwiseKernel final : public Kernel {
 public:
  using Function = std::function<double(std::span<const double>, std::span<const double>)>;
  PairwiseKernel(std::string text, Function k) : text_(std::move(text)), k_(std::move(k)) {
    if (text_.empty()) throw InputError("a kernel needs a text that names it in results");
    if (!k_) throw InputError("kernel {}: has no function", text_);
  }

  std::string text() const override { return text_; }
  std::unique_ptr<Rows> prepare(Matrix<double>&& X) const override {
    auto rows = std::make_unique<OwnRows>();
    rows->x = std::move(X);
    return rows;
  }
  void tile(const Rows& x_rows, Index i0, const Rows& z_rows, Index j0,
            MatrixView<double> out) const override {
    const auto &x = static_cast<const OwnRows&>(x_rows), &z = static_cast<const OwnRows&>(z_rows);
    for (Index j = 0; j < out.cols; ++j)
      for (Index i = 0; i < out.rows; ++i) out(i, j) = k_(x.row(i0 + i), z.row(j0 + j));
  }
  void diagonal(const Rows& x_rows, Index i0, Index count, double* out) const override {
    const auto& x = static_cast<const OwnRows&>(x_rows);
    for (Index i = 0; i < count; ++i) out[i] = k_(x.row(i0 + i), x.row(i0 + i));
  }
  Index bytes_per_row(Index d) const override { return 8 * d; }

 private:
  std::string text_;
  Function k_;
};

}  // namespace

std::shared_ptr<const Kernel> pairwise(
    std::string text, std::function<double(std::span<const double>, std::span<const double>)> k) {
  return std::make_shared<PairwiseKernel>(std::move(text), std::move(k));
}

std::shared_ptr<const Kernel> radial(std::string text, std::function<double(double)> k) {
  if (!k) throw InputError("kernel {}: has no function", text);
  return pairwise(std::move(text),
                  [k = std::move(k)](std::span<const double> x, std::span<const double> z) {
                    double square = 0;
                    for (std::size_t a = 0; a < x.size(); ++a)
                      square += (x[a] - z[a]) * (x[a] - z[a]);
                    return k(std::sqrt(square));
                  });
}

}  // namespace mercer::kernel
