#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "product_loops.hpp"
#include "products.hpp"

namespace mercer::gram {
namespace baseline {
extern const ProductLoops loops;
}
#ifdef MERCER_LOOPS_X86
namespace avx2 {
extern const ProductLoops loops;
}
namespace avx512 {
extern const ProductLoops loops;
}
#endif
namespace {

std::vector<const ProductLoops*> versions() {
  std::vector<const ProductLoops*> result{&baseline::loops};
#ifdef MERCER_LOOPS_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    result.push_back(&avx2::loops);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd"))
    result.push_back(&avx512::loops);
#endif
  return result;
}

double value(Index k) {
  return std::sin(static_cast<double>(3 * k + 1));
}
Matrix<double> filled(Index rows, Index cols, Index shift) {
  Matrix<double> A(rows, cols);
  for (Index k = 0; k < A.size(); ++k) A.data()[k] = value(k + shift);
  return A;
}

TEST(ProductLoops, AddTheProductForEveryNumberOfVectorsOnEveryInstructionSet) {
  for (const ProductLoops* loops : versions())
    for (Index b = 1; b <= 70; b += b < 34 ? 1 : 6)
      for (const Index rows : {1, 5, 24, 31})
        for (const Index depth : {0, 1, 17}) {
          SCOPED_TRACE("b " + std::to_string(b) + " rows " + std::to_string(rows) + " depth " +
                       std::to_string(depth));
          const auto T = filled(40, 40, 0);
          for (const auto& [row_stride, depth_stride] : {std::pair<Index, Index>{1, 40}, {40, 1}}) {
            // What lies beyond W is read and must not count.
            std::vector<double> W(static_cast<std::size_t>(b * depth) + kBeyond,
                                  std::numeric_limits<double>::quiet_NaN());
            for (Index k = 0; k < b * depth; ++k) W[static_cast<std::size_t>(k)] = value(k + 7);
            auto Z = filled(b, rows + 1, 9);  // one column that is not to be touched
            const auto before = Z.copy();
            Ahead ahead{reinterpret_cast<const char*>(T.data()), b % 4};
            loops->add({b, rows, depth, row_stride, depth_stride}, T.data(), W.data(), Z.data(),
                       ahead);
            double largest = 0;
            bool finite = true;
            for (Index r = 0; r <= rows; ++r)
              for (Index c = 0; c < b; ++c) {
                double sum = before(c, r);
                for (Index k = 0; k < depth && r < rows; ++k)
                  sum += W[static_cast<std::size_t>(c + k * b)] *
                         T.data()[r * row_stride + k * depth_stride];
                finite = finite && std::isfinite(Z(c, r));
                largest = std::max(largest, std::abs(Z(c, r) - sum));
              }
            EXPECT_TRUE(finite);
            EXPECT_LE(largest, 1e-14);
          }
        }
}

template <class T>
void check_multiply() {
  constexpr Index m = 61, n = 2 * kPiece + 5, b = 9;
  Matrix<T> K(m + 3, n);  // a gap below each column
  for (Index k = 0; k < K.size(); ++k) K.data()[k] = static_cast<T>(value(k));
  const auto V_I = filled(b, m + 4, 1), V_J = filled(b, n + 4, 2);
  std::vector<double> piece(static_cast<std::size_t>(m * kPiece));
  for (const bool both : {true, false}) {
    auto Z_I = filled(b, m, 3), Z_J = filled(b, n, 4);
    const auto I = Z_I.copy(), J = Z_J.copy();
    multiply(MatrixView<const T>(K.view().block(0, 0, m, n)), b, V_I.data(), V_J.data(), Z_I.data(),
             both ? Z_J.data() : nullptr, piece.data());
    double largest = 0;
    for (Index c = 0; c < b; ++c) {
      for (Index i = 0; i < m; ++i) {
        double sum = I(c, i);
        for (Index j = 0; j < n; ++j) sum += static_cast<double>(K(i, j)) * V_J(c, j);
        largest = std::max(largest, std::abs(Z_I(c, i) - sum));
      }
      for (Index j = 0; j < n; ++j) {
        double sum = J(c, j);
        for (Index i = 0; i < m && both; ++i) sum += static_cast<double>(K(i, j)) * V_I(c, i);
        largest = std::max(largest, std::abs(Z_J(c, j) - sum));
      }
    }
    EXPECT_TRUE(largest <= 1e-13) << largest;
  }
}

TEST(Multiply, AddsBothProductsOfATileInDoubleAndSingle) {
  check_multiply<double>();
  check_multiply<float>();
}

}  // namespace
}  // namespace mercer::gram
