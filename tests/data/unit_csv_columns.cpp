// Which columns of a CSV file are header, index, inputs and targets, and how a test set's follow.
#include <algorithm>

#include "files.hpp"

namespace mercer {
namespace {

using test::load_error;
using test::TemporaryFolder;
using Names = std::vector<std::string>;

const comm::Communicator& world() {
  static const comm::Communicator comm = comm::Communicator::world();
  return comm;
}

data::Dataset train_of(const std::string& path, const data::Options& options = {}) {
  return std::move(data::load(path, "", options, world()).train);
}

bool says(const data::Dataset& set, const std::string& words) {
  return std::any_of(set.notes.begin(), set.notes.end(), [&](const std::string& note) {
    return note.find(words) != std::string::npos;
  });
}

std::string all_notes(const data::Dataset& set) {
  std::string text;
  for (const auto& note : set.notes) text += note + "\n";
  return text;
}

/// Row i, column j of the inputs is 10 (i + 1) + j + 0.5, of the targets -(10 (i + 1) + j) - 0.5.
void expect_values(const data::Dataset& set, Index rows) {
  const auto value = [](Index i, Index j) { return static_cast<double>(10 * (i + 1) + j) + 0.5; };
  EXPECT_EQ(test::expect_rows(set.inputs, value), rows * set.dimension());
  EXPECT_EQ(test::expect_rows(set.targets, [&](Index i, Index j) { return -value(i, j); }),
            rows * set.outputs());
}

TEST(CsvColumns, AreSaid) {
  TemporaryFolder folder;
  const auto set = train_of(folder.write("x.csv", "a,b,c,y\n10.5,11.5,12.5,-10.5\n"));
  EXPECT_EQ(set.notes.front(), "reads 3 inputs a, b, c and the target y from 1 row");
  EXPECT_EQ(set.input_names, (Names{"a", "b", "c"}));
  EXPECT_EQ(set.target_names, Names{"y"});
  expect_values(set, 1);
  std::string header, row;
  for (int j = 0; j < 30; ++j)
    header += fmt::format("x{},", j), row += fmt::format("{},", 10.5 + j);
  const auto wide = train_of(folder.write("w.csv", header + "y\n" + row + "-10.5\n"));
  EXPECT_EQ(wide.notes.front(), "reads 30 inputs x0, x1, x2 ... x29 and the target y from 1 row");
}

TEST(CsvColumns, HeadersOfWholeNumbersAreHeaders) {
  TemporaryFolder folder;
  const auto set = train_of(folder.write("x.csv", "0,1,2\n10.5,11.5,-10.5\n20.5,21.5,-20.5\n"));
  expect_values(set, 2);
  EXPECT_EQ(set.input_names, (Names{"0", "1"}));
  EXPECT_TRUE(says(set, "the first row, 0, 1, 2, was taken as names")) << all_notes(set);
  EXPECT_EQ(set.file_rows.front(), 0);
  data::Options options;
  options.csv_header = "no";
  EXPECT_EQ(train_of(folder / "x.csv", options).rows(), 3);
  // Whole numbers below: not known, unless it is said; a pair of columns is data.
  const auto whole = folder.write("w.csv", "0,1,2\n3,4,5\n");
  EXPECT_EQ(train_of(whole, options).rows(), 2);
  options.csv_header = "yes";
  EXPECT_EQ(train_of(whole, options).rows(), 1);
  EXPECT_EQ(train_of(folder.write("p.csv", "0,1\n1,3\n2,5\n")).rows(), 3);
  EXPECT_EQ(train_of(folder.write("n.csv", "1,2,3\n10.5,11.5,4\n")).rows(), 2)
      << "not the numbers of the columns";
}

TEST(CsvColumns, AnIndexWithoutANameIsSetAside) {
  TemporaryFolder folder;
  const std::string rows = "0,10.5,11.5,-10.5\n1,20.5,21.5,-20.5\n";
  for (const std::string header :
       {",a,b,y\n", "Unnamed: 0,a,b,y\n", "\"\",\"a\",\"b\",\"y\"\n", ",0,1,2\n"}) {
    SCOPED_TRACE(header);
    const auto set = train_of(folder.write("x.csv", header + rows));
    ASSERT_EQ(set.dimension(), 2);
    expect_values(set, 2);
    EXPECT_TRUE(says(set, "column 0 (counted from 0")) << all_notes(set);
    EXPECT_TRUE(says(set, "set aside as the index")) << all_notes(set);
  }
  data::Options options;
  options.csv_index = "none";
  EXPECT_EQ(train_of(folder.write("x.csv", ",a,b,y\n" + rows), options).dimension(), 3);
  // A table that was shuffled or cut; a column that measures something; one by its name or place.
  EXPECT_EQ(train_of(folder.write("s.csv", ",a,y\n317,1,2\n12,3,4\n")).dimension(), 1);
  EXPECT_EQ(train_of(folder.write("m.csv", ",a,y\n0.5,1,2\n1.5,3,4\n")).dimension(), 2);
  EXPECT_EQ(train_of(folder.write("d.csv", ",a,y\n2020-01-01,1,2\n2020-01-02,3,4\n")).dimension(),
            1);
  const auto named = folder.write("i.csv", "a,id,b,y\n10.5,7,11.5,-10.5\n");
  for (const std::string index : {"id", "1", "-3"}) {
    options.csv_index = index;
    const auto set = train_of(named, options);
    ASSERT_EQ(set.dimension(), 2);
    expect_values(set, 1);
  }
}

TEST(CsvColumns, SeveralTargetsByNameAndByPosition) {
  TemporaryFolder folder;
  const auto path =
      folder.write("x.csv", "a,y1,b,y2\n10.5,-10.5,11.5,-11.5\n20.5,-20.5,21.5,-21.5\n");
  for (const std::string target : {"y1,y2", "1,3", "-3,-1", "y1,-1", " y1 , 3"}) {
    SCOPED_TRACE(target);
    data::Options options;
    options.csv_target = target;
    const auto set = train_of(path, options);
    ASSERT_EQ(set.outputs(), 2);
    expect_values(set, 2);
    EXPECT_EQ(set.target_names, (Names{"y1", "y2"}));
    EXPECT_EQ(set.notes.front(), "reads 2 inputs a, b and the targets y1, y2 from 2 rows");
  }
  const auto bare = folder.write("y.csv", "10.5,11.5,-10.5,-11.5\n");
  data::Options options;
  options.csv_target = "-2,-1";
  expect_values(train_of(bare, options), 1);
  const auto comma = folder.write("c.csv", "a,\"y, mm\"\n10.5,-10.5\n");
  options.csv_target = "y, mm";
  EXPECT_EQ(train_of(comma, options).target_names, Names{"y, mm"});
}

TEST(CsvColumns, OtherSeparatorsAndQuotes) {
  TemporaryFolder folder;
  const std::string rows[] = {
      "a;b;y\n10.5;11.5;-10.5\n20.5;21.5;-20.5\n",
      "a\tb\ty\n10.5\t11.5\t-10.5\n20.5\t21.5\t-20.5\n",
      "10.5\t11.5\t-10.5\n20.5\t21.5\t-20.5\n",
      "1.05e1 11.5  -10.5\n 20.5 21.5 -20.5\n",
      "\"a, in mm; about\",b,\"the \"\"y\"\"\"\n10.5,\"11.5\",-10.5\n20.5,21.5,-20.5\n",
      "10.5,\t11.5, -10.5\n20.5,\t21.5, -20.5\n",
      "a;b, in mm;y\n10.5;11.5;-10.5\n20.5;21.5;-20.5\n",
      "# a b y\n10.5 11.5 -10.5\n20.5 21.5 -20.5\n"};
  for (const auto& text : rows) {
    SCOPED_TRACE(text);
    const auto set = train_of(folder.write("x.csv", text));
    ASSERT_EQ(set.dimension(), 2);
    expect_values(set, 2);
  }
  EXPECT_EQ(train_of(folder.write("q.csv", rows[4])).input_names, (Names{"a, in mm; about", "b"}));
  EXPECT_EQ(train_of(folder / "q.csv").target_names, Names{"the \"y\""});
}

TEST(CsvColumns, OfATestSetAreFoundByName) {
  TemporaryFolder folder;
  const auto train = folder.write("train.csv", ",a,b,c,y\n0,1.5,2,3,4\n1,5,6,7,8\n");
  const auto load = [&](const std::string& test) {
    auto split = data::load(train, folder.write("test.csv", test), {}, world());
    const auto alone = data::load_test(folder / "test.csv", split.preparation, {}, world());
    EXPECT_EQ(alone.hash, split.test->hash);
    EXPECT_EQ(alone.target_hash, split.test->target_hash);
    EXPECT_EQ(alone.notes, split.test->notes);
    return std::move(*split.test);
  };
  const auto abc = [](Index, Index j) { return static_cast<double>(10 * (j + 1)); };
  for (const std::string text :
       {"c,b,a,y\n30,20,10,40\n", "y,a,b,c\n40,10,20,30\n", ",z,c,b,a,w,y\n9,0,30,20,10,0,40\n"}) {
    const auto set = load(text);
    EXPECT_EQ(test::expect_rows(set.inputs, abc), 3);
    EXPECT_EQ(test::expect_rows(set.targets, [](Index, Index) { return 40.0; }), 1);
    EXPECT_EQ(set.input_names, (Names{"a", "b", "c"}));
    EXPECT_EQ(says(set, "sets aside 2 columns") && says(set, "z, w"),
              text.find('z') != std::string::npos)
        << all_notes(set);
  }
  for (const std::string text : {"a,b,c\n10,20,30\n", "c,b,a\n30,20,10\n", "10,20,30\n"}) {
    const auto set = load(text);
    EXPECT_EQ(test::expect_rows(set.inputs, abc), 3);
    EXPECT_EQ(set.outputs(), 0);
    EXPECT_TRUE(says(set, "without targets")) << all_notes(set);
  }
  const auto bare = load("10,20,30,40\n");
  EXPECT_EQ(test::expect_rows(bare.inputs, abc), 3);
  EXPECT_EQ(bare.outputs(), 1);
  EXPECT_TRUE(says(bare, "by position")) << all_notes(bare);

  const auto missing = folder.write("m.csv", "a,c,y\n1,2,3\n");
  const auto error = load_error(train, {}, missing);
  for (const std::string words : {"m.csv", "no column 'b'", "a, c, y"})
    EXPECT_NE(error.find(words), std::string::npos) << error;
}

TEST(CsvColumns, OfATestSetWithoutNamesAreFoundByPosition) {
  TemporaryFolder folder;
  data::Options options;
  options.csv_target = "0";
  const auto train = folder.write("train.csv", "4,1.5,2,3\n8,5,6,7\n");
  const auto abc = [](Index, Index j) { return static_cast<double>(10 * (j + 1)); };
  for (const auto& [text, outputs] : {std::pair<std::string, Index>{"40,10,20,30\n", 1},
                                      {"10,20,30\n", 0},
                                      {"y,a,b,c\n40,10,20,30\n", 1}}) {
    const auto split = data::load(train, folder.write("test.csv", text), options, world());
    EXPECT_EQ(test::expect_rows(split.test->inputs, abc), 3);
    EXPECT_EQ(split.test->outputs(), outputs);
    EXPECT_EQ(says(*split.test, "by position"), text[0] == 'y') << all_notes(*split.test);
  }
}

TEST(CsvColumns, OfNumberedHeadersAreFoundByPositionInFilesWithNames) {
  TemporaryFolder folder;
  const std::string rows = "10.5,11.5,-10.5\n20.5,21.5,-20.5\n";
  const auto numbers = folder.write("int.csv", "0,1,2\n" + rows);
  const auto names = folder.write("abc.csv", "a,b,y\n" + rows);
  for (const auto& [train, test] : {std::pair(numbers, names), {names, numbers}}) {
    const auto split = data::load(train, test, {}, world());
    expect_values(split.train, 2);
    expect_values(*split.test, 2);
    EXPECT_EQ(split.test->outputs(), 1);
    EXPECT_TRUE(says(*split.test, "by position")) << all_notes(*split.test);
  }
  data::Options options;
  options.csv_header = "yes";
  const auto other = folder.write("210.csv", "2,1,0\n-10.5,11.5,10.5\n-20.5,21.5,20.5\n");
  const auto split = data::load(numbers, other, options, world());
  expect_values(*split.test, 2);
}

TEST(CsvColumns, HeadersOfOtherNumbersAreHeaders) {
  TemporaryFolder folder;
  const std::string rows = "10.5,11.5,-10.5\n20.5,21.5,-20.5\n";
  for (const std::string header : {"2019,2020,2021\n", "5,10,200\n", "-3,0,7\n"}) {
    SCOPED_TRACE(header);
    const auto set = train_of(folder.write("x.csv", header + rows));
    expect_values(set, 2);
    EXPECT_TRUE(says(set, "was taken as names of the columns (`header` no")) << all_notes(set);
    EXPECT_TRUE(set.warnings.empty());
    data::Options options;
    options.csv_header = "no";
    EXPECT_EQ(train_of(folder / "x.csv", options).rows(), 3);
  }
  const auto indexed =
      train_of(folder.write("i.csv", ",2019,2021,y\n0,10.5,11.5,-10.5\n1,20.5,21.5,-20.5\n"));
  ASSERT_EQ(indexed.dimension(), 2);
  expect_values(indexed, 2);
  // Whole numbers below years: data, with a warning; a test file is read by the training set's
  // names.
  const auto whole = folder.write("w.csv", "2019,2020,2021\n3,4,5\n8,7,9\n");
  const auto set = train_of(whole);
  EXPECT_EQ(set.rows(), 3);
  ASSERT_EQ(set.warnings.size(), 1u);
  EXPECT_NE(set.warnings[0].find("2019, 2020, 2021, looks like names"), std::string::npos);
  EXPECT_TRUE(train_of(folder.write("n.csv", "1,2,4\n3,4,5\n8,7,9\n")).warnings.empty());
  const auto years = folder.write("years.csv", "2019,2020,2021\n" + rows);
  const auto split = data::load(years, whole, {}, world());
  EXPECT_EQ(split.test->rows(), 2);
  EXPECT_EQ(
      test::expect_rows(split.test->targets, [](Index i, Index) { return i == 0 ? 5.0 : 9.0; }), 2);
  data::Options options;
  options.csv_header = "yes";
  EXPECT_EQ(train_of(whole, options).rows(), 2);
}

TEST(CsvColumns, TruthValuesAreOneAndZero) {
  TemporaryFolder folder;
  const auto set =
      train_of(folder.write("x.csv", "a,b,y\nTrue,1.5,0\nFalse,true,1\nTRUE,FALSE,True\n"));
  const double x[3][2] = {{1, 1.5}, {0, 1}, {1, 0}};
  EXPECT_EQ(test::expect_rows(set.inputs, [&](Index i, Index j) { return x[i][j]; }), 6);
  EXPECT_EQ(test::expect_rows(set.targets, [](Index i, Index) { return i > 0 ? 1.0 : 0.0; }), 3);
  data::Options options;
  options.one_hot = true;
  const auto classes = train_of(folder.write("c.csv", "a,y\n1,True\n2,False\n3,True\n"), options);
  EXPECT_EQ(classes.classes.names, (Names{"False", "True"}));
}

TEST(CsvColumns, BehindSeparatorsAtTheEndsOfLinesThereIsNothing) {
  TemporaryFolder folder;
  for (const std::string text :
       {"a,b,y,\n10.5,11.5,-10.5,\n20.5,21.5,-20.5,\n", "10.5,11.5,-10.5,\n20.5,21.5,-20.5,\n",
        "a,b,y,,,\r\n10.5,11.5,-10.5,,,\r\n20.5,21.5,-20.5,,,\r\n\r\n\r\n",
        "a;b;y;\n10.5;11.5;-10.5;\n20.5;21.5;-20.5;\n"}) {
    SCOPED_TRACE(text);
    const auto set = train_of(folder.write("x.csv", text));
    ASSERT_EQ(set.dimension(), 2);
    expect_values(set, 2);
    EXPECT_TRUE(says(set, "read after")) << all_notes(set);
    const auto split =
        data::load(folder.write("t.csv", "1,2,3\n4.5,5,6\n"), folder / "x.csv", {}, world());
    EXPECT_EQ(split.test->outputs(), 1);
    expect_values(*split.test, 2);
  }
  // Only the last rows have targets: they are a column.
  std::string text;
  for (int i = 0; i < 20; ++i) text += fmt::format("1.5,2.5,{}\n", i < 17 ? "" : "3");
  const auto split = data::load(folder.write("t.csv", "1,2,3\n4.5,5,6\n"),
                                folder.write("x.csv", text), {}, world());
  EXPECT_EQ(split.test->known_rows, 3);
}

TEST(CsvColumns, AnIndexThatOnlyOneFileHasIsRefused) {
  TemporaryFolder folder;
  const auto write = [&](const std::string& name, bool index, bool target, int first) {
    std::string text;
    for (int i = first; i < first + 4; ++i)
      text += (index ? fmt::format("{},", i) : "") +
              fmt::format("{}.5,{}.25,{}.125{}\n", i * i % 7, i * 3 % 5, i * 5 % 3,
                          target ? fmt::format(",{}.5", i * i) : "");
    return folder.write(name, text);
  };
  const auto with = write("with.csv", true, true, 0), bare = write("bare.csv", false, true, 0);
  const auto refused = [&](const std::string& train, const std::string& test) {
    const auto error = load_error(train, {}, test);
    for (const auto& words : {train, test, std::string("`index` COL"), std::string("5 columns"),
                              std::string("the first of which numbers its rows")})
      EXPECT_NE(error.find(words), std::string::npos) << words << " is not in: " << error;
  };
  refused(with, write("t1.csv", false, true, 4));
  refused(bare, write("t2.csv", true, true, 4));
  for (const auto& [train, index] : {std::pair(with, false), std::pair(bare, true)}) {
    const auto error = load_error(train, {}, write("t3.csv", index, false, 4));
    EXPECT_NE(error.find("`index` COL"), std::string::npos) << error;
  }
  // In both files it is an input, and said to be; --index sets it aside in both.
  const auto test = write("t4.csv", true, true, 4), unknown = write("t5.csv", true, false, 4);
  auto split = data::load(with, test, {}, world());
  EXPECT_EQ(split.test->dimension(), 4);
  EXPECT_TRUE(says(split.train, "column 0 (counted from 0) numbers the rows and is an input"))
      << all_notes(split.train);
  EXPECT_EQ(data::load(with, unknown, {}, world()).test->outputs(), 0);
  data::Options options;
  options.csv_index = "0";
  for (const auto& file :
       {test, unknown, write("t6.csv", false, true, 4), write("t7.csv", false, false, 4)}) {
    SCOPED_TRACE(file);
    split = data::load(with, file, options, world());
    EXPECT_EQ(test::expect_rows(split.test->inputs,
                                [](Index i, Index j) {
                                  const Index k = i + 4;
                                  return j == 0   ? static_cast<double>(k * k % 7) + 0.5
                                         : j == 1 ? static_cast<double>(k * 3 % 5) + 0.25
                                                  : static_cast<double>(k * 5 % 3) + 0.125;
                                }),
              12);
    EXPECT_EQ(split.test->outputs(), file == test || file.ends_with("t6.csv") ? 1 : 0);
  }
}

TEST(CsvColumns, NoTargetIsTakenFromAModelsOptions) {
  // The training file's last column is not the last of a test file without targets.
  TemporaryFolder folder;
  data::Options options;
  options.csv_target = "-1";
  const auto train = folder.write("train.csv", "a,b,y\n1.5,2,3\n4,5,6\n");
  const auto split = data::load(train, "", options, world());
  const auto set = data::load_test(folder.write("test.csv", "a,b\n10,20\n"), split.preparation,
                                   options, world());
  EXPECT_EQ(set.outputs(), 0);
  options.csv_target = "z";
  const auto other = data::load_test(folder.write("z.csv", "z,b,a\n40,20,10\n"), split.preparation,
                                     options, world());
  EXPECT_EQ(test::expect_rows(other.targets, [](Index, Index) { return 40.0; }), 1);
  EXPECT_EQ(test::expect_rows(other.inputs,
                              [](Index, Index j) { return static_cast<double>(10 * (j + 1)); }),
            2);
}

TEST(CsvColumns, TheTargetThatASpectrumLeavesOutIsSaid) {
  TemporaryFolder folder;
  const auto x = folder.write("x.csv", "a,b,c\n1,2,3\n4,5,6\n");
  const auto set = data::load_inputs(x, {}, world());
  EXPECT_EQ(set.dimension(), 2);
  EXPECT_TRUE(says(set, "the last column, c, was taken as the target")) << all_notes(set);
  const auto names = folder.write("n.csv", "a,b,c\n1,2,red\n4,5,blue\n");
  const auto left = data::load_inputs(names, {}, world());
  EXPECT_EQ(left.dimension(), 2);
  EXPECT_EQ(left.outputs(), 0);
  EXPECT_TRUE(says(left, "holds names and is left out")) << all_notes(left);
}

}  // namespace
}  // namespace mercer
