#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "krr/naive.hpp"
#include "mercer/base/error.hpp"
#include "mercer/krr/score.hpp"
#include "support/compare.hpp"

namespace mercer::krr {
namespace {

using dist::RowBlock;

double target(Index i, Index o) {
  return std::sin(static_cast<double>(3 * i + o));
}

TEST(Score, MeansAreOverRowsAndOutputs) {
  const auto world = comm::Communicator::world();
  for (const Index m : {1, 2, 7, 23}) {
    const Index c = 2;
    const auto F =
        test::row_block(world, m, c, [](Index i, Index o) { return static_cast<double>(i + o); });
    const auto Y = test::row_block(world, m, c, [](Index i, Index o) {
      return static_cast<double>(i + o) + (o == 0 ? 3 : -4);
    });
    EXPECT_DOUBLE_EQ(mse(F, Y), 12.5);
    EXPECT_DOUBLE_EQ(rmse(F, Y), std::sqrt(12.5));
    const double deviation[] = {3, 2};
    EXPECT_DOUBLE_EQ(rmse_standardized(F, Y, deviation), std::sqrt((1.0 + 4.0) / 2));
    EXPECT_THROW(rmse_standardized(F, Y, std::span<const double>(deviation, 1)), InputError);
    EXPECT_THROW(mse(F, test::row_block(world, m + 1, c, target)), InputError);
    EXPECT_THROW(mse(F, test::row_block(world, m, c + 1, target)), InputError);
    const auto broken =
        test::row_block(world, m, c, [](Index i, Index) { return i == 0 ? test::kNaN : 0.0; });
    EXPECT_TRUE(std::isnan(mse(broken, Y)));
  }
  const RowBlock<double> none(world, 0, 1);
  EXPECT_THROW(mse(none, none), InputError);
}

TEST(Score, MeanSquaresAreThoseOfEveryOutput) {
  const auto world = comm::Communicator::world();
  const auto E = test::row_block(
      world, 4, 2, [](Index i, Index o) { return o == 0 ? static_cast<double>(i) : -2.0; });
  const auto squares = mean_squares(E);
  ASSERT_EQ(squares.size(), 2U);
  EXPECT_DOUBLE_EQ(squares[0], (0.0 + 1 + 4 + 9) / 4);
  EXPECT_DOUBLE_EQ(squares[1], 4);
  EXPECT_THROW(mean_squares(RowBlock<double>(world, 0, 2)), InputError);
}

TEST(Score, RSquaredIsOneMinusTheUnexplainedShareOfEveryOutput) {
  const auto world = comm::Communicator::world();
  const double y[4][3] = {{1, 10, 0.1}, {2, 30, 0.1}, {3, 10, 0.1}, {4, 30, 0.1}};
  const double f[4][3] = {{1, 20, 0.1}, {2, 20, 0.1}, {3, 20, 0.3}, {5, 60, 0.1}};
  const auto Y = test::row_block(world, 4, 3, [&](Index i, Index o) { return y[i][o]; });
  const auto F = test::row_block(world, 4, 3, [&](Index i, Index o) { return f[i][o]; });
  const auto all = r_squared_by_output(F, Y);
  EXPECT_DOUBLE_EQ(all[0], 1 - 1.0 / 5);              // SSE 1, SST 2.25 + 0.25 + 0.25 + 2.25
  EXPECT_DOUBLE_EQ(all[1], 1 - (300.0 + 900) / 400);  // worse than the mean
  EXPECT_TRUE(std::isnan(all[2]));                    // SST = 0, though the mean of 0.1 rounds
  EXPECT_DOUBLE_EQ(r_squared(F, Y), (0.8 - 2) / 2);

  const auto scaled = [&](const double(&values)[4][3]) {
    return test::row_block(world, 4, 3, [&](Index i, Index o) { return -7 * values[i][o] + 900; });
  };
  EXPECT_NEAR(r_squared(scaled(f), scaled(y)), -0.6, 1e-12);
  const auto one = test::row_block(world, 1, 1, [](Index, Index) { return 5.0; });
  EXPECT_TRUE(std::isnan(r_squared(one, one)));
  const auto broken = test::row_block(
      world, 4, 3, [&](Index i, Index o) { return i == 2 && o == 1 ? test::kNaN : f[i][o]; });
  EXPECT_TRUE(std::isnan(r_squared(broken, Y)));
  EXPECT_THROW(r_squared(one, Y), InputError);
}

/// This rank's part of what all rows have.
std::vector<Index> own(const RowBlock<double>& rows, const std::vector<Index>& of_all) {
  return {of_all.begin() + rows.first_row(), of_all.begin() + rows.first_row() + rows.local_rows()};
}

TEST(Score, TheClassIsTheLargestOutput) {
  const auto world = comm::Communicator::world();
  const double f[6][3] = {{0, 1, 0},    {2, 1, 0},          {1, 1, 0},
                          {-3, -2, -1}, {test::kNaN, 5, 0}, {0, 0, 7}};
  const auto F = test::row_block(world, 6, 3, [&](Index i, Index o) { return f[i][o]; });
  const std::vector<double> values{7, 8, 60000};
  EXPECT_EQ(predicted_classes(F, values), own(F, {1, 0, 0, 2, -1, 2}));
  EXPECT_DOUBLE_EQ(accuracy(F, own(F, {1, 0, 0, 2, 1, 0}), values), 4.0 / 6);
  EXPECT_DOUBLE_EQ(accuracy(F, own(F, {0, 1, 1, 1, 0, 1}), values), 0);
  EXPECT_THROW(predicted_classes(F, std::vector<double>{0, 1}), InputError);
}

TEST(Score, ASingleOutputMeansTheNearestOfAllClassesWhicheverOccur) {
  const auto world = comm::Communicator::world();
  const double f[] = {0.2, -0.7, 9, -0.01, test::kNaN};
  const auto F = test::row_block(world, 5, 1, [&](Index i, Index) { return f[i]; });
  const std::vector<double> signs{-1, 1};
  EXPECT_DOUBLE_EQ(accuracy(F, own(F, {1, 0, 1, 0, 1}), signs), 0.8);
  EXPECT_DOUBLE_EQ(accuracy(F, own(F, {1, 1, 1, 1, 1}), signs), 0.4);  // one class in the test set
  EXPECT_DOUBLE_EQ(accuracy(F, own(F, {1, 1, 2, 1, 1}), std::vector<double>{-20, 0, 9}), 0.8);
  EXPECT_THROW(accuracy(F, std::vector<Index>(static_cast<std::size_t>(F.local_rows()) + 1), signs),
               Error);
  EXPECT_THROW(accuracy(F, own(F, {0, 0, 0, 0, 2}), signs), Error);
}

TEST(Score, TheConfusionMatrixCountsTrueAgainstPredicted) {
  const auto world = comm::Communicator::world();
  const std::vector<Index> labels{0, 0, 0, 1, 1, 3, 3, 3, 3}, predicted{0, 1, -1, 1, 1, 3, 0, 3, 2};
  const auto rows = test::row_block(world, 9, 1, [](Index, Index) { return 0.0; });
  const Confusion confusion(world, own(rows, predicted), own(rows, labels), 4);
  const Index expected[4][4] = {{1, 1, 0, 0}, {0, 2, 0, 0}, {0, 0, 0, 0}, {1, 0, 1, 2}};
  ASSERT_TRUE(confusion.has_matrix());
  for (Index t = 0; t < 4; ++t)
    for (Index p = 0; p < 4; ++p) EXPECT_EQ(confusion(t, p), expected[t][p]) << t << " " << p;
  EXPECT_EQ(confusion.rows(0), 3);
  EXPECT_DOUBLE_EQ(confusion.accuracy(), 5.0 / 9);
  const auto by_class = confusion.accuracy_by_class();
  EXPECT_DOUBLE_EQ(by_class[0], 1.0 / 3);
  EXPECT_DOUBLE_EQ(by_class[1], 1);
  EXPECT_TRUE(std::isnan(by_class[2]));
  EXPECT_DOUBLE_EQ(by_class[3], 0.5);
  EXPECT_THROW(Confusion(world, {}, {}, 4), InputError);

  const Confusion many(world, own(rows, predicted), own(rows, labels), 5000);
  EXPECT_FALSE(many.has_matrix());
  EXPECT_DOUBLE_EQ(many.accuracy(), 5.0 / 9);
  EXPECT_DOUBLE_EQ(many.accuracy_by_class()[3], 0.5);
}

/// n rows of c outputs, the first s and the others 0; the first `right` rows are of class 0.
struct Alike {
  Alike(const comm::Communicator& world, Index n, Index c, Index right, double s)
      : F(test::row_block(world, n, c, [s](Index, Index o) { return o == 0 ? s : 0.0; })) {
    for (Index i = 0; i < F.local_rows(); ++i) labels.push_back(F.first_row() + i < right ? 0 : 1);
  }
  RowBlock<double> F;
  std::vector<Index> labels;
};

TEST(Score, ATemperatureGivesEqualRowsTheirShareWithOneRowMore) {
  const auto world = comm::Communicator::world();
  for (const Index c : {2, 3, 10})
    for (const double s : {1.0, 1e-6, 3e4})
      for (const Index right : {5, 8, 9}) {
        const Index n = 9;
        const Alike rows(world, n, c, right, s);
        const double p =
            (static_cast<double>(right) + 1 / static_cast<double>(c)) / static_cast<double>(n + 1);
        const double expected = s / std::log(p / (1 - p) * static_cast<double>(c - 1));
        const double found = fit_temperature(rows.F, rows.labels);
        EXPECT_NEAR(found / expected, 1, 1e-9) << c << " " << s << " " << right;
        const auto P = probabilities(rows.F, found);
        for (Index i = 0; i < P.local_rows(); ++i) {
          EXPECT_NEAR(P.row(i)[0], p, 1e-9);
          EXPECT_NEAR(P.row(i)[1], (1 - p) / static_cast<double>(c - 1), 1e-9);
        }
        const double others = static_cast<double>(n - right) / static_cast<double>(n);
        EXPECT_NEAR(
            log_loss(rows.F, rows.labels, found),
            -(1 - others) * std::log(p) - others * std::log((1 - p) / static_cast<double>(c - 1)),
            1e-9);
      }
}

TEST(Score, NoTemperatureIsBetterThanNoneForPredictionsThatTellNothing) {
  const auto world = comm::Communicator::world();
  const Alike wrong(world, 8, 2, 3, 1.0), flat(world, 8, 3, 8, 0.0);
  for (const Alike* rows : {&wrong, &flat}) {
    const double T = fit_temperature(rows->F, rows->labels);
    EXPECT_EQ(T, std::numeric_limits<double>::infinity());
    const double classes = static_cast<double>(rows->F.cols());
    const auto P = probabilities(rows->F, T);
    for (const double p : P.values()) EXPECT_DOUBLE_EQ(p, 1 / classes);
    EXPECT_DOUBLE_EQ(log_loss(rows->F, rows->labels, T), std::log(classes));
  }
}

TEST(Score, TheTemperatureIsTheLeastOfItsLoss) {
  const auto world = comm::Communicator::world();
  const Index n = 50, c = 3;
  const auto F = test::row_block(world, n, c, [](Index i, Index o) {
    return (i % 3 == o ? 0.6 : 0.0) + 0.5 * std::sin(static_cast<double>(7 * i + 3 * o));
  });
  std::vector<Index> labels;
  for (Index i = 0; i < F.local_rows(); ++i)
    labels.push_back((F.first_row() + i) % 11 == 0 ? 0 : (F.first_row() + i) % 3);
  const auto loss = [&](double T) {  // with one row more, of any class alike
    double sum = 0;
    for (Index i = 0; i < F.local_rows(); ++i) {
      double total = 0, mean = 0;
      for (const double f : F.row(i)) {
        total += std::exp(f / T);
        mean += f / T;
      }
      const double own =
          F.row(i)[static_cast<std::size_t>(labels[static_cast<std::size_t>(i)])] / T;
      sum += std::log(total) - (n * own + mean / c) / (n + 1);
    }
    return world.all_reduce(sum, comm::Op::sum) / n;
  };
  const double T = fit_temperature(F, labels);
  EXPECT_TRUE(loss(T) <= loss(1.001 * T)) << T;
  EXPECT_TRUE(loss(T) <= loss(0.999 * T)) << T;
  EXPECT_NEAR((loss(1.0001 * T) - loss(0.9999 * T)) / (2e-4 * loss(T)), 0, 1e-6);
}

TEST(Score, ProbabilitiesNeitherOverflowNorAreTakenFromNonsense) {
  const auto world = comm::Communicator::world();
  const auto F = test::row_block(world, 3, 2, [](Index, Index o) { return o == 0 ? 1e8 : -1e8; });
  const std::vector<Index> second(static_cast<std::size_t>(F.local_rows()), 1);
  const auto P = probabilities(F, 1);
  for (Index i = 0; i < P.local_rows(); ++i) {
    EXPECT_EQ(P.row(i)[0], 1);
    EXPECT_EQ(P.row(i)[1], 0);
  }
  EXPECT_DOUBLE_EQ(log_loss(F, second, 1), 2e8);
  EXPECT_THROW(probabilities(F, 0), InputError);
  EXPECT_THROW(probabilities(F, test::kNaN), InputError);
  const auto one = test::row_block(world, 3, 1, [](Index, Index) { return 0.0; });
  EXPECT_THROW(fit_temperature(one, second), InputError);
  const auto broken =
      test::row_block(world, 3, 2, [](Index i, Index) { return i == 1 ? test::kNaN : 1.0; });
  EXPECT_THROW(fit_temperature(broken, second), Error);
  const std::vector<Index> unknown(static_cast<std::size_t>(F.local_rows()), 2);
  EXPECT_THROW(fit_temperature(F, unknown), Error);
}

}  // namespace
}  // namespace mercer::krr
