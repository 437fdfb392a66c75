// The kernels of `dense relu res(dense relu) dense`, whose two summands both have a mean, against
// random networks of large finite width: an oracle that shares nothing with the recursion.
#include <gtest/gtest.h>

#include <cmath>

#include "mercer/base/random.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/kernel/kernel.hpp"

namespace mercer {
namespace {

constexpr Index kWidth = 768, kInput = 3, kRows = 3;
constexpr double kWeight = 1.2, kBias = 0.4;

class Draws {
 public:
  explicit Draws(std::uint64_t seed) : random_(seed, Stream::test) {}
  Matrix<double> matrix(Index rows, Index cols) {
    Matrix<double> A(rows, cols);
    for (Index k = 0; k < A.size(); ++k) A.data()[k] = random_.normal(next_++);
    return A;
  }

 private:
  Random random_;
  std::uint64_t next_ = 0;
};

Matrix<double> product(blas::Trans ta, blas::Trans tb, double factor, const Matrix<double>& A,
                       const Matrix<double>& B) {
  Matrix<double> C(ta == blas::Trans::yes ? A.cols() : A.rows(),
                   tb == blas::Trans::yes ? B.rows() : B.cols());
  blas::gemm<double>(ta, tb, factor, A.view(), B.view(), 0.0, C.view());
  return C;
}
void add_bias(Matrix<double>& Z, const Matrix<double>& b) {
  for (Index j = 0; j < Z.cols(); ++j)
    for (Index i = 0; i < Z.rows(); ++i) Z(i, j) += kBias * b(i, 0);
}

struct Empirical {
  Matrix<double> nngp, ntk;
};

/// E[f f'] over the last layer, and J J^T, of one network; columns are inputs.
Empirical one_network(std::uint64_t seed, const Matrix<double>& X) {
  using enum blas::Trans;
  Draws draws(seed);
  const double root = kWeight / std::sqrt(static_cast<double>(kWidth));
  const double root_in = kWeight / std::sqrt(static_cast<double>(kInput));
  const auto W1 = draws.matrix(kWidth, kInput), b1 = draws.matrix(kWidth, 1);
  const auto W2 = draws.matrix(kWidth, kWidth), b2 = draws.matrix(kWidth, 1);
  const auto w3 = draws.matrix(kWidth, 1);
  const auto relu = [](const Matrix<double>& Z) {
    auto H = Z.copy();
    for (Index k = 0; k < H.size(); ++k) H.data()[k] = std::fmax(H.data()[k], 0.0);
    return H;
  };
  auto Z1 = product(no, no, root_in, W1, X);
  add_bias(Z1, b1);
  const auto H1 = relu(Z1);
  auto Z2 = product(no, no, root, W2, H1);
  add_bias(Z2, b2);
  auto Y = relu(Z2);
  for (Index k = 0; k < Y.size(); ++k) Y.data()[k] += H1.data()[k];

  Matrix<double> D2(kWidth, kRows);
  for (Index j = 0; j < kRows; ++j)
    for (Index i = 0; i < kWidth; ++i) D2(i, j) = Z2(i, j) > 0 ? root * w3(i, 0) : 0.0;
  auto D1 = product(yes, no, root, W2, D2);
  for (Index j = 0; j < kRows; ++j)
    for (Index i = 0; i < kWidth; ++i) D1(i, j) = Z1(i, j) > 0 ? D1(i, j) + root * w3(i, 0) : 0.0;

  const auto XX = product(yes, no, root_in * root_in, X, X);
  const auto HH = product(yes, no, root * root, H1, H1), YY = product(yes, no, root * root, Y, Y);
  const auto DD1 = product(yes, no, 1, D1, D1), DD2 = product(yes, no, 1, D2, D2);
  Empirical result{Matrix<double>(kRows, kRows), Matrix<double>(kRows, kRows)};
  const double b = kBias * kBias;
  for (Index k = 0; k < kRows * kRows; ++k) {
    result.nngp.data()[k] = YY.data()[k] + b;
    result.ntk.data()[k] =
        YY.data()[k] + b + DD2.data()[k] * (HH.data()[k] + b) + DD1.data()[k] * (XX.data()[k] + b);
  }
  return result;
}

TEST(WideNetwork, ResidualSumOfTwoPartsWithMeansHasTheAnalyticKernels) {
  const auto X = Draws(99).matrix(kInput, kRows);
  arch::Options options;
  options.weight_std = kWeight;
  options.bias_std = kBias;
  constexpr int kNetworks = 30;
  Matrix<double> sum[2] = {{kRows, kRows, 0}, {kRows, kRows, 0}},
                 squares[2] = {{kRows, kRows, 0}, {kRows, kRows, 0}};
  for (int s = 0; s < kNetworks; ++s) {
    const Empirical one = one_network(static_cast<std::uint64_t>(s), X);
    for (Index k = 0; k < kRows * kRows; ++k)
      for (const int kind : {0, 1}) {
        const double v = (kind ? one.ntk : one.nngp).data()[k];
        sum[kind].data()[k] += v / kNetworks;
        squares[kind].data()[k] += v * v / kNetworks;
      }
  }
  for (const int kind : {0, 1}) {
    const auto k = kernel::make({kind ? kernel::Kind::ntk : kernel::Kind::nngp,
                                 arch::parse("dense relu res(dense relu) dense", options), 1});
    const auto rows = k->prepare(X.copy());
    Matrix<double> exact(kRows, kRows);
    k->tile(*rows, 0, *rows, 0, exact.view());
    for (Index e = 0; e < kRows * kRows; ++e) {
      const double mean = sum[kind].data()[e];
      const double error = std::sqrt((squares[kind].data()[e] - mean * mean) / (kNetworks - 1));
      // Four standard errors, which are below 3 % each, and the bias of order 1/width. Without the
      // product of the means the kernel would be 20 % smaller.
      EXPECT_TRUE(error <= 0.03 * mean);
      EXPECT_TRUE(std::fabs(mean - exact.data()[e]) <= 4 * error + 2.0 / kWidth * mean)
          << kind << " " << mean << " +- " << error << " against " << exact.data()[e];
    }
  }
}

}  // namespace
}  // namespace mercer
