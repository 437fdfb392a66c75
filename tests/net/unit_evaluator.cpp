#include <gtest/gtest.h>

#include "networks.hpp"
#include "support/counted_allocations.hpp"
#include "support/golden.hpp"

namespace mercer {
namespace {

using net::Evaluator, net::Parametrization, net::Start;
using test::Difference;

// The stored finite networks: outputs, norms of the Jacobian and, for one output, all of it.
TEST(Evaluator, ReproducesTheStoredNetworksToTwelveDigits) {
  if (test::golden_dir().empty())
    GTEST_SKIP() << "MERCER_GOLDEN_DIR is not set: no reference networks to compare with";
  const test::GoldenFile file("empirical_mlp");
  Index jacobians = 0, norms = 0;
  for (const std::string& name : file.cases()) {
    const auto X = file.transposed(name + "/X"), f = file.transposed(name + "/f");
    const Index width = static_cast<Index>(file.number(name, "width"));
    arch::Options options;
    options.weight_std = file.number(name, "W_std");
    options.bias_std = file.number(name, "b_std");
    const net::Network network(
        arch::parse(fmt::format("dense({0}) relu dense({0}) relu dense({1})", width, f.rows()),
                    options),
        X.rows(), Parametrization::ntk, Start::gaussian);
    std::vector<double> w;
    for (const char* part : {"W1", "b1", "W2", "b2", "W3", "b3"}) {
      const auto values = file.transposed(name + "/" + part);
      w.insert(w.end(), values.data(), values.data() + values.size());
    }
    ASSERT_EQ(static_cast<Index>(w.size()), network.parameters());

    Evaluator<double> evaluator(network, X.cols());
    Matrix<double> F(f.rows(), f.cols(), test::kNotWritten);
    evaluator.outputs(w, X.view(), F.view());
    Difference outputs;
    for (Index k = 0; k < f.size(); ++k) outputs.add(F.data()[k], f.data()[k]);
    EXPECT_LE(outputs.relative(), 1e-12) << name;

    const auto J = test::jacobian(network, evaluator, w, X.view());
    const auto norm = file.transposed(name + "/jac_norm");
    Difference of_norms, of_entries;
    for (Index j = 0; j < X.cols(); ++j, ++norms) {
      double square = 0;
      for (Index k = j * f.rows(); k < (j + 1) * f.rows(); ++k)
        for (Index i = 0; i < J.rows(); ++i) square += J(i, k) * J(i, k);
      of_norms.add(std::sqrt(square), norm.data()[j]);
    }
    EXPECT_LE(of_norms.relative(), 1e-12) << name;
    if (!file.contains(name + "/jacobian")) continue;
    const auto expected = file.transposed(name + "/jacobian");
    ASSERT_EQ(expected.size(), J.size());
    for (Index k = 0; k < J.size(); ++k, ++jacobians)
      of_entries.add(J.data()[k], expected.data()[k]);
    EXPECT_LE(of_entries.relative(), 1e-12) << name;
  }
  EXPECT_EQ(norms, 16);
  EXPECT_EQ(jacobians, 8 * 4545);
}

constexpr Index kInputs = 5, kRows = 37;

/// Everything that an evaluator gives for one problem.
template <class T>
struct Answers {
  Matrix<T> F, Fu;
  std::vector<T> g;
};

template <class T>
Answers<T> answers(const net::Network& network, double memory, bool kept) {
  const auto X = test::gaussian_matrix(network.inputs(), kRows, 1);
  const auto seed = test::gaussian_matrix(network.outputs(), kRows, 2);
  const auto u = test::gaussian_matrix(network.parameters(), 1, 3);
  const auto w = test::gaussian_parameters(network);
  const auto convert = [](const Matrix<double>& A) {
    Matrix<T> B(A.rows(), A.cols());
    for (Index k = 0; k < A.size(); ++k) B.data()[k] = static_cast<T>(A.data()[k]);
    return B;
  };
  const auto XT = convert(X), seedT = convert(seed), uT = convert(u);
  const std::vector<T> wT(w.begin(), w.end());
  Evaluator<T> evaluator(network, kRows, memory);
  const T nan = static_cast<T>(test::kNotWritten);
  Answers<T> a{Matrix<T>(network.outputs(), kRows, nan), Matrix<T>(network.outputs(), kRows, nan),
               std::vector<T>(w.size(), nan)};
  evaluator.outputs(wT, XT.view(), a.F.view());
  evaluator.jvp(wT, std::span(uT.data(), wT.size()), XT.view(), a.Fu.view(), kept);
  evaluator.gradient(wT, XT.view(), seedT.view(), a.g, kept);
  return a;
}

template <class T, class U>
double largest_difference(const Answers<T>& a, const Answers<U>& b, Index& compared) {
  Difference F, Fu, g;
  for (Index k = 0; k < a.F.size(); ++k) {
    F.add(static_cast<double>(a.F.data()[k]), static_cast<double>(b.F.data()[k]));
    Fu.add(static_cast<double>(a.Fu.data()[k]), static_cast<double>(b.Fu.data()[k]));
  }
  for (std::size_t i = 0; i < a.g.size(); ++i)
    g.add(static_cast<double>(a.g[i]), static_cast<double>(b.g[i]));
  compared += F.compared + Fu.compared + g.compared;
  double largest = 0;
  for (const Difference* d : {&F, &Fu, &g})
    if (!(d->relative() <= largest)) largest = d->relative();
  return largest;
}

class EveryNetwork : public testing::TestWithParam<std::string> {
 protected:
  const net::Network network =
      test::network_of(GetParam(), kInputs, Parametrization::ntk, Start::antisymmetric);
  Index compared = 0;
  const Index all = network.parameters() + 2 * network.outputs() * kRows;
};

TEST_P(EveryNetwork, GivesTheSameInBatchesOfAnyHeight) {
  const auto whole = answers<double>(network, 1e9, true);
  const double needed = Evaluator<double>::bytes(network, kRows);
  for (const double memory : {1.0, needed / 10, 0.99 * needed}) {
    const Evaluator<double> evaluator(network, kRows, memory);
    EXPECT_TRUE(memory > 1 || evaluator.rows_kept() == 1);
    EXPECT_FALSE(evaluator.keeps_all());
    EXPECT_LE(largest_difference(answers<double>(network, memory, true), whole, compared), 1e-13);
  }
  EXPECT_EQ(compared, 3 * all);
}

TEST_P(EveryNetwork, GivesTheSameBitsFromKeptActivations) {
  EXPECT_EQ(largest_difference(answers<double>(network, 1e9, true),
                               answers<double>(network, 1e9, false), compared),
            0);
  EXPECT_EQ(compared, all);
}

TEST_P(EveryNetwork, GivesInSinglePrecisionWhatItGivesInDouble) {
  EXPECT_LE(largest_difference(answers<float>(network, 1e9, true),
                               answers<double>(network, 1e9, true), compared),
            5e-6);
  EXPECT_EQ(compared, all);
}

// Ranges of finished entries are disjoint, cover [0, p), come from the end to the beginning, and
// hold their final values at once.
TEST_P(EveryNetwork, AnnouncesEachEntryOfTheGradientOnceAndFinished) {
  const auto X = test::gaussian_matrix(network.inputs(), kRows, 1);
  const auto seed = test::gaussian_matrix(network.outputs(), kRows, 2);
  const auto w = test::gaussian_parameters(network);
  for (const double memory : {1e9, 3000.0, 1.0})
    for (const Index m : {kRows, Index{0}}) {
      Evaluator<double> evaluator(network, kRows, memory);
      std::vector<double> g(w.size(), test::kNotWritten), then = g;
      std::vector<int> announced(w.size());
      Index polls = 0, before = network.parameters();
      bool descending = true;
      const Evaluator<double>::Watch watch{[&](Index first, Index count) {
                                             descending = descending && first + count == before;
                                             before = first;
                                             for (Index i = first; i < first + count; ++i) {
                                               ++announced[static_cast<std::size_t>(i)];
                                               then[static_cast<std::size_t>(i)] =
                                                   g[static_cast<std::size_t>(i)];
                                             }
                                           },
                                           [&] { ++polls; }};
      evaluator.gradient(w, X.view().block(0, 0, network.inputs(), m),
                         seed.view().block(0, 0, network.outputs(), m), g, false, watch);
      EXPECT_TRUE(descending);
      EXPECT_GE(polls, static_cast<Index>(network.layers().size()));
      for (std::size_t i = 0; i < w.size(); ++i) {
        EXPECT_EQ(announced[i], 1);
        EXPECT_EQ(then[i], g[i]);
        EXPECT_TRUE(std::isfinite(g[i]));
        EXPECT_TRUE(m > 0 || g[i] == 0);
      }
    }
}

TEST_P(EveryNetwork, StartsWithZeroOutput) {
  const auto X = test::gaussian_matrix(network.inputs(), kRows, 1);
  Index compared = 0;
  const auto check = [&]<class T>(T) {
    const auto w = network.initial<T>(5);
    Matrix<T> XT(network.inputs(), kRows), F(network.outputs(), kRows, T(1));
    for (Index k = 0; k < X.size(); ++k) XT.data()[k] = static_cast<T>(X.data()[k]);
    for (const double memory : {1e9, 1.0}) {
      Evaluator<T> evaluator(network, kRows, memory);
      evaluator.outputs(w, XT.view(), F.view());
      for (Index k = 0; k < F.size(); ++k, ++compared) EXPECT_EQ(F.data()[k], T(0));
    }
  };
  check(0.0);
  check(0.0f);
  EXPECT_EQ(compared, 4 * network.outputs() * kRows);
}

TEST_P(EveryNetwork, LetsNoNaNDisappear) {
  const auto X = test::gaussian_matrix(network.inputs(), kRows, 1);
  auto w = test::gaussian_parameters(network);
  w[0] = test::kNotWritten;
  Matrix<double> F(network.outputs(), kRows, 0.0);
  Evaluator<double> evaluator(network, kRows);
  evaluator.outputs(w, X.view(), F.view());
  Index nans = 0;
  for (Index k = 0; k < F.size(); ++k) nans += std::isnan(F.data()[k]);
  EXPECT_EQ(nans, GetParam() == "dense(3)" ? kRows : F.size());
}

TEST_P(EveryNetwork, AllocatesNothingInACall) {
  const auto X = test::gaussian_matrix(network.inputs(), kRows, 1);
  const auto seed = test::gaussian_matrix(network.outputs(), kRows, 2);
  const auto w = test::gaussian_parameters(network);
  std::vector<double> g(w.size());
  Matrix<double> F(network.outputs(), kRows);
  for (const double memory : {1e9, Evaluator<double>::bytes(network, kRows) / 2}) {
    Evaluator<double> evaluator(network, kRows, memory);
    const long long before = allocations;
    evaluator.outputs(w, X.view(), F.view());
    evaluator.gradient(w, X.view(), seed.view(), g, true);
    evaluator.jvp(w, g, X.view(), F.view(), true);
    evaluator.gradient(w, X.view(), seed.view(), g, false);
    EXPECT_EQ(allocations.load(), before);
  }
}

INSTANTIATE_TEST_SUITE_P(Evaluator, EveryNetwork, testing::ValuesIn(test::architectures()));

// Columns of 2048 bytes or more lie apart in the buffers, but those of images; one row at a time
// has no gaps. The readout of a large image is computed in pieces of a batch.
TEST(Evaluator, GivesTheSameWhereColumnsHaveGaps) {
  for (const char* text : {"dense(256) res(relu dense(256)) tanh dense(257) relu dense(2)",
                           "dense(512) tanh dense(512) res(gelu dense(512)) relu dense(260)",
                           "40x40x1: conv(3,3) tanh flatten dense(2)",
                           "40x40x1: conv(3,3) relu avgpool(2) conv(3,2) relu flatten dense(300)"})
    for (const Start start : {Start::gaussian, Start::antisymmetric}) {
      const auto network = test::network_of(text, kInputs, Parametrization::ntk, start);
      Index compared = 0;
      EXPECT_LE(largest_difference(answers<double>(network, 1e9, true),
                                   answers<double>(network, 1.0, false), compared),
                1e-13)
          << text;
      EXPECT_EQ(compared, network.parameters() + 2 * network.outputs() * kRows);
    }
}

TEST(Evaluator, StartsAWideNetworkWithZeroOutput) {
  const auto network = test::network_of("dense(600) relu dense(300) relu dense(10)", 100,
                                        Parametrization::ntk, Start::antisymmetric);
  const auto X = test::gaussian_matrix(100, 333, 1);
  const auto w = network.initial<double>(0);
  Matrix<double> F(10, 333, 1.0);
  Evaluator<double> evaluator(network, 333);
  evaluator.outputs(w, X.view(), F.view());
  for (Index k = 0; k < F.size(); ++k) ASSERT_EQ(F.data()[k], 0);
}

// More rows than a pass takes, all of them kept, and columns that do not lie side by side.
TEST(Evaluator, KeepsTheActivationsOfManyBatches) {
  const auto network = test::network_of("dense(3) tanh dense(4) relu dense(2)", 2,
                                        Parametrization::ntk, Start::antisymmetric);
  const Index rows = 9001, piece = 1000;
  const auto wide_X = test::gaussian_matrix(5, rows, 1),
             wide_seed = test::gaussian_matrix(3, rows, 2);
  const auto X = wide_X.view().block(1, 0, 2, rows), seed = wide_seed.view().block(1, 0, 2, rows);
  const auto w = test::gaussian_parameters(network);
  const auto u = test::gaussian_matrix(network.parameters(), 1, 3);
  const std::span<const double> direction(u.data(), w.size());
  Evaluator<double> evaluator(network, rows), small(network, piece);
  ASSERT_TRUE(evaluator.keeps_all());
  Matrix<double> F(2, rows, test::kNotWritten), Fu(2, rows, test::kNotWritten), Fp(2, piece),
      Fup(2, piece);
  std::vector<double> g(w.size(), test::kNotWritten), part(w.size()), total(w.size());
  evaluator.outputs(w, X, F.view());
  evaluator.jvp(w, direction, X, Fu.view(), true);
  evaluator.gradient(w, X, seed, g, true);
  Difference outputs, tangents, gradient;
  for (Index first = 0; first < rows; first += piece) {
    const Index m = std::min(piece, rows - first);
    const auto x = X.block(0, first, 2, m);
    small.outputs(w, x, Fp.view().block(0, 0, 2, m));
    small.jvp(w, direction, x, Fup.view().block(0, 0, 2, m));
    small.gradient(w, x, seed.block(0, first, 2, m), part, false);
    for (std::size_t i = 0; i < w.size(); ++i) total[i] += part[i];
    for (Index j = 0; j < m; ++j)
      for (Index a = 0; a < 2; ++a) {
        outputs.add(F(a, first + j), Fp(a, j));
        tangents.add(Fu(a, first + j), Fup(a, j));
      }
  }
  for (std::size_t i = 0; i < w.size(); ++i) gradient.add(g[i], total[i]);
  EXPECT_LE(outputs.relative(), 1e-14);
  EXPECT_LE(tangents.relative(), 1e-14);
  EXPECT_LE(gradient.relative(), 1e-13);
  EXPECT_EQ(outputs.compared, 2 * rows);
  EXPECT_EQ(gradient.compared, network.parameters());
}

// The memory plan: what is announced is what is taken, and no more than was given.
TEST(Evaluator, HoldsTheBytesThatItAnnounces) {
  const auto network =
      test::network_of("dense(300) res(relu dense(300)) gelu dense(200) relu dense(10)", 50,
                       Parametrization::ntk, Start::antisymmetric);
  const Index rows = 1000;
  const double all = Evaluator<float>::bytes(network, rows, 1e12);
  for (const double memory : {all, 0.99 * all, all / 7, all / 50}) {
    const long long before = allocated;
    const Evaluator<float> evaluator(network, rows, memory);
    const double bytes = Evaluator<float>::bytes(network, rows, memory);
    EXPECT_LE(bytes, memory);
    EXPECT_NEAR(static_cast<double>(allocated - before), bytes, 0.01 * bytes + 20000);
    EXPECT_EQ(evaluator.keeps_all(), memory == all);
  }
}

TEST(Evaluator, RefusesShapesThatDoNotAgree) {
  const auto network =
      test::network_of("dense(6) relu dense(2)", 3, Parametrization::ntk, Start::gaussian);
  Evaluator<double> evaluator(network, 4);
  auto w = network.initial<double>(0);
  Matrix<double> X(3, 4, 0.0), F(2, 4), tall(3, 5, 0.0), wide(4, 4, 0.0);
  EXPECT_THROW(evaluator.outputs(w, tall.view(), F.view()), InputError);
  EXPECT_THROW(evaluator.outputs(w, wide.view(), F.view()), InputError);
  EXPECT_THROW(evaluator.outputs(w, X.view(), wide.view()), InputError);
  EXPECT_THROW(evaluator.outputs(std::span(w).first(7), X.view(), F.view()), InputError);
  EXPECT_THROW(evaluator.gradient(w, X.view(), F.view(), std::span(w).first(7), false), InputError);
  EXPECT_THROW(evaluator.gradient(w, X.view(), wide.view(), w, false), InputError);
}

// What was kept belongs to the rows of the last outputs(): other rows are computed again.
TEST(Evaluator, KnowsWhenTheKeptActivationsAreOfOtherRows) {
  const auto network =
      test::network_of("dense(6) tanh dense(2)", kInputs, Parametrization::ntk, Start::gaussian);
  const auto X = test::gaussian_matrix(kInputs, kRows, 1),
             Z = test::gaussian_matrix(kInputs, kRows, 4);
  const auto seed = test::gaussian_matrix(2, kRows, 2);
  const auto w = test::gaussian_parameters(network);
  Evaluator<double> evaluator(network, kRows);
  Matrix<double> F(2, kRows);
  std::vector<double> right(w.size()), g(w.size(), test::kNotWritten);
  evaluator.gradient(w, X.view(), seed.view(), right, false);
  evaluator.outputs(w, Z.view(), F.view());
  evaluator.gradient(w, X.view(), seed.view(), g, true);
  EXPECT_EQ(g, right);
  evaluator.outputs(w, X.view(), F.view());
  evaluator.gradient(w, Z.view(), seed.view(), g, false);
  evaluator.gradient(w, X.view(), seed.view(), g, true);
  EXPECT_EQ(g, right);
}

TEST(Evaluator, OfNoRowsGivesNothing) {
  const auto network =
      test::network_of("dense(6) tanh dense(2)", kInputs, Parametrization::ntk, Start::gaussian);
  const auto w = test::gaussian_parameters(network);
  Evaluator<double> evaluator(network, 0);
  Matrix<double> X(kInputs, 0), F(2, 0);
  std::vector<double> g(w.size(), test::kNotWritten);
  evaluator.outputs(w, X.view(), F.view());
  evaluator.jvp(w, w, X.view(), F.view());
  evaluator.gradient(w, X.view(), F.view(), g, true);
  EXPECT_EQ(g, std::vector<double>(w.size(), 0.0));
}

}  // namespace
}  // namespace mercer
