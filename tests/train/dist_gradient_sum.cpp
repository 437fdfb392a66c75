#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "mercer/base/error.hpp"
#include "mercer/dist/row_block.hpp"
#include "mercer/msk/preconditioner.hpp"
#include "mercer/train/gradient_sum.hpp"
#include "msk/pairs.hpp"

namespace mercer::train {
namespace {

constexpr Index kSize = 10007;

/// What rank `rank` brings: of so different sizes that the sum's last bits depend on its order.
template <class T>
T part(int rank, Index i) {
  constexpr double sizes[] = {1, 3e3, -3e3, 7e-3, 1e1, -2e2};
  const double x = static_cast<double>((i * 2654435761 + rank * 40503) % 99991) / 99991;
  return static_cast<T>(sizes[(rank + static_cast<int>(i % 6)) % 6] * (x + 0.1));
}

template <class T>
std::vector<T> mine(const comm::Communicator& comm) {
  std::vector<T> g;
  for (Index i = 0; i < kSize; ++i) g.push_back(part<T>(comm.rank(), i));
  return g;
}

struct Range {
  Index first, count;
};

/// The ranges that a backward pass announces: from the last layer to the first, copy by copy, a
/// layer with its weights before its biases.
std::vector<Range> layers() {
  std::vector<Range> ranges;
  for (const Index begin : {Index{0}, Index{5000}})
    for (Index end = begin == 0 ? 5000 : kSize; end > begin;) {
      const Index weights = std::min(end - begin, 1 + end % 1301), biases = std::min(weights, 13L);
      ranges.push_back({end - weights, weights - biases});
      ranges.push_back({end - biases, biases});
      end -= weights;
    }
  std::erase_if(ranges, [](const Range& range) { return range.count == 0; });
  return ranges;
}

/// A backward pass: writes g range by range, announcing each, polling in between.
template <class T>
void pass(const typename net::Evaluator<T>::Watch& watch, std::span<T> g, int rank,
          const std::vector<Range>& ranges) {
  for (const Range& range : ranges) {
    for (Index i = range.first; i < range.first + range.count; ++i)
      g[static_cast<std::size_t>(i)] = part<T>(rank, i);
    if (watch.finished) watch.finished(range.first, range.count);
    if (watch.poll) watch.poll();
  }
}

/// EXPECT that g is the sum over the ranks, and the same on all of them to the bit.
template <class T>
void expect_sum(const comm::Communicator& comm, std::span<const T> g) {
  constexpr double tolerance = std::is_same_v<T, double> ? 1e-12 : 3e-3;  // sizes up to 3e3
  Index compared = 0;
  for (Index i = 0; i < kSize; ++i, ++compared) {
    double sum = 0;
    for (int r = 0; r < comm.size(); ++r) sum += static_cast<double>(part<T>(r, i));
    const double error = std::abs(static_cast<double>(g[static_cast<std::size_t>(i)]) - sum);
    EXPECT_TRUE(error <= tolerance) << error << " at " << i;
  }
  EXPECT_EQ(compared, kSize);
  std::vector<T> root(g.begin(), g.end());
  comm.broadcast(std::span<T>(root), 0);
  EXPECT_TRUE(std::ranges::equal(g, root)) << "ranks differ";
}

template <class T>
struct GradientSumTest : testing::Test {
  comm::Communicator world = comm::Communicator::world();
};
using Precisions = testing::Types<double, float>;
TYPED_TEST_SUITE(GradientSumTest, Precisions);

TYPED_TEST(GradientSumTest, IsTheSameSumToTheBitOnEveryRankForEveryBucketAndStep) {
  using T = TypeParam;
  const auto ranges = layers();
  for (const Index bucket : {97, 1000, 3000, 1 << 20}) {
    std::vector<T> g(kSize);
    GradientSum<T> sum(this->world, g, {.bucket = bucket});
    for (int step = 0; step < 3; ++step) {
      std::ranges::fill(g, std::numeric_limits<T>::quiet_NaN());
      pass<T>(sum.watch(), g, this->world.rank(), ranges);
      sum.finish();
      expect_sum<T>(this->world, g);
    }
  }
}

TYPED_TEST(GradientSumTest, TheTestsNumbersDoDependOnTheOrderOfTheSum) {
  using T = TypeParam;
  if (this->world.size() < 3) GTEST_SKIP() << "two numbers have one sum";
  Index differ = 0;
  for (Index i = 0; i < kSize; ++i) {
    T up = 0, down = 0;
    for (int r = 0; r < this->world.size(); ++r) {
      up += part<T>(r, i);
      down += part<T>(this->world.size() - 1 - r, i);
    }
    differ += up != down;
  }
  EXPECT_GT(differ, kSize / 20);
}

TYPED_TEST(GradientSumTest, InHalvesItIsTheSameSumAndLetsEachRankChangeItsParts) {
  using T = TypeParam;
  for (const auto start : {net::Start::antisymmetric, net::Start::gaussian})
    for (const bool overlap : {true, false})
      for (const Index bucket : {97, 1000, 1 << 20}) {
        const net::Network network(arch::parse("dense(40) relu dense(31) relu dense(2)"), 17,
                                   net::Parametrization::ntk, start);
        const auto p = static_cast<std::size_t>(network.parameters());
        std::vector<T> g(p), whole(p);
        GradientSum<T> sum(this->world, g,
                           {.bucket = bucket, .overlap = overlap, .in_halves = &network});
        const auto parts = own_parts(network, this->world.rank(), this->world.size(), bucket);
        for (std::size_t i = 0; i < p; ++i)
          whole[i] = part<T>(this->world.rank(), static_cast<Index>(i));
        const auto mine = whole;
        this->world.all_reduce(std::span<T>(whole), comm::Op::sum);
        for (int step = 0; step < 2; ++step) {
          g = mine;
          const auto watch = sum.watch();
          for (Index copy = network.copies() - 1; copy >= 0 && watch.finished; --copy)
            for (auto l = network.layers().rbegin(); l != network.layers().rend(); ++l) {
              watch.finished(copy * network.parameters_of_copy() + l->weights,
                             l->biases + l->fan_out - l->weights);
              watch.poll();
            }
          sum.reduce();
          Index own = 0;
          for (const auto& range : parts) {
            own += range.count;
            for (Index i = range.begin; i < range.begin + range.count; ++i)
              g[static_cast<std::size_t>(i)] *= T{-2};
          }
          EXPECT_EQ(this->world.all_reduce(own, comm::Op::sum), static_cast<Index>(p));
          sum.gather();
          // Two sums of P numbers in other orders, doubled.
          for (std::size_t i = 0; i < p; ++i) {
            double sizes = 0;
            for (int r = 0; r < this->world.size(); ++r)
              sizes += std::abs(static_cast<double>(part<T>(r, static_cast<Index>(i))));
            const double bound = 4 * this->world.size() * sizes *
                                 static_cast<double>(std::numeric_limits<T>::epsilon());
            ASSERT_NEAR(static_cast<double>(g[i]), -2 * static_cast<double>(whole[i]), bound) << i;
          }
        }
      }
}

TYPED_TEST(GradientSumTest, WithoutOverlapItIsOneReductionAtTheEnd) {
  using T = TypeParam;
  auto g = mine<T>(this->world);
  GradientSum<T> sum(this->world, g, {.overlap = false});
  const auto watch = sum.watch();
  EXPECT_FALSE(watch.finished || watch.poll);
  sum.finish();
  expect_sum<T>(this->world, g);
}

TYPED_TEST(GradientSumTest, APassThatWasNotWatchedIsSummedWhole) {
  using T = TypeParam;
  auto g = mine<T>(this->world);
  GradientSum<T> sum(this->world, g, {});
  sum.finish();
  expect_sum<T>(this->world, g);
}

TYPED_TEST(GradientSumTest, CountsItsBytesAndItsTime) {
  using T = TypeParam;
  const auto before = comm::bytes_sent();
  std::vector<T> g(kSize);
  GradientSum<T> sum(this->world, g, {.bucket = 777});
  pass<T>(sum.watch(), g, this->world.rank(), layers());
  sum.finish();
  const Index expected = this->world.size() > 1 ? kSize * static_cast<Index>(sizeof(T)) : 0;
  EXPECT_EQ(comm::bytes_sent() - before, expected);
  EXPECT_EQ(sum.bytes(), expected);
  EXPECT_GT(sum.waiting(), 0);
}

TYPED_TEST(GradientSumTest, APassThatLeavesEntriesOutOrNamesThemTwiceIsFoundOut) {
  using T = TypeParam;
  if (this->world.size() < 2) GTEST_SKIP() << "nothing is announced on one rank";
  auto ranges = layers();
  auto twice = ranges;
  twice.push_back(ranges[3]);
  ranges.pop_back();
  for (const auto& wrong : {ranges, twice}) {
    std::vector<T> g(kSize);
    GradientSum<T> sum(this->world, g, {.bucket = 777});
    pass<T>(sum.watch(), g, this->world.rank(), wrong);
    EXPECT_THROW(sum.finish(), RunError);
    pass<T>(sum.watch(), g, this->world.rank(), layers());  // and the next step is whole again
    sum.finish();
    expect_sum<T>(this->world, g);
  }
}

TYPED_TEST(GradientSumTest, AStepThatIsGivenUpLeavesNothingOpen) {
  using T = TypeParam;
  std::vector<T> g(kSize);
  {
    GradientSum<T> sum(this->world, g, {.bucket = 777});
    pass<T>(sum.watch(), g, this->world.rank(), layers());
  }
  EXPECT_EQ(this->world.all_reduce(1, comm::Op::sum), this->world.size());
  EXPECT_THROW(GradientSum<T>(this->world, g, {.bucket = 0}), InputError);
}

/// f(X; w) and S of n rows, of which some ranks have none: J^T S r by the ranks against J^T (S r)
/// of all rows and a dense S on one.
TYPED_TEST(GradientSumTest, OfANetworksRowsIsWhatOneRankWithAllRowsComputes) {
  using T = TypeParam;
  const double tolerance = std::is_same_v<T, double> ? 1e-12 : 1e-5;
  const net::Network network(arch::parse("dense(9) relu dense(5) gelu dense(2)", {}), 3,
                             net::Parametrization::ntk, net::Start::antisymmetric);
  const auto w = network.initial<T>(1);
  const auto p = static_cast<std::size_t>(network.parameters());
  const dist::ProcessGrid grid(this->world);
  Index compared = 0;
  for (const Index n : {2, 5, 26}) {
    const auto lambda = test::geometric(n, 1.5, 0.9);
    const test::HouseholderMatrix K(lambda);
    const auto pairs = test::householder_pairs<double>(lambda, n / 2, grid, 4);
    const auto spectrum = msk::SpectrumMap::parse("flat").apply(
        pairs.values, pairs.next, false, msk::SpectrumMap::Positivity::positive);
    const msk::Preconditioner<T> S(pairs, spectrum);
    Matrix<T> X(3, n), r(2, n), z(2, n);
    for (Index j = 0; j < n; ++j) {
      for (Index i = 0; i < 3; ++i) X(i, j) = static_cast<T>(std::sin(double(3 * j + i)));
      for (Index a = 0; a < 2; ++a) r(a, j) = static_cast<T>(std::cos(double(5 * j + a)));
    }
    for (Index j = 0; j < n; ++j)
      for (Index a = 0; a < 2; ++a) {
        double sum = static_cast<double>(r(a, j));
        for (Index k = 0; k < pairs.k(); ++k)
          for (Index i = 0; i < n; ++i)
            sum += (spectrum.ratio()[static_cast<std::size_t>(k)] - 1) * K.eigenvector(j, k) *
                   K.eigenvector(i, k) * static_cast<double>(r(a, i));
        z(a, j) = static_cast<T>(sum);
      }
    std::vector<T> expected(p);
    net::Evaluator<T>(network, n).gradient(w, X.view(), z.view(), expected, false);

    const dist::RowPartition rows{n, this->world.size()};
    const Index first = rows.begin(this->world.rank()), m = rows.size(this->world.rank());
    Matrix<T> Sr(2, m);
    S.apply(this->world, r.view().block(0, first, 2, m), Sr.view());
    for (const Index bucket : {10, 1 << 18}) {
      std::vector<T> g(p, std::numeric_limits<T>::quiet_NaN());
      GradientSum<T> sum(this->world, g, {.bucket = bucket});
      net::Evaluator<T> evaluator(network, m);
      evaluator.gradient(w, X.view().block(0, first, 3, m), Sr.view(), g, false, sum.watch());
      sum.finish();
      double largest = 0;
      for (const T x : expected) largest = std::max(largest, std::abs(static_cast<double>(x)));
      for (std::size_t i = 0; i < p; ++i, ++compared) {
        const double error = std::abs(static_cast<double>(g[i]) - static_cast<double>(expected[i]));
        EXPECT_TRUE(error <= tolerance * largest) << error << " of " << largest << " at " << i;
      }
    }
  }
  EXPECT_EQ(compared, 6 * network.parameters());
}

}  // namespace
}  // namespace mercer::train
