// Classes are the distinct labels of the training rows, the same on every number of ranks.
#include "files.hpp"
#include "mercer/io/hdf5.hpp"

namespace mercer {
namespace {

using test::load_error;
using test::TemporaryFolder;
using Names = std::vector<std::string>;

const comm::Communicator& world() {
  static const comm::Communicator comm = comm::Communicator::world();
  return comm;
}

constexpr Index kRows = 13;

/// Row i is (i, its label), labels[i % 3].
std::string table(const Names& labels) {
  std::string text;
  for (Index i = 0; i < kRows; ++i)
    text += fmt::format("{}.5,{}\n", i, labels[static_cast<std::size_t>(i) % labels.size()]);
  return text;
}

/// EXPECTs the labels' places in `order`, and their one-hot columns.
void expect_labels(const data::Dataset& set, const std::vector<Index>& order) {
  const auto label = [&](Index i) { return order[static_cast<std::size_t>(i) % order.size()]; };
  ASSERT_EQ(static_cast<Index>(set.labels.size()), set.inputs.local_rows());
  for (Index i = 0; i < set.inputs.local_rows(); ++i)
    EXPECT_EQ(set.labels[static_cast<std::size_t>(i)], label(set.inputs.first_row() + i));
  const auto c = static_cast<double>(set.classes.size());
  EXPECT_EQ(test::expect_rows(set.targets,
                              [&](Index i, Index j) { return (label(i) == j ? 1 : 0) - 1 / c; }),
            kRows * set.classes.size());
}

TEST(Classes, AreTheDistinctLabelsInAscendingOrder) {
  TemporaryFolder folder;
  struct Case {
    Names labels;
    Names names;
    std::vector<double> values;
    std::vector<Index> order;
  };
  for (const Case& c :
       {Case{{"-1", "+1"}, {"-1", "1"}, {-1, 1}, {0, 1}},
        Case{{"3", "1", "2"}, {"1", "2", "3"}, {1, 2, 3}, {2, 0, 1}},
        Case{{"60000", "60002", "60001"},
             {"60000", "60001", "60002"},
             {60000, 60001, 60002},
             {0, 2, 1}},
        Case{{"1.5", "0.50"}, {"0.5", "1.5"}, {0.5, 1.5}, {1, 0}},
        Case{{"10", "9", "-0"}, {"0", "9", "10"}, {0, 9, 10}, {2, 1, 0}},
        Case{{"virginica", "setosa", "versicolor"},
             {"setosa", "versicolor", "virginica"},
             {},
             {2, 0, 1}},
        Case{{"10", "9", "b"}, {"10", "9", "b"}, {}, {0, 1, 2}},
        // As numbers, the first two are one double.
        Case{{"9007199254740993", "9007199254740992", "5"},
             {"5", "9007199254740992", "9007199254740993"},
             {},
             {2, 1, 0}},
        Case{{"\"b, c\"", "\u00e9t\u00e9", "Z"}, {"Z", "b, c", "\u00e9t\u00e9"}, {}, {1, 2, 0}}}) {
    SCOPED_TRACE(c.labels[0]);
    const auto path = folder.write("x.csv", "x,label\n" + table(c.labels));
    const auto split = data::load(path, path, {.one_hot = true}, world());
    EXPECT_EQ(split.train.classes.names, c.names);
    EXPECT_EQ(split.train.classes.values, c.values);
    EXPECT_EQ(split.preparation.classes, split.train.classes);
    EXPECT_EQ(split.preparation.outputs, static_cast<Index>(c.names.size()));
    expect_labels(split.train, c.order);
    expect_labels(*split.test, c.order);
    const auto alone = data::load_test(path, split.preparation, {}, world());
    expect_labels(alone, c.order);
    EXPECT_EQ(alone.target_hash, split.train.target_hash);
  }
}

TEST(Classes, ComeFromTrainingRowsAloneUnderSplitAndLimit) {
  TemporaryFolder folder;
  const auto path = folder.write("x.csv", table({"a", "b", "c"}));
  std::string mask;
  for (Index i = 0; i < kRows; ++i) mask += i % 3 == 2 ? "1\n" : "0\n";
  data::Options options;
  options.one_hot = true;
  options.split = folder.write("mask.csv", mask) + ":0";
  const auto error = load_error(path, options);
  for (const std::string words : {"data row 3 (counted from 1)", "'c'", "a, b"})
    EXPECT_NE(error.find(words), std::string::npos) << error;
  options.split.clear();
  options.limit = 2;
  EXPECT_EQ(data::load(path, "", options, world()).train.classes.names, (Names{"a", "b"}));
  options.limit = 1;
  EXPECT_NE(load_error(path, options).find("two classes are needed"), std::string::npos);
}

TEST(Classes, OfOneTestRowAreTheTrainingSets) {
  TemporaryFolder folder;
  const auto train = folder.write("x.csv", table({"2", "7"}));
  const auto test = folder.write("y.csv", "1,7\n");
  const auto split = data::load(train, test, {.one_hot = true}, world());
  EXPECT_EQ(split.test->classes.size(), 2);
  if (split.test->inputs.local_rows() > 0) {
    EXPECT_EQ(split.test->labels.front(), 1);
  }
}

TEST(Classes, FromArraysOfTexts) {
  TemporaryFolder folder;
  const Names labels{"virginica", "setosa", "\u00fc\U0001d53d"};
  const auto x = folder.write("x.npy", test::npy<double>("<f8", "(13, 2)", 26, [](Index p) {
                                return static_cast<double>(p);
                              }));
  const auto header = [](const std::string& type) {
    return test::npy_header("{'descr': '" + type + "', 'fortran_order': False, 'shape': (13,), }");
  };
  std::string narrow = header("|S10"), little = header("<U9"), big = header(">U9");
  const std::u32string wide[] = {U"virginica", U"setosa", U"\u00fc\U0001d53d"};
  for (Index i = 0; i < kRows; ++i) {
    std::string text = labels[static_cast<std::size_t>(i) % 3];
    text.resize(10, '\0');
    narrow += text;
    std::u32string characters = wide[i % 3];
    characters.resize(9, U'\0');
    for (char32_t c : characters) {
      little += test::bytes_of(static_cast<std::uint32_t>(c), false);
      big += test::bytes_of(static_cast<std::uint32_t>(c), true);
    }
  }
  const std::pair<std::string, std::string> files[] = {
      {"s.npy", narrow}, {"s.npy.gz", narrow}, {"u.npy", little}, {"v.npy", big}};
  for (const auto& [name, bytes] : files) {
    SCOPED_TRACE(name);
    const auto spec = "npy:" + x + "," + folder.write(name, bytes);
    const auto set = data::load(spec, "", {.one_hot = true}, world()).train;
    EXPECT_EQ(set.classes.names, (Names{"setosa", "virginica", "\u00fc\U0001d53d"}));
    expect_labels(set, {1, 0, 2});
    EXPECT_EQ(test::expect_rows(set.inputs,
                                [](Index i, Index j) { return static_cast<double>(2 * i + j); }),
              26);
    EXPECT_NE(load_error(spec).find("`one_hot` makes names classes"), std::string::npos);
    EXPECT_EQ(data::load_inputs(spec, {}, world()).outputs(), 0);
  }
}

TEST(Classes, AreNoNumbersThatCannotBeToldApart) {
  TemporaryFolder folder;
  const auto x = folder.write("x.npy", test::npy<double>("<f8", "(3, 1)", 3, [](Index i) {
                                return static_cast<double>(i);
                              }));
  const auto labels = [&](double first) {
    return "npy:" + x + "," +
           folder.write("y.npy", test::npy<double>("<f8", "(3,)", 3, [&](Index i) {
                          return first + 2 * static_cast<double>(i);
                        }));
  };
  EXPECT_EQ(data::load(labels(0x1p53 - 6), "", {.one_hot = true}, world()).train.classes.size(), 3);
  for (const double first : {0x1p53, -0x1p53 - 8, 1e17, 1e300})
    EXPECT_NE(load_error(labels(first), {.one_hot = true}).find("whole numbers from 2^53 on"),
              std::string::npos)
        << first;
  // Regressed they are numbers as any.
  EXPECT_EQ(data::load(labels(1e17), "", {}, world()).train.outputs(), 1);
}

TEST(Classes, OfAsManyKindsAsRowsLookLikeMeasurements) {
  TemporaryFolder folder;
  std::string distinct;
  for (int i = 0; i < 20; ++i) distinct += fmt::format("{},{}.25\n", i, i * i);
  const auto path = folder.write("x.csv", "x,y\n" + distinct);
  const auto set = data::load(path, "", {.one_hot = true}, world()).train;
  EXPECT_EQ(
      set.notes.back(),
      "20 classes in 20 rows: labels that look like measurements, which are regressed without "
      "`one_hot`");
}

TEST(Classes, ThatWereForgottenAreSaid) {
  TemporaryFolder folder;
  const auto note = [&](const std::string& text) {
    const auto set = data::load(folder.write("x.csv", text), "", {}, world()).train;
    return set.notes.back();
  };
  EXPECT_EQ(note(table({"2", "0", "1"})),
            "the targets are 3 whole numbers (0, 1, 2), regressed as numbers; `one_hot` makes them "
            "classes");
  EXPECT_NE(note(table({"-1", "1"})).find("2 whole numbers (-1, 1)"), std::string::npos);
  EXPECT_EQ(note(table({"0.5", "1.5"})).find("`one_hot`"), std::string::npos);
  EXPECT_EQ(note(table({"1", "2", "3", "4", "5"})).find("`one_hot`"), std::string::npos)
      << "few rows for each";
}

}  // namespace
}  // namespace mercer
