#include <cmath>
#include <numbers>

#include "files.hpp"

namespace mercer {
namespace {

const comm::Communicator& world() {
  static const comm::Communicator comm = comm::Communicator::world();
  return comm;
}
data::Dataset load_one(const std::string& spec, std::uint64_t seed = 0) {
  return std::move(data::load(spec, "", {.seed = seed}, world()).train);
}
/// Fraction of a turn, in [0, 1).
double turn(std::span<const double> x) {
  const double t = std::atan2(x[1], x[0]) / (2 * std::numbers::pi);
  return t < 0 ? t + 1 : t;
}

TEST(Circle, TheTargetIsTheSineOfTheAngle) {
  const auto set = load_one("circle:n=500,freq=5,amplitude=0.25");
  ASSERT_EQ(set.rows(), 500);
  double first = 0, second = 0;  // Fourier sums of uniform angles: about n^-1/2
  for (Index i = 0; i < 500; ++i) {
    const auto x = set.inputs.row(i);
    EXPECT_NEAR(std::hypot(x[0], x[1]), 1, 1e-15);
    EXPECT_NEAR(set.targets.row(i)[0], 0.25 * std::sin(5 * 2 * std::numbers::pi * turn(x)), 1e-13);
    first += x[0] / 500;
    second += x[1] / 500;
  }
  EXPECT_LE(std::hypot(first, second), 4 / std::sqrt(500.0));
}

TEST(Circle, GridPointsAreEquispacedWithAnOffsetOfTheirOwn) {
  const auto split = data::load("circle:n=48,freq=2,grid", "circle:n=48,freq=2,grid", {}, world());
  for (const auto* set : {&split.train, &*split.test})
    for (Index i = 0; i < 48; ++i) {
      const double gap = turn(set->inputs.row((i + 1) % 48)) - turn(set->inputs.row(i));
      EXPECT_NEAR(gap - std::floor(gap), 1 / 48.0, 1e-14);
    }
  EXPECT_GT(std::abs(turn(split.train.inputs.row(0)) - turn(split.test->inputs.row(0))), 1e-6);
}

TEST(Synthetic, TestPointsAreOthersAndTheTargetFunctionIsTheSame) {
  for (const std::string spec : {"circle:n=60", "sphere:n=60,d=4,degree=2", "gaussian:n=60,d=4"}) {
    const auto split = data::load(spec, spec, {}, world());
    EXPECT_NE(split.train.hash, split.test->hash);
    Index equal = 0;
    for (Index i = 0; i < 60; ++i)
      for (Index j = 0; j < 60; ++j)
        equal += split.train.inputs.row(i)[0] == split.test->inputs.row(j)[0];
    EXPECT_EQ(equal, 0) << spec;
  }
  // A linear target has one direction: it is determined by four rows and holds in all others.
  const auto split = data::load("gaussian:n=400,d=2", "gaussian:n=50,d=2", {}, world());
  const auto a = split.train.inputs.row(0), b = split.train.inputs.row(1);
  const double y0 = split.train.targets.row(0)[0], y1 = split.train.targets.row(1)[0];
  const double det = a[0] * b[1] - a[1] * b[0];
  const double e0 = (y0 * b[1] - y1 * a[1]) / det, e1 = (a[0] * y1 - b[0] * y0) / det;
  EXPECT_NEAR(std::hypot(e0, e1), 1, 1e-12);
  for (Index i = 0; i < 50; ++i) {
    const auto x = split.test->inputs.row(i);
    EXPECT_NEAR(split.test->targets.row(i)[0], e0 * x[0] + e1 * x[1], 1e-11);
  }
}

TEST(Synthetic, DependsOnTheSeedAndNotOnHowManyPointsThereAre) {
  for (const std::string spec : {"circle:n=", "sphere:d=3,n=", "gaussian:d=3,n="}) {
    const auto few = load_one(spec + "10", 5), many = load_one(spec + "100", 5);
    EXPECT_EQ(test::expect_rows(few.inputs,
                                [&](Index i, Index j) {
                                  return many.inputs.row(i)[static_cast<std::size_t>(j)];
                                }),
              10 * few.dimension());
    EXPECT_NE(few.hash, load_one(spec + "10", 6).hash);
    EXPECT_EQ(few.hash, load_one(spec + "10", 5).hash);
  }
}

TEST(Sphere, TheTargetIsAHarmonicOfItsDegreeWithMeanSquareOne) {
  for (Index degree : {0, 1, 2, 5})
    for (Index d : {2, 3, 6}) {
      const auto set = load_one(fmt::format("sphere:n=4000,d={},degree={}", d, degree));
      double square = 0, mean = 0;
      for (Index i = 0; i < 4000; ++i) {
        double norm = 0;
        for (double x : set.inputs.row(i)) norm += x * x;
        EXPECT_NEAR(norm, 1, 1e-14);
        square += std::pow(set.targets.row(i)[0], 2) / 4000;
        mean += set.targets.row(i)[0] / 4000;
      }
      EXPECT_NEAR(square, 1, 0.25) << "d " << d << ", degree " << degree;
      EXPECT_NEAR(mean, degree == 0 ? 1 : 0, 0.08);
    }
}

TEST(Sphere, DegreeTwoInThreeDimensionsIsTheLegendrePolynomial) {
  // y = sqrt(5) (3 t^2 - 1)/2 with t = <x, e> gives |t|; degree 1 with the same seed gives t
  // itself.
  const auto linear = load_one("sphere:n=200,d=3,degree=1"),
             square = load_one("sphere:n=200,d=3,degree=2");
  EXPECT_EQ(test::expect_rows(
                square.targets,
                [&](Index i, Index) {
                  const double t = linear.targets.row(i)[0] / std::sqrt(3.0);
                  return std::sqrt(5.0) * (3 * t * t - 1) / 2;
                },
                1e-14),
            200);
}

TEST(Gaussian, HasUnitVariancesAndNoCorrelation) {
  const auto set = load_one("gaussian:n=20000,d=3");
  double moments[3][3] = {};
  for (Index i = 0; i < 20000; ++i)
    for (std::size_t a = 0; a < 3; ++a)
      for (std::size_t b = 0; b < 3; ++b)
        moments[a][b] += set.inputs.row(i)[a] * set.inputs.row(i)[b] / 20000;
  for (int a = 0; a < 3; ++a)
    for (int b = 0; b < 3; ++b) EXPECT_NEAR(moments[a][b], a == b ? 1 : 0, 0.05);
}

}  // namespace
}  // namespace mercer
