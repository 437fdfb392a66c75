#include <gtest/gtest.h>

#include <cmath>

#include "krr/naive.hpp"
#include "mercer/base/error.hpp"
#include "mercer/base/random.hpp"
#include "mercer/dist/rows.hpp"
#include "mercer/krr/predict.hpp"
#include "support/compare.hpp"
#include "support/grids.hpp"

namespace mercer::krr {
namespace {

using test::Dense;
using Positivity = msk::SpectrumMap::Positivity;

constexpr Index kBlock = 4, kDimension = 3;
constexpr double kBandwidth = 1.3;

double training_point(Index i, Index j) {
  return Random(3, Stream::test).normal(static_cast<std::uint64_t>(i * kDimension + j));
}
double test_point(Index i, Index j) {
  return Random(4, Stream::test).normal(static_cast<std::uint64_t>(i * kDimension + j));
}
double target(Index i, Index o) {
  return std::sin(static_cast<double>((2 * o + 1) * i) * 0.37 + 0.5);
}

/// The Gaussian kernel over n training and m test points, written out.
Dense naive_kernel(Index n, Index m) {
  const auto x = [n](Index i, Index j) {
    return i < n ? training_point(i, j) : test_point(i - n, j);
  };
  return test::dense(n + m, n + m, [&](Index i, Index l) {
    double square = 0;
    for (Index j = 0; j < kDimension; ++j) square += std::pow(x(i, j) - x(l, j), 2);
    return std::exp(-square / (2 * kBandwidth * kBandwidth));
  });
}

/// K_g[test, train] (K_g[train, train] + gamma n/N I)^-1 Y over all N = n + m points, with K = k/N.
Dense naive_transductive(const Dense& k, Index n, Index c, const msk::SpectrumMap& g, Index top,
                         double ridge) {
  const Index N = k.rows();
  const auto pairs = test::jacobi(
      test::dense(N, N, [&](Index i, Index j) { return k(i, j) / static_cast<double>(N); }));
  const auto& lambda = pairs.first;
  const auto& V = pairs.second;
  const auto spectrum = g.apply(std::span(lambda).first(static_cast<std::size_t>(top)),
                                top < N ? lambda[static_cast<std::size_t>(top)] : 0, top == N,
                                Positivity::nonnegative);
  const Dense Kg = test::dense(N, N, [&](Index i, Index j) {
    double sum = 0;
    for (Index e = 0; e < N; ++e) {
      const auto at = static_cast<std::size_t>(e);
      sum += V(i, e) * (e < top ? spectrum.g[at] : lambda[at]) * V(j, e);
    }
    return sum;
  });
  const auto train = test::range(0, n), rest = test::range(n, N);
  const Dense A = test::plus_ridge(test::part(Kg, train, train),
                                   ridge * static_cast<double>(n) / static_cast<double>(N));
  return test::times(test::part(Kg, rest, train), test::solved(A, test::dense(n, c, target)));
}

/// The top pairs of k/N, found by Jacobi rotations.
template <class T>
spectral::Eigenpairs<T> jacobi_pairs(const Dense& k, Index top, const dist::ProcessGrid& grid) {
  const Index N = k.rows();
  const auto found = test::jacobi(
      test::dense(N, N, [&](Index i, Index j) { return k(i, j) / static_cast<double>(N); }));
  const auto& lambda = found.first;
  spectral::Eigenpairs<T> pairs{.values = {lambda.begin(), lambda.begin() + top},
                                .vectors = DistMatrix<T>(grid, N, top, kBlock)};
  pairs.next = top < N ? lambda[static_cast<std::size_t>(top)] : lambda.back();
  pairs.vectors.fill([&](Index i, Index j) { return found.second(i, j); });
  return pairs;
}

template <class T>
msk::ModifiedSpectrum mapped(const char* g, const spectral::Eigenpairs<T>& pairs) {
  return msk::SpectrumMap::parse(g).apply(pairs.values, pairs.next, pairs.k() == pairs.n(),
                                          Positivity::nonnegative, msk::kModeTolerance<T>);
}

template <class T>
struct PredictTest : testing::Test {
  static constexpr double eps = std::numeric_limits<T>::epsilon();
  comm::Communicator world = comm::Communicator::world();
  std::shared_ptr<const kernel::Kernel> kernel = [] {
    kernel::Options options;
    options.kind = kernel::Kind::gaussian;
    options.bandwidth = kBandwidth;
    return kernel::make(options);
  }();
  gram::Options small_blocks = [] {
    gram::Options options;
    options.nb = kBlock;
    return options;
  }();
};
using Precisions = testing::Types<double, float>;
TYPED_TEST_SUITE(PredictTest, Precisions);

TYPED_TEST(PredictTest, ConcatenateAndTakeRowsUndoEachOther) {
  using T = TypeParam;
  const auto f = [](Index i, Index j) { return static_cast<double>(100 * i + j); };
  Index compared = 0;
  for (const auto shape : test::grid_shapes(this->world.size())) {
    const dist::ProcessGrid grid(this->world, shape);
    for (const auto& [n, m] : {std::pair<Index, Index>{1, 1}, {13, 5}, {3, 17}, {8, 0}, {0, 8}}) {
      const Index N = n + m, k = 11;
      DistMatrix<T> A(grid, N, k, kBlock);
      A.fill(f);
      const auto upper = dist::take_rows(A, 0, n), lower = dist::take_rows(A, n, m);
      test::expect_equal(upper, f, 0);
      test::expect_equal(
          lower, [&, n = n](Index i, Index j) { return f(i + n, j); }, 0);

      RowBlock<T> above(this->world, n, 2), below(this->world, m, 2);
      for (Index i = 0; i < above.local_rows(); ++i)
        for (Index j = 0; j < 2; ++j)
          above.row(i)[static_cast<std::size_t>(j)] = static_cast<T>(f(above.first_row() + i, j));
      for (Index i = 0; i < below.local_rows(); ++i)
        for (Index j = 0; j < 2; ++j)
          below.row(i)[static_cast<std::size_t>(j)] =
              static_cast<T>(f(n + below.first_row() + i, j));
      const RowBlock<T> both = dist::concatenate(above, below);
      ASSERT_EQ(both.rows(), N);
      for (Index i = 0; i < both.local_rows(); ++i)
        for (Index j = 0; j < 2; ++j, ++compared)
          EXPECT_EQ(both.row(i)[static_cast<std::size_t>(j)],
                    static_cast<T>(f(both.first_row() + i, j)));
    }
    EXPECT_THROW(dist::concatenate(RowBlock<T>(this->world, 2, 2), RowBlock<T>(this->world, 2, 3)),
                 Error);
  }
  EXPECT_GT(this->world.all_reduce(compared, comm::Op::sum), 0);
}

TYPED_TEST(PredictTest, AWidePanelledMatrixLosesNoColumn) {
  using T = TypeParam;
  const dist::ProcessGrid grid(this->world);
  const auto f = [](Index i, Index j) { return static_cast<T>(i) - static_cast<T>(j) / 8; };
  DistMatrix<T> A(grid, 9, 700, kBlock);
  A.fill(f);
  test::expect_equal(
      dist::take_rows(A, 2, 5), [&](Index i, Index j) { return f(i + 2, j); }, 0);
}

TYPED_TEST(PredictTest, AStoredCrossKernelPredictsAsTheStreamedOne) {
  using T = TypeParam;
  const Index n = 13, m = 7;
  for (const Index c : {1, 3})
    for (const auto shape : test::grid_shapes(this->world.size())) {
      const dist::ProcessGrid grid(this->world, shape);
      const auto X = test::row_block(this->world, n, kDimension, training_point);
      const auto Z = test::row_block(this->world, m, kDimension, test_point);
      const auto alpha = test::row_block(this->world, n, c, target);
      const auto C = gram::assemble_cross<T>(*this->kernel, Z, X, grid, this->small_blocks);
      const Dense stored = test::replicated(predict(C, alpha));
      const Dense streamed = test::replicated(gram::apply_cross(*this->kernel, Z, X, alpha));
      const Dense expected = test::times(
          test::part(naive_kernel(n, m), test::range(n, n + m), test::range(0, n)),
          test::dense(n, c,
                      [&](Index i, Index o) { return target(i, o) / static_cast<double>(n); }));
      EXPECT_TRUE(test::relative_difference(stored, expected) <= 20 * this->eps);
      EXPECT_TRUE(test::relative_difference(streamed, expected) <= 1e-13);
      EXPECT_THROW(predict(C, Z), InputError);
    }
}

TYPED_TEST(PredictTest, TransductiveWithTheIdentityIsPlainRidgeRegression) {
  using T = TypeParam;
  const Index n = 13, m = 7, N = n + m;
  const double ridge = 0.02;
  const Dense k = naive_kernel(n, m);
  for (const auto shape : test::grid_shapes(this->world.size())) {
    const dist::ProcessGrid grid(this->world, shape);
    for (const Index top : {Index{5}, N})
      for (const Index c : {1, 3}) {
        const auto X = test::row_block(this->world, n, kDimension, training_point);
        const auto Z = test::row_block(this->world, m, kDimension, test_point);
        const auto Y = test::row_block(this->world, n, c, target);
        const auto pairs = jacobi_pairs<T>(k, top, grid);
        const Transductive<T> f(*this->kernel, X, Z, pairs, mapped("identity", pairs),
                                this->small_blocks);
        const auto found = f.predict(Y, ridge);
        auto K = gram::assemble<T>(*this->kernel, X, grid, this->small_blocks);
        const Fit plain = fit_cholesky(std::move(K), Y, ridge);
        const Dense expected =
            test::replicated(gram::apply_cross(*this->kernel, Z, X, plain.alpha));
        const double error = test::relative_difference(test::replicated(found.values), expected);
        EXPECT_TRUE(error <= 300 * this->eps) << "k " << top << " c " << c << ": " << error;
        EXPECT_EQ(found.ridge, ridge);
        EXPECT_TRUE(found.residual <= 100 * this->eps) << found.residual;
      }
  }
}

TYPED_TEST(PredictTest, TransductiveIsTheFormulaOverAllPointsTakenLiterally) {
  using T = TypeParam;
  const Index n = 13;
  const double ridge = 0.02;
  for (const Index m : {1, 6}) {  // m = 1: over n + 1 points with the ridge gamma n/(n + 1)
    const Index N = n + m;
    const Dense k = naive_kernel(n, m);
    for (const char* g : {"flat", "l^2/l1"})
      for (const Index top : {Index{4}, N}) {
        const Index c = 2;
        const Dense expected = naive_transductive(k, n, c, msk::SpectrumMap::parse(g), top, ridge);
        for (const auto shape : test::grid_shapes(this->world.size())) {
          const dist::ProcessGrid grid(this->world, shape);
          const auto X = test::row_block(this->world, n, kDimension, training_point);
          const auto Z = test::row_block(this->world, m, kDimension, test_point);
          const auto Y = test::row_block(this->world, n, c, target);
          const auto pairs = jacobi_pairs<T>(k, top, grid);
          const Transductive<T> f(*this->kernel, X, Z, pairs, mapped(g, pairs), this->small_blocks);
          const Dense found = test::replicated(f.predict(Y, ridge).values);
          const double error =
              test::difference(found, expected);  // a K_g flat on all modes predicts 0
          EXPECT_TRUE(error <= 1e4 * this->eps) << g << " m " << m << " k " << top << ": " << error;
        }
      }
  }
}

TYPED_TEST(PredictTest, TransductiveFindsItsOwnEigenpairs) {
  using T = TypeParam;
  const Index n = 13, m = 6, c = 2;
  const double ridge = 0.02;
  const Dense k = naive_kernel(n, m);
  const auto g = msk::SpectrumMap::parse("flat");
  const dist::ProcessGrid grid(this->world);
  const auto X = test::row_block(this->world, n, kDimension, training_point);
  const auto Z = test::row_block(this->world, m, kDimension, test_point);
  const auto Y = test::row_block(this->world, n, c, target);
  for (const Index top : {Index{4}, n + m}) {
    typename Transductive<T>::Options options;
    options.gram.nb = kBlock;
    options.spectral.top = top;
    const Transductive<T> f(*this->kernel, X, Z, grid, g, options);
    ASSERT_EQ(static_cast<Index>(f.spectrum().lambda.size()), top);
    const double error = test::difference(test::replicated(f.predict(Y, ridge).values),
                                          naive_transductive(k, n, c, g, top, ridge));
    EXPECT_TRUE(error <= 1e4 * this->eps) << "k " << top << ": " << error;
  }
}

TYPED_TEST(PredictTest, PairsOfOtherPointsAreRefused) {
  using T = TypeParam;
  const dist::ProcessGrid grid(this->world);
  const auto X = test::row_block(this->world, 5, kDimension, training_point);
  const auto Z = test::row_block(this->world, 4, kDimension, test_point);
  const auto pairs = jacobi_pairs<T>(naive_kernel(5, 3), 8, grid);
  EXPECT_THROW(Transductive<T>(*this->kernel, X, Z, pairs, mapped("flat", pairs)), InputError);
}

}  // namespace
}  // namespace mercer::krr
