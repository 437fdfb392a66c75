#include "files.hpp"

namespace mercer {
namespace {

using test::TemporaryFolder;

data::Dataset load_one(const std::string& spec, const data::Options& options = {}) {
  return std::move(data::load(spec, "", options, comm::Communicator::world()).train);
}
data::Dataset inputs_of(const std::string& spec, const data::Options& options = {}) {
  return data::load_inputs(spec, options, comm::Communicator::world());
}
double value(Index i, Index j) {
  return static_cast<double>(7 * i - 3 * j);
}

template <class T>
void expect_dtype(const std::string& letter) {
  TemporaryFolder folder;
  for (const std::string order : {"<", ">"}) {
    const auto path = folder.write(
        "x" + letter + ".npy", test::npy<T>(order + letter, "(5, 3)", 15,
                                            [](Index p) { return static_cast<double>(100 - p); }));
    const auto set = inputs_of("npy:" + path);
    EXPECT_EQ(
        test::expect_rows(set.inputs,
                          [](Index i, Index j) { return static_cast<double>(100 - 3 * i - j); }),
        15);
  }
}

TEST(Npy, ReadsEveryNumericTypeInBothByteOrders) {
  expect_dtype<double>("f8");
  expect_dtype<float>("f4");
  expect_dtype<std::int8_t>("i1");
  expect_dtype<std::uint8_t>("u1");
  expect_dtype<std::int16_t>("i2");
  expect_dtype<std::uint16_t>("u2");
  expect_dtype<std::int32_t>("i4");
  expect_dtype<std::uint32_t>("u4");
  expect_dtype<std::int64_t>("i8");
  expect_dtype<std::uint64_t>("u8");
}

TEST(Npy, ReadsVersionsOneToThreeAndGzip) {
  TemporaryFolder folder;
  for (int version : {1, 2, 3})
    for (const std::string name : {"x.npy", "x.npy.gz"}) {
      const auto path = folder.write(
          name,
          test::npy<double>(
              "<f8", "(4, 2)", 8, [](Index p) { return value(p / 2, p % 2); }, false, version));
      EXPECT_EQ(test::expect_rows(inputs_of(path).inputs, value), 8);
    }
}

TEST(Npy, ReadsGzipWhateverTheName) {
  TemporaryFolder folder;
  const auto gz = folder.write(
      "x.gz", test::npy<double>("<f8", "(4, 2)", 8, [](Index p) { return value(p / 2, p % 2); }));
  const auto path = folder.write_raw("x.npy", test::file_bytes(gz));
  EXPECT_EQ(test::expect_rows(inputs_of(path).inputs, value), 8);
}

TEST(Npy, ReadsFortranOrder) {
  TemporaryFolder folder;
  for (const std::string name : {"x.npy", "x.npy.gz"}) {
    const auto path = folder.write(
        name, test::npy<double>(
                  "<f8", "(5, 3)", 15, [](Index p) { return value(p % 5, p / 5); }, true));
    EXPECT_EQ(test::expect_rows(inputs_of(path).inputs, value), 15);
  }
}

TEST(Npy, FlattensFurtherDimensionsInCOrderWhateverTheFiles) {
  TemporaryFolder folder;
  // Element (i, a, b, c) of a 2 x 3 x 4 x 2 array is value(i, 8 a + 2 b + c).
  const auto c_order = folder.write(
      "c.npy",
      test::npy<double>("<f8", "(2, 3, 4, 2)", 48, [](Index p) { return value(p / 24, p % 24); }));
  const auto fortran = folder.write("f.npy", test::npy<double>(
                                                 "<f8", "(2, 3, 4, 2)", 48,
                                                 [](Index p) {
                                                   const Index i = p % 2, a = p / 2 % 3,
                                                               b = p / 6 % 4, c = p / 24;
                                                   return value(i, 8 * a + 2 * b + c);
                                                 },
                                                 true));
  for (const auto& path : {c_order, fortran}) {
    const auto set = inputs_of(path);
    EXPECT_EQ(test::expect_rows(set.inputs, value), 48);
    EXPECT_EQ(set.image, (data::ImageShape{3, 4, 2}));
  }
}

TEST(Npy, ReadsTargetsOfOneAndOfSeveralColumns) {
  TemporaryFolder folder;
  const auto x = folder.write(
      "x.npy", test::npy<double>("<f8", "(4, 2)", 8, [](Index p) { return value(p / 2, p % 2); }));
  const auto y1 = folder.write("y1.npy", test::npy<std::int64_t>("<i8", "(4,)", 4, [](Index p) {
                                 return static_cast<double>(p * p);
                               }));
  const auto y3 = folder.write("y3.npy", test::npy<float>("<f4", "(4, 3)", 12, [](Index p) {
                                 return static_cast<double>(p);
                               }));
  const auto one = load_one("npy:" + x + "," + y1), three = load_one("npy:" + x + "," + y3);
  EXPECT_EQ(test::expect_rows(one.inputs, value), 8);
  EXPECT_EQ(
      test::expect_rows(one.targets, [](Index i, Index) { return static_cast<double>(i * i); }), 4);
  EXPECT_EQ(test::expect_rows(three.targets,
                              [](Index i, Index j) { return static_cast<double>(3 * i + j); }),
            12);
  EXPECT_TRUE(one.classes.empty());
  EXPECT_TRUE(one.labels.empty());
  EXPECT_EQ(one.hash, three.hash) << "the hash of the inputs does not depend on the targets";
  EXPECT_NE(one.target_hash, three.target_hash);
}

TEST(Csv, ReadsNumbersInAllTheirSpellings) {
  TemporaryFolder folder;
  const auto path = folder.write("x.csv", "1, +2.5 ,-3e2\r\n\r\n\"4\",.5,1e-400\n7,8,9");
  const double expected[3][3] = {{1, 2.5, -300}, {4, 0.5, 0}, {7, 8, 9}};
  data::Options options;
  options.csv_target = "none";
  EXPECT_EQ(test::expect_rows(inputs_of(path, options).inputs,
                              [&](Index i, Index j) { return expected[i][j]; }),
            9);
}

TEST(Csv, TakesTheTargetByPositionByNameOrNotAtAll) {
  TemporaryFolder folder;
  const auto path = folder.write("x.csv.gz", "\xEF\xBB\xBF\"a\",b,c\n1,2,3\n4,5,6\n");
  struct Case {
    std::string target;
    std::vector<Index> inputs;
    Index output;
  };
  for (const Case& c : {Case{"", {0, 1}, 2}, Case{"a", {1, 2}, 0}, Case{"1", {0, 2}, 1},
                        Case{"none", {0, 1, 2}, -1}}) {
    data::Options options;
    options.csv_target = c.target;
    options.targets_required = c.output >= 0;
    const auto set = load_one("csv:" + path, options);
    const auto entry = [](Index i, Index j) { return static_cast<double>(3 * i + j + 1); };
    EXPECT_EQ(test::expect_rows(set.inputs,
                                [&](Index i, Index j) {
                                  return entry(i, c.inputs[static_cast<std::size_t>(j)]);
                                }),
              2 * static_cast<Index>(c.inputs.size()));
    EXPECT_EQ(test::expect_rows(set.targets, [&](Index i, Index) { return entry(i, c.output); }),
              c.output >= 0 ? 2 : 0);
  }
}

TEST(Csv, ReadsRowsLongerThanItsBuffer) {
  TemporaryFolder folder;
  std::string text;
  const Index columns = 100000;
  for (Index i = 0; i < 3; ++i)
    for (Index j = 0; j < columns; ++j)
      text += std::to_string(7 * i - 3 * j) + (j + 1 < columns ? "," : "\n");
  data::Options options;
  options.csv_target = "none";
  const auto path = folder.write("x.csv", text);
  EXPECT_EQ(test::expect_rows(inputs_of(path, options).inputs, value), 3 * columns);
}

TEST(Libsvm, FillsWhatIsLeftOutWithZeros) {
  TemporaryFolder folder;
  const auto path =
      folder.write("x.svm.gz", "+1 1:0.5 4:2 # a comment\n# nothing\n-1\n3.5 2:-1\t3:1e1\n");
  const double x[3][4] = {{0.5, 0, 0, 2}, {0, 0, 0, 0}, {0, -1, 10, 0}}, y[3] = {1, -1, 3.5};
  const auto set = load_one("libsvm:" + path);
  EXPECT_EQ(test::expect_rows(set.inputs, [&](Index i, Index j) { return x[i][j]; }), 12);
  EXPECT_EQ(test::expect_rows(set.targets, [&](Index i, Index) { return y[i]; }), 3);
}

TEST(Libsvm, TheTestSetHasTheTrainingSetsDimension) {
  TemporaryFolder folder;
  const auto wide = folder.write("wide.svm", "1 1:1 4:1\n");
  const auto narrow = folder.write("narrow.svm", "2 2:5\n");
  const auto split = data::load(wide, narrow, {}, comm::Communicator::world());
  ASSERT_EQ(split.test->dimension(), 4);
  EXPECT_EQ(
      test::expect_rows(split.test->inputs, [](Index, Index j) { return j == 1 ? 5.0 : 0.0; }), 4);
}

TEST(Libsvm, IndicesCountFromZeroWhereTheTrainingFileHasAnIndexZero) {
  TemporaryFolder folder;
  const auto train = folder.write("train.svm", "-1 0:1 2:3\n+1 1:5\n");
  const auto test =
      folder.write("test.svm", "1 1:7 2:8\n");  // no index 0: the training file's base
  const auto split = data::load(train, test, {}, comm::Communicator::world());
  const double x[2][3] = {{1, 0, 3}, {0, 5, 0}}, z[3] = {0, 7, 8};
  EXPECT_EQ(test::expect_rows(split.train.inputs, [&](Index i, Index j) { return x[i][j]; }), 6);
  EXPECT_EQ(test::expect_rows(split.test->inputs, [&](Index, Index j) { return z[j]; }), 3);
  EXPECT_EQ(split.preparation.libsvm_base, 0);
  EXPECT_EQ(split.train.notes.back(), "indices count from 0");
  // Of a file that counts from 1, the last feature would be one beyond: not read one place off.
  const auto shifted = folder.write("shifted.svm", "1 1:7 3:8\n");
  const std::string refused = test::load_error(train, {}, shifted);
  EXPECT_NE(refused.find("go from 1 to 3, those of the training set from 0 to 2"),
            std::string::npos)
      << refused;
  const double w[3] = {7, 0, 8};
  const auto said =
      data::load(train, "libsvm:" + shifted + ",base=1", {}, comm::Communicator::world());
  EXPECT_EQ(test::expect_rows(said.test->inputs, [&](Index, Index j) { return w[j]; }), 3);
  const auto stated = load_one(folder.write("one.svm", "1 1:7 2:8\n") + ",base=0");
  EXPECT_EQ(test::expect_rows(stated.inputs, [&](Index, Index j) { return z[j]; }), 3);
}

TEST(Libsvm, FeaturesBeyondTheTrainingSetsAreSetAsideAndQueriesIgnored) {
  TemporaryFolder folder;
  const auto train = folder.write("train.svm", "3 qid:1 1:1 3:2\n2 qid:1 2:4\n");
  const auto test = folder.write("test.svm", "1 qid:7 2:6 9:5 123456789012:1\n");
  const auto split = data::load(train, test, {}, comm::Communicator::world());
  const double x[2][3] = {{1, 0, 2}, {0, 4, 0}}, z[3] = {0, 6, 0}, y[2] = {3, 2};
  EXPECT_EQ(test::expect_rows(split.train.inputs, [&](Index i, Index j) { return x[i][j]; }), 6);
  EXPECT_EQ(test::expect_rows(split.train.targets, [&](Index i, Index) { return y[i]; }), 2);
  EXPECT_EQ(test::expect_rows(split.test->inputs, [&](Index, Index j) { return z[j]; }), 3);
  EXPECT_EQ(split.train.notes.back(), "the query identifiers (qid) are left out");
  EXPECT_NE(split.test->notes[1].find("beyond index 3 are left out"), std::string::npos);
}

TEST(Libsvm, ADeclaredDimensionAndRowsWithoutLabels) {
  TemporaryFolder folder;
  const auto wide = load_one("libsvm:" + folder.write("x,1.svm", "1 2:5\n") + ",d=4");
  EXPECT_EQ(test::expect_rows(wide.inputs, [](Index, Index j) { return j == 1 ? 5.0 : 0.0; }), 4);
  const auto train = folder.write("train.svm", "1 1:2 2:3\n2 1:5\n");
  const auto test = folder.write("test.svm", "2:3\n1:2\n");
  const auto split = data::load(train, test, {.standardize = true}, comm::Communicator::world());
  EXPECT_EQ(split.test->outputs(), 0);
  EXPECT_EQ(split.test->rows(), 2);
  const auto alone = data::load_test(test, split.preparation, {}, comm::Communicator::world());
  EXPECT_EQ(alone.hash, split.test->hash);
}

TEST(TestSets, MayBeWithoutTargetsInEveryFormat) {
  TemporaryFolder folder;
  const auto x = folder.write(
      "x.npy", test::npy<double>("<f8", "(4, 2)", 8, [](Index p) { return value(p / 2, p % 2); }));
  const auto y = folder.write("y.npy", test::npy<double>("<f8", "(4,)", 4, [](Index p) {
                                return static_cast<double>(p % 2);
                              }));
  std::string csv, svm;
  for (Index i = 0; i < 4; ++i) {
    csv += fmt::format("{},{}\n", value(i, 0), value(i, 1));
    svm += fmt::format("1:{} 2:{}\n", value(i, 0), value(i, 1));
  }
  for (const std::string& spec : {x, folder.write("x.csv", csv), folder.write("x.svm", svm)})
    for (bool one_hot : {false, true}) {
      SCOPED_TRACE(spec);
      const data::Options options{.standardize = true, .one_hot = one_hot};
      const auto split = data::load(x + "," + y, spec, options, comm::Communicator::world());
      EXPECT_EQ(split.test->outputs(), 0);
      EXPECT_TRUE(split.test->labels.empty());
      EXPECT_EQ(split.test->hash, split.train.hash);
      const auto alone =
          data::load_test(spec, split.preparation, options, comm::Communicator::world());
      EXPECT_EQ(alone.outputs(), 0);
      EXPECT_EQ(alone.hash, split.train.hash);
      // and with targets they are prepared, whether or not they are required
      data::Options relaxed;
      relaxed.targets_required = false;
      const auto known =
          data::load_test(x + "," + y, split.preparation, relaxed, comm::Communicator::world());
      EXPECT_EQ(known.target_hash, split.train.target_hash);
    }
  const auto images =
      folder.write("i-ubyte", test::idx({4, 1, 2}, [](Index p) { return static_cast<int>(p); }));
  const auto labels =
      folder.write("l-ubyte", test::idx({4}, [](Index p) { return static_cast<int>(p % 2); }));
  const auto split =
      data::load(images + "," + labels, images, {.one_hot = true}, comm::Communicator::world());
  EXPECT_EQ(split.test->outputs(), 0);
  EXPECT_EQ(split.test->hash, split.train.hash);
}

TEST(MemoryLimit, RefusesBeforeTheRowsAreAllocated) {
  TemporaryFolder folder;
  data::Options options;
  options.memory_limit = 100e6;
  const auto x = folder.write(
      "x.npy", test::npy<double>("<f8", "(4, 2)", 8, [](Index p) { return value(p / 2, p % 2); }));
  const auto refused = [&](const std::string& spec) -> std::string {
    try {
      data::load_inputs(spec, options, comm::Communicator::world());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::out_of_memory) << error.what();
      return error.what();
    }
    return "";
  };
  const auto text = refused(folder.write("x.svm", "1 100000000:1\n"));
  for (const std::string words :
       {"x.svm", "1 row of 100000000 features", "95.37 MiB", "`memory_limit`"})
    EXPECT_NE(text.find(words), std::string::npos) << text;
  EXPECT_NE(refused(folder.write("y.svm", "1 99999999999999:1\n")), "");
  EXPECT_NE(refused("gaussian:n=10000000,d=10"), "");
  EXPECT_EQ(refused(x), "");
  options.memory_limit = 50;  // 8 numbers are 64 bytes
  EXPECT_NE(refused(x), "");
}

TEST(Idx, ReadsImagesAndLabels) {
  TemporaryFolder folder;
  const auto pixel = [](Index i, Index j) { return static_cast<double>((31 * i + 5 * j) % 256); };
  const auto images_text =
      test::idx({7, 4, 3}, [&](Index p) { return static_cast<int>(pixel(p / 12, p % 12)); });
  const auto labels_text = test::idx({7}, [](Index p) { return static_cast<int>(p % 4); });
  for (const std::string ending : {"", ".gz"}) {
    const auto images = folder.write("images-idx3-ubyte" + ending, images_text);
    const auto labels = folder.write("labels-idx1-ubyte" + ending, labels_text);
    const auto set = load_one(images + "," + labels);
    EXPECT_EQ(test::expect_rows(set.inputs, pixel), 84);
    EXPECT_EQ(set.image, (data::ImageShape{4, 3, 1}));
    EXPECT_EQ(set.labels, (std::vector<Index>{0, 1, 2, 3, 0, 1, 2}));
    EXPECT_EQ(set.classes.names, (std::vector<std::string>{"0", "1", "2", "3"}));
    EXPECT_EQ(
        test::expect_rows(set.targets, [](Index i, Index) { return static_cast<double>(i % 4); }),
        7);
  }
}

TEST(Cifar, PutsTheChannelsOfAPixelTogether) {
  TemporaryFolder folder;
  const auto text = test::cifar(
      5, [](Index i) { return static_cast<int>(2 * i); },
      [](Index i, Index c, Index p) { return static_cast<int>((i + 50 * c + p) % 256); });
  for (const std::string name : {"batch.bin", "batch.bin.gz"}) {
    const auto set = load_one(folder.write(name, text));
    EXPECT_EQ(test::expect_rows(set.inputs,
                                [](Index i, Index j) {
                                  return static_cast<double>((i + 50 * (j % 3) + j / 3) % 256);
                                }),
              5 * 3072);
    EXPECT_EQ(set.labels, (std::vector<Index>{0, 1, 2, 3, 4}));
    EXPECT_EQ(set.classes.values, (std::vector<double>{0, 2, 4, 6, 8}));
    EXPECT_EQ(set.image, (data::ImageShape{32, 32, 3}));
  }
}

TEST(Limit, StopsReadingBeforeWhatIsBrokenBehindIt) {
  TemporaryFolder folder;
  data::Options options;
  options.limit = 2;
  const auto csv = folder.write("x.csv", "1,2\n3,4\nhello,6\n");
  EXPECT_EQ(load_one(csv, options).rows(), 2);
  const auto gz = folder.write("c.bin.gz", test::cifar(
                                               3, [](Index i) { return i < 2 ? 1 : 200; },
                                               [](Index, Index, Index) { return 0; }));
  EXPECT_EQ(load_one(gz, options).rows(), 2);
}

}  // namespace
}  // namespace mercer
