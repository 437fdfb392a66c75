// Test rows of which some have no targets, and masks that say which rows are test rows, in every
// format and on every number of ranks.
#include <cmath>
#include <limits>

#include "files.hpp"
#include "mercer/io/hdf5.hpp"

namespace mercer {
namespace {

using test::TemporaryFolder;

const comm::Communicator& world() {
  static const comm::Communicator comm = comm::Communicator::world();
  return comm;
}

constexpr Index kRows = 23;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
double input(Index i, Index j) {
  return std::sin(static_cast<double>(7 * i + j)) + 0.25;
}
bool missing(Index i) {
  return i % 4 == 2 || i == 0;
}
double target(Index i) {
  return static_cast<double>(i % 3) + 0.5;
}

/// The rows, those of missing() without target, in every format that can say so.
std::vector<std::string> written(const TemporaryFolder& folder) {
  const auto x =
      test::npy<double>("<f8", "(23, 2)", 46, [](Index p) { return input(p / 2, p % 2); });
  const auto y = [](Index p) { return missing(p) ? kNaN : target(p); };
  std::string csv = "a,b,y\n", bare, svm;
  const char* spellings[] = {"", "nan", "NaN", "NA", "\"\"", "<NA>"};
  for (Index i = 0; i < kRows; ++i) {
    const std::string cell = missing(i) ? spellings[i % 6] : fmt::format("{}", target(i));
    csv += fmt::format("{},{},{}\n", input(i, 0), input(i, 1), cell);
    bare += fmt::format("{},{},{}\n", input(i, 0), input(i, 1), cell);
    svm += fmt::format("{} 1:{} 2:{}\n", missing(i) ? "nan" : cell, input(i, 0), input(i, 1));
  }
  dist::RowBlock<double> inputs(world(), kRows, 2), targets(world(), kRows, 1);
  for (Index i = 0; i < inputs.local_rows(); ++i) {
    for (Index j = 0; j < 2; ++j)
      inputs.row(i)[static_cast<std::size_t>(j)] = input(inputs.first_row() + i, j);
    targets.row(i)[0] = y(inputs.first_row() + i);
  }
  auto file = io::Hdf5File::create(world(), folder / "x.h5");
  file.write("/x", inputs);
  file.write("/y", targets);
  file.finish();
  const auto named = folder.write("x.npy", x);
  return {"npy:" + named + "," + folder.write("y.npy", test::npy<double>("<f8", "(23,)", 23, y)),
          "npy:" + named + "," + folder.write("f.npy", test::npy<float>(">f4", "(23, 1)", 23, y)),
          "npy:" + named + "," + folder.write("y.npy.gz", test::npy<double>("<f8", "(23,)", 23, y)),
          "csv:" + folder.write("x.csv", csv),
          "csv:" + folder.write("bare.csv", bare),
          "libsvm:" + folder.write("x.svm", svm),
          "h5:" + folder / "x.h5" + ":/x,/y"};
}

/// Rows of `set`, whose row i is row `row(i)` of the file.
void expect_known_rows(const data::Dataset& set, Index rows, Index known,
                       const std::function<Index(Index)>& row) {
  ASSERT_EQ(set.rows(), rows);
  ASSERT_EQ(set.outputs(), 1);
  EXPECT_EQ(set.known_rows, known);
  EXPECT_EQ(test::expect_rows(set.inputs, [&](Index i, Index j) { return input(row(i), j); }),
            2 * rows);
  for (Index i = 0; i < set.targets.local_rows(); ++i) {
    const Index at = row(set.targets.first_row() + i);
    EXPECT_EQ(set.known(i), !missing(at)) << at;
    if (set.known(i)) {
      EXPECT_EQ(set.targets.row(i)[0], target(at));
    }
  }
}

std::string complete(const TemporaryFolder& folder) {
  std::string csv;
  for (Index i = 0; i < kRows; ++i)
    csv += fmt::format("{},{},{}\n", input(i, 0), input(i, 1), target(i));
  return folder.write("train.csv", csv);
}

Index known_of(const std::function<bool(Index)>& chosen) {
  Index known = 0;
  for (Index i = 0; i < kRows; ++i) known += chosen(i) && !missing(i) ? 1 : 0;
  return known;
}

TEST(MissingTargets, OfTestRowsAreKnownInEveryFormat) {
  TemporaryFolder folder;
  const auto train = complete(folder);
  const Index known = known_of([](Index) { return true; });
  const auto same = [](Index i) { return i; };
  for (const auto& spec : written(folder)) {
    SCOPED_TRACE(spec);
    const auto split = data::load(train, spec, {}, world());
    expect_known_rows(*split.test, kRows, known, same);
    const auto alone = data::load_test(spec, split.preparation, {}, world());
    expect_known_rows(alone, kRows, known, same);
    EXPECT_EQ(alone.target_hash, split.test->target_hash);
    EXPECT_EQ(split.test->notes.front().ends_with(
                  fmt::format("from 23 rows, {} of them without targets", kRows - known)),
              true)
        << split.test->notes.front();
    const auto classes = data::load(train, spec, {.one_hot = true}, world());
    EXPECT_EQ(classes.test->known_rows, known);
    ASSERT_EQ(classes.test->outputs(), 3);
    for (Index i = 0; i < classes.test->targets.local_rows(); ++i) {
      const Index at = classes.test->targets.first_row() + i;
      EXPECT_EQ(classes.test->labels[static_cast<std::size_t>(i)], missing(at) ? -1 : at % 3);
      for (double y : classes.test->targets.row(i)) EXPECT_EQ(std::isnan(y), missing(at));
    }
    EXPECT_EQ(data::load_inputs(spec, {}, world()).known_rows, known);
  }
}

TEST(MissingTargets, OfASplitAreThoseOfItsTestRowsOnly) {
  TemporaryFolder folder;
  std::string mask = "fold,test\n", other;
  for (Index i = 0; i < kRows; ++i) {
    mask += fmt::format("3,{}\n", missing(i) || i == 5 ? "True" : "False");
    other += i == 10 || i == 11 ? "0\n" : "1\n";
  }
  const auto good = folder.write("mask.csv", mask) + ":test", bad = folder.write("bad.csv", other);
  data::Options options;
  std::vector<Index> rows;
  for (Index i = 0; i < kRows; ++i)
    if (missing(i) || i == 5) rows.push_back(i);
  for (const auto& spec : written(folder)) {
    SCOPED_TRACE(spec);
    options.split = good;
    const auto split = data::load(spec, "", options, world());
    EXPECT_EQ(split.train.known_rows, split.train.rows());
    EXPECT_EQ(split.train.rows() + static_cast<Index>(rows.size()), kRows);
    expect_known_rows(*split.test, static_cast<Index>(rows.size()), 1,
                      [&](Index i) { return rows[static_cast<std::size_t>(i)]; });
    options.split = bad;  // makes row 10, which has no target, a training row
    const auto error = test::load_error(spec, options);
    EXPECT_NE(error.find("1 of 2 training rows has no target"), std::string::npos) << error;
    EXPECT_NE(error.find("data row 11"), std::string::npos) << error;
  }
}

TEST(MissingTargets, OfAllTestRowsAreNoTargets) {
  TemporaryFolder folder;
  const auto train = complete(folder);
  const auto x = test::npy<double>("<f8", "(2, 2)", 4, [](Index p) { return input(p / 2, p % 2); });
  const auto y = test::npy<double>("<f8", "(2,)", 2, [](Index) { return kNaN; });
  for (const auto& spec :
       {folder.write("a.csv", "0.5,1.5,\n2.5,3.5,nan\n"),
        folder.write("b.csv", "0.5,1.5,\n2.5,3.5,\n"), folder.write("a.svm", "nan 1:1\nnan 2:1\n"),
        "npy:" + folder.write("x.npy", x) + "," + folder.write("y.npy", y)})
    for (bool one_hot : {false, true}) {
      SCOPED_TRACE(spec);
      const auto split = data::load(train, spec, {.one_hot = one_hot}, world());
      EXPECT_EQ(split.test->rows(), 2);
      EXPECT_EQ(split.test->dimension(), 2);
      EXPECT_EQ(split.test->outputs(), 0);
      EXPECT_EQ(split.test->known_rows, 0);
      EXPECT_TRUE(split.test->labels.empty());
    }
}

TEST(MissingTargets, OfNamesAreNoClass) {
  TemporaryFolder folder;
  const auto train = folder.write("train.csv", "a,y\n1.5,red\n2.5,blue\n");
  const auto split = data::load(train, folder.write("test.csv", "y,a\nblue,1\n,2\nNA,3\nred,4\n"),
                                {.one_hot = true}, world());
  const Index expected[] = {0, -1, -1, 1};
  EXPECT_EQ(split.test->known_rows, 2);
  for (Index i = 0; i < split.test->targets.local_rows(); ++i)
    EXPECT_EQ(split.test->labels[static_cast<std::size_t>(i)],
              expected[split.test->targets.first_row() + i]);
}

TEST(MissingTargets, OfOneOutputLeaveTheRowWithoutAny) {
  TemporaryFolder folder;
  data::Options options;
  options.csv_target = "y,z";
  options.standardize = true;
  const auto train = folder.write("train.csv", "y,a,z\n1,2,3\n3,1,9\n");
  const auto split =
      data::load(train, folder.write("test.csv", "y,a,z\n1,2,3\n,5,6\n7,8,NA\n"), options, world());
  EXPECT_EQ(split.test->known_rows, 1);
  for (Index i = 0; i < split.test->targets.local_rows(); ++i)
    for (Index j = 0; j < 2; ++j) {
      const double y = split.test->targets.row(i)[static_cast<std::size_t>(j)];
      if (split.test->targets.first_row() + i == 0)
        EXPECT_EQ(y, -1);
      else
        EXPECT_TRUE(std::isnan(y));
    }
}

TEST(Masks, AreReadAsTheyAreWritten) {
  TemporaryFolder folder;
  const auto table = complete(folder);
  const auto chosen = [](Index i) { return i % 5 < 2; };
  const auto column = [&](const std::string& header, const std::string& yes, const std::string& no,
                          const std::function<std::string(Index, const std::string&)>& line) {
    std::string text = header;
    for (Index i = 0; i < kRows; ++i) text += line(i, chosen(i) ? yes : no) + "\n";
    return text;
  };
  const auto alone = [](Index, const std::string& cell) { return cell; };
  const auto indexed = [](Index i, const std::string& cell) {
    return fmt::format("{},{}", i, cell);
  };
  const auto second = [](Index, const std::string& cell) { return "1," + cell; };
  std::string numbers;
  for (Index j = 0; j < 20; ++j) numbers += fmt::format("{}{}", j > 0 ? "," : "", j);
  const auto twenty = [&](Index i, const std::string& cell) {
    std::string text;
    for (Index j = 0; j < 20; ++j)
      text += (j > 0 ? "," : "") + (j == 7 ? cell : std::to_string((i + j) % 2));
    return text;
  };
  const std::vector<std::pair<std::string, std::string>> masks = {
      {column("", "1", "0", alone), ":0"},
      {column("", "1", "0", alone), ""},
      {column("", "1.0", "0.0", alone), ":-1"},
      {column("", "True", "False", alone), ""},
      {column("", "TRUE", "FALSE", alone), ":0"},
      {column("test\n", "true", "false", alone), ""},
      {column("test\n", "\"True\"", "\"False\"", alone), ":test"},
      {column("0\n", "1", "0", alone), ""},
      {column("1\n", "1", "0", alone), ":1"},
      {column(",test\n", "True", "False", indexed), ""},
      {column(",test\n", "True", "False", indexed), ":test"},
      {column(",0\n", "True", "False", indexed), ":0"},
      {column(",0,1\n", "1,0", "0,1", indexed), ":0"},
      {column(",0,1\n", "1,0", "0,1", indexed), ":-2"},
      {column("Unnamed: 0,0,1\n", "1,1", "1,0", indexed), ":1"},
      {column("a,b\n", "1", "0", second), ":b"},
      {column("a;b\r\n", "1;1", "1;0", alone), ":b"},
      {column("", "1", "0", second), ":1"},
      {column(numbers + "\n", "1", "0", twenty), ":7"},
      {column(numbers + "\n", "1", "0", twenty), ":-13"},
      {column("# a b\n", "0 1", "0 0", alone), ":b"}};
  const auto npy = [&](Index p) { return chosen(p) ? 1.0 : 0.0; };
  const auto pair = [&](Index p) { return p % 2 == 1 && chosen(p / 2) ? 1.0 : 0.0; };
  std::vector<std::string> specs;
  for (std::size_t i = 0; i < masks.size(); ++i)
    specs.push_back(folder.write(fmt::format("m{}.csv", i), masks[i].first) + masks[i].second);
  specs.push_back(folder.write("b.npy", test::npy<std::uint8_t>("|b1", "(23,)", 23, npy)));
  specs.push_back("npy:" + folder.write("d.bin", test::npy<double>("<f8", "(23,)", 23, npy)));
  specs.push_back(folder.write("c.npy", test::npy<std::int32_t>("<i4", "(23, 2)", 46, pair)) +
                  ":1");
  specs.push_back(folder.write("e.csv.gz", masks[0].first) + ":0");
  std::vector<Index> rows;
  for (Index i = 0; i < kRows; ++i)
    if (chosen(i)) rows.push_back(i);
  for (const auto& spec : specs) {
    SCOPED_TRACE(spec);
    data::Options options;
    options.split = spec;
    const auto split = data::load(table, "", options, world());
    ASSERT_EQ(split.test->rows(), static_cast<Index>(rows.size()));
    EXPECT_EQ(test::expect_rows(
                  split.test->inputs,
                  [&](Index i, Index j) { return input(rows[static_cast<std::size_t>(i)], j); }),
              2 * split.test->rows());
  }
}

}  // namespace
}  // namespace mercer
