#include <cmath>

#include "files.hpp"

namespace mercer {
namespace {

using test::TemporaryFolder;

const comm::Communicator& world() {
  static const comm::Communicator comm = comm::Communicator::world();
  return comm;
}

constexpr Index kRows = 40;
double input(Index i, Index j) {
  return j == 2 ? 0.1
                : std::sin(static_cast<double>(3 * i + j)) * static_cast<double>(10 * j + 1) + 5;
}
double target(Index i) {
  return 100 + std::cos(static_cast<double>(i));
}

std::string table(const TemporaryFolder& folder, const std::string& name) {
  std::string text;
  for (Index i = 0; i < kRows; ++i) {
    for (Index j = 0; j < 3; ++j) text += fmt::format("{},", input(i, j));
    text += fmt::format("{}\n", target(i));
  }
  return folder.write(name, text);
}

struct Column {
  long double mean = 0, deviation = 0;
};
template <class F>
Column moments(Index n, F&& f) {
  Column c;
  for (Index i = 0; i < n; ++i) c.mean += f(i);
  c.mean /= static_cast<long double>(n);
  for (Index i = 0; i < n; ++i) c.deviation += (f(i) - c.mean) * (f(i) - c.mean);
  c.deviation = std::sqrt(c.deviation / static_cast<long double>(n));
  return c;
}

TEST(Standardize, UsesTheTrainingRowsMeanAndPopulationDeviation) {
  TemporaryFolder folder;
  const auto path = table(folder, "x.csv");
  std::string mask;
  for (Index i = 0; i < kRows; ++i) mask += i < 30 ? "1,0\n" : "0,1\n";
  data::Options options;
  options.split = folder.write("mask.csv.gz", mask) + ":1";
  options.scale = 3;
  options.standardize = true;
  const auto split = data::load(path, "", options, world());
  ASSERT_EQ(split.train.rows(), 30);
  ASSERT_EQ(split.test->rows(), 10);
  const auto expected = [&](Index i, Index j) {
    if (j == 2) return 0.0;
    const Column c =
        moments(30, [&](Index k) { return 3 * static_cast<long double>(input(k, j)); });
    return static_cast<double>((3 * static_cast<long double>(input(i, j)) - c.mean) / c.deviation);
  };
  EXPECT_EQ(test::expect_rows(split.train.inputs, expected, 1e-14), 90);
  EXPECT_EQ(test::expect_rows(
                split.test->inputs, [&](Index i, Index j) { return expected(i + 30, j); }, 1e-14),
            30);
  const Column c = moments(30, [](Index k) { return static_cast<long double>(target(k)); });
  const auto expected_target = [&](Index i, Index) {
    return static_cast<double>((static_cast<long double>(target(i)) - c.mean) / c.deviation);
  };
  EXPECT_EQ(test::expect_rows(split.train.targets, expected_target, 1e-12), 30);
  auto predictions = split.test->targets.copy();
  data::to_target_units(split.preparation.standardization, predictions);
  EXPECT_EQ(test::expect_rows(
                predictions, [](Index i, Index) { return target(i + 30); }, 1e-12),
            10);
}

TEST(Standardize, ConstantColumnsAreOnlyCentredEvenWhereTheirMeanIsRounded) {
  ASSERT_NE(3 * 0.1 / 3,
            0.1);  // so that plain means of three such rows would leave rounding errors
  TemporaryFolder folder;
  data::Options options;
  options.limit = 3;
  options.standardize = true;
  const auto split = data::load(table(folder, "x.csv"), "", options, world());
  const auto& s = split.preparation.standardization;
  EXPECT_EQ(s.input_mean[2], 0.1);
  EXPECT_EQ(s.input_deviation[2], 1);
  ASSERT_EQ(split.train.rows(), 3);
  for (Index i = 0; i < 3; ++i) EXPECT_EQ(split.train.inputs.row(i)[2], 0);
}

TEST(Standardize, ColumnsOfTheSmallestAndLargestNumbersHaveTheirDeviation) {
  // x = s (1, 2, 3): the standardised column is -sqrt(3/2), 0, sqrt(3/2) whatever the scale s is.
  TemporaryFolder folder;
  for (const double s : {1e-310, 1e-170, 1e-5, 1e130, 1e200, 5e307}) {
    SCOPED_TRACE(s);
    std::string text;
    for (int i = 1; i <= 3; ++i) text += fmt::format("{},7,{}\n", i * s, i);
    const auto split = data::load(folder.write("x.csv", text), "", {.standardize = true}, world());
    const double expected[] = {-std::sqrt(1.5), 0, std::sqrt(1.5)};
    const double tolerance = s < 1e-300 ? 1e-12 : 1e-14;  // subnormal numbers have fewer digits
    EXPECT_EQ(test::expect_rows(
                  split.train.inputs, [&](Index i, Index j) { return j == 0 ? expected[i] : 0.0; },
                  tolerance),
              6);
    EXPECT_EQ(split.train.notes.back(), "1 input is constant, only centred: 2");
  }
  // Of both signs: x - mean passes the largest number.
  const auto path = folder.write("y.csv", "1.7e308,1\n-1.7e308,2\n-1.7e308,3\n");
  const auto set = data::load(path, "", {.standardize = true}, world()).train;
  const double expected[] = {std::sqrt(2.0), -std::sqrt(0.5), -std::sqrt(0.5)};
  EXPECT_EQ(test::expect_rows(
                set.inputs, [&](Index i, Index) { return expected[i]; }, 1e-14),
            3);
}

TEST(UnitNorm, LeavesZeroRowsAndSurvivesTheLargestAndSmallestNumbers) {
  TemporaryFolder folder;
  const auto path = folder.write("x.csv", "0,0\n3,4\n3e300,-4e300\n3e-310,4e-310\n-5,0\n");
  data::Options options;
  options.unit_norm = true;
  options.csv_target = "none";
  const auto set = data::load_inputs(path, options, world());
  const double expected[5][2] = {{0, 0}, {0.6, 0.8}, {0.6, -0.8}, {0.6, 0.8}, {-1, 0}};
  EXPECT_EQ(test::expect_rows(
                set.inputs, [&](Index i, Index j) { return expected[i][j]; }, 1e-13),
            10);
}

TEST(UnitNorm, ComesAfterScaleAndStandardize) {
  TemporaryFolder folder;
  const auto set = data::load(table(folder, "x.csv"), "",
                              {.scale = -2, .standardize = true, .unit_norm = true}, world())
                       .train;
  for (Index i = 0; i < kRows; ++i) {
    double square = 0;
    for (double x : set.inputs.row(i)) square += x * x;
    EXPECT_NEAR(square, 1, 1e-14);
  }
  EXPECT_EQ(set.rows(), kRows);
}

TEST(OneHot, IsOneMinusTheShareOfAClassOverTheTrainingRowsLabels) {
  TemporaryFolder folder;
  const auto train = folder.write("train.csv", "5,0\n6,2\n7,1\n"),
             test = folder.write("test.csv", "8,2\n9,2\n");
  const auto split = data::load(train, test, {.standardize = true, .one_hot = true}, world());
  const Index labels[] = {0, 2, 1};
  EXPECT_EQ(split.train.classes.names, (std::vector<std::string>{"0", "1", "2"}));
  EXPECT_EQ(split.train.classes.values, (std::vector<double>{0, 1, 2}));
  EXPECT_EQ(split.test->classes, split.train.classes);
  EXPECT_EQ(split.train.labels, (std::vector<Index>{0, 2, 1}));
  EXPECT_EQ(split.test->labels, (std::vector<Index>{2, 2})) << "one class in the test set is fine";
  const double mean = 1.0 / 3;
  EXPECT_EQ(test::expect_rows(split.train.targets,
                              [&](Index i, Index j) { return (labels[i] == j ? 1 : 0) - mean; }),
            9);
  EXPECT_EQ(test::expect_rows(split.test->targets,
                              [&](Index, Index j) { return (j == 2 ? 1 : 0) - mean; }),
            6);
  EXPECT_TRUE(split.preparation.standardization.target_mean.empty());
  EXPECT_EQ(split.preparation.outputs, 3);
}

TEST(LoadTest, PreparesNewRowsAsTheTrainingSetWas) {
  TemporaryFolder folder;
  const auto path = table(folder, "x.csv");
  for (bool one_hot : {false, true}) {
    data::Options options{.scale = 0.5, .standardize = true, .unit_norm = true, .one_hot = one_hot};
    const auto train = one_hot ? folder.write("l.csv", "1,2,0\n3,5,2\n4,4,1\n") : path;
    const auto test = one_hot ? folder.write("m.csv", "9,1,1\n1,1,0\n") : path;
    const auto together = data::load(train, test, options, world());
    const auto alone = data::load_test(test, together.preparation, {}, world());
    EXPECT_EQ(alone.hash, together.test->hash);
    EXPECT_EQ(alone.target_hash, together.test->target_hash);
    EXPECT_EQ(alone.labels, together.test->labels);
    EXPECT_EQ(alone.classes, together.test->classes);
  }
}

TEST(LoadTest, TakesTheTestRowsOfASplitAndOtherPointsOfASyntheticSet) {
  TemporaryFolder folder;
  const auto path = table(folder, "x.csv");
  std::string mask;
  for (Index i = 0; i < kRows; ++i) mask += i % 3 == 0 ? "1\n" : "0\n";
  data::Options options{.split = folder.write("mask.csv", mask) + ":0", .standardize = true};
  const auto split = data::load(path, "", options, world());
  const auto alone = data::load_test(path, split.preparation, options, world());
  EXPECT_EQ(alone.rows(), 14);
  EXPECT_EQ(alone.hash, split.test->hash);

  const auto circle = data::load("circle:n=20", "circle:n=30", {}, world());
  EXPECT_EQ(data::load_test("circle:n=30", circle.preparation, {}, world()).hash,
            circle.test->hash);
}

TEST(LoadInputs, HasTheHashOfTheTrainingSetAndLeavesTargetsAlone) {
  TemporaryFolder folder;
  const auto path = table(folder, "x.csv");
  data::Options options{.limit = 17, .standardize = true, .unit_norm = true};
  const auto alone = data::load_inputs(path, options, world());
  EXPECT_EQ(alone.hash, data::load(path, path, options, world()).train.hash);
  EXPECT_EQ(test::expect_rows(alone.targets, [](Index i, Index) { return target(i); }), 17);
  options.one_hot = true;  // targets that are no labels do not matter here
  EXPECT_EQ(data::load_inputs(path, options, world()).hash, alone.hash);
}

TEST(InputsAs, PreparesInputsByAnotherSetsNumbersAndTargetsByItsOwn) {
  TemporaryFolder folder;
  const auto path = table(folder, "x.csv");
  const data::Options own{.limit = 11, .scale = 3, .standardize = true, .unit_norm = true};
  const auto there = data::load(path, "", own, world());
  data::Options options;
  data::take_inputs(options, there.preparation, "W.h5", {});
  const auto& s = there.preparation.standardization;
  const auto expected = data::load_test(path, there.preparation, {}, world());
  for (bool standardize : {false, true}) {
    options.standardize = standardize;
    const auto split = data::load(path, path, options, world());
    EXPECT_EQ(split.train.hash, expected.hash);
    EXPECT_EQ(split.test->hash, expected.hash);
    EXPECT_EQ(data::load_inputs(path, options, world()).hash, expected.hash);
    EXPECT_EQ(split.preparation.standardization.input_mean, s.input_mean);
    EXPECT_EQ(split.preparation.standardization.input_deviation, s.input_deviation);
    EXPECT_EQ(split.preparation.scale, 3);
    EXPECT_TRUE(split.preparation.unit_norm);
    // The mean of all rows, not of the first 11.
    ASSERT_EQ(split.preparation.standardization.target_mean.size(), standardize ? 1U : 0U);
    if (standardize) {
      const Column c = moments(kRows, target);
      EXPECT_NEAR(split.preparation.standardization.target_mean[0], static_cast<double>(c.mean),
                  1e-12 * 100);
    }
    // New rows of a model, and a set that is read again as `reading` says.
    EXPECT_EQ(data::load_test(path, split.preparation, {}, world()).hash, expected.hash);
    EXPECT_EQ(data::load(path, "", split.train.reading, world()).train.hash, expected.hash);
    EXPECT_EQ(split.train.reading.scale, 3);
    EXPECT_TRUE(split.train.reading.standardize && split.train.reading.unit_norm);
    ASSERT_FALSE(split.train.notes.empty());
    test::expect_words(split.train.notes.back(),
                       {"prepared as W.h5 states", "multiplied by 3, standardized"});
  }
}

TEST(InputsAs, RefusesFieldsThatContradictItAndRowsOfAnotherDimension) {
  TemporaryFolder folder;
  const auto path = table(folder, "x.csv");
  const auto there = data::load(path, "", {.scale = 3, .standardize = true}, world()).preparation;
  const auto refused = [&](data::Options options, data::InputFields set) {
    return test::input_error([&] { data::take_inputs(options, there, "W.h5", set); });
  };
  EXPECT_EQ(refused({.scale = 3, .standardize = true},
                    {.scale = true, .standardize = true, .unit_norm = true}),
            "");
  EXPECT_EQ(refused({.scale = 2}, {}), "");  // not what a user has set
  test::expect_words(refused({.scale = 1}, {.scale = true}), {"`scale`", "W.h5", "by 3"});
  test::expect_words(refused({}, {.standardize = true}), {"`standardize`", "W.h5"});
  test::expect_words(refused({.unit_norm = true}, {.unit_norm = true}), {"`unit_norm`", "W.h5"});
  data::Options options;
  data::take_inputs(options, there, "W.h5", {});
  const auto narrow = folder.write("narrow.csv", "1,2,3\n4,5,6\n");
  test::expect_words(test::input_error([&] { data::load(narrow, "", options, world()); }),
                     {"narrow.csv", "2 inputs", "W.h5", "3 inputs"});
}

TEST(Difference, NamesWhatMakesOtherInputsOrTargets) {
  TemporaryFolder folder;
  const auto path = table(folder, "x.csv"), labels = folder.write("l.csv", "1,2,0\n3,5,2\n4,4,1\n"),
             others = folder.write("o.csv", "1,2,0\n3,5,3\n4,4,1\n");
  const auto of = [&](const std::string& spec, const data::Options& options) {
    return data::load(spec, "", options, world()).preparation;
  };
  const auto plain = of(path, {}), standard = of(path, {.standardize = true}),
             fewer = of(path, {.limit = 9, .standardize = true}),
             normed = of(path, {.unit_norm = true}), classes = of(labels, {.one_hot = true});
  EXPECT_EQ(data::difference(plain, of(path, {.limit = 9})), "");
  EXPECT_EQ(data::difference(standard, standard), "");
  EXPECT_EQ(data::difference(classes, classes), "");
  EXPECT_EQ(data::difference(plain, normed),
            "inputs are taken as they are there and divided by their norms here");
  EXPECT_EQ(data::difference(standard, plain),
            "inputs are standardized there and taken as they are here; targets are standardized "
            "there and taken as they are here");
  EXPECT_EQ(
      data::difference(standard, fewer),
      "inputs are standardized with other means and deviations; targets are standardized with "
      "other means and deviations");
  test::expect_words(data::difference(classes, of(labels, {})), {"one-hot there"});
  EXPECT_EQ(data::difference(classes, of(others, {.one_hot = true})),
            "the classes are 0, 1, 2 there and 0, 1, 3 here");
  EXPECT_EQ(data::input_text(plain), "");
}

TEST(Hash, ChangesWithAValueTheOrderAndTheShape) {
  TemporaryFolder folder;
  data::Options options;
  options.csv_target = "none";
  const auto hash = [&](const std::string& text) {
    return data::load_inputs(folder.write("x.csv", text), options, world()).hash;
  };
  const auto base = hash("1,2\n3,4\n");
  EXPECT_EQ(base, hash("1.0,2e0\n3,4"));
  EXPECT_EQ(hash("0,2\n"), hash("-0,2\n"));
  EXPECT_NE(base, hash("1,2\n3,4.0000000000000009\n"));
  EXPECT_NE(base, hash("3,4\n1,2\n"));
  EXPECT_NE(base, hash("2,1\n3,4\n"));
  EXPECT_NE(base, hash("1\n2\n3\n4\n"));
  EXPECT_NE(base, hash("1,2,3,4\n"));
  EXPECT_NE(base, hash("1,2\n3,4\n0,0\n"));
}

}  // namespace
}  // namespace mercer
