#include <cmath>
#include <limits>

#include "files.hpp"
#include "mercer/data/preparation_file.hpp"

namespace mercer {
namespace {

using test::load_error;
using test::TemporaryFolder;

const comm::Communicator& world() {
  static const comm::Communicator comm = comm::Communicator::world();
  return comm;
}

constexpr Index kRows = 23;
double input(Index i, Index j) {
  return std::sin(static_cast<double>(10 * i + j));
}
double target(Index i) {
  return static_cast<double>(i * i);
}

template <class F>
dist::RowBlock<double> rows_of(Index n, Index d, F&& f) {
  dist::RowBlock<double> rows(world(), n, d);
  for (Index i = 0; i < rows.local_rows(); ++i)
    for (Index j = 0; j < d; ++j)
      rows.row(i)[static_cast<std::size_t>(j)] = f(rows.first_row() + i, j);
  return rows;
}

/// /x (23 x 4), /y (23 x 1), /short (20 x 1), /nan (23 x 2).
std::string written(const TemporaryFolder& folder) {
  auto file = io::Hdf5File::create(world(), folder / "set.h5");
  file.write("/x", rows_of(kRows, 4, input));
  file.write("/y", rows_of(kRows, 1, [](Index i, Index) { return target(i); }));
  file.write("/short", rows_of(20, 1, [](Index i, Index) { return target(i); }));
  file.write("/nan", rows_of(kRows, 2, [](Index i, Index j) {
               return i == 20 && j == 1 ? std::numeric_limits<double>::quiet_NaN() : 1.0;
             }));
  file.finish();
  return "h5:" + (folder / "set.h5");
}

TEST(Hdf5Sets, AreReadSplitAndLimited) {
  TemporaryFolder folder;
  const std::string spec = written(folder) + ":/x,/y";
  const auto set = data::load(spec, "", {}, world()).train;
  EXPECT_EQ(test::expect_rows(set.inputs, input), kRows * 4);
  EXPECT_EQ(test::expect_rows(set.targets, [](Index i, Index) { return target(i); }), kRows);

  std::string mask;
  for (Index i = 0; i < kRows; ++i) mask += i % 3 == 0 ? "1\n" : "0\n";
  data::Options options;
  options.split = folder.write("mask.csv", mask) + ":0";
  options.limit_test = 5;
  const auto split = data::load(spec, "", options, world());
  EXPECT_EQ(test::expect_rows(split.train.inputs,
                              [](Index i, Index j) { return input(i / 2 * 3 + i % 2 + 1, j); }),
            15 * 4);
  EXPECT_EQ(test::expect_rows(split.test->targets, [](Index i, Index) { return target(3 * i); }),
            5);
  EXPECT_EQ(test::expect_rows(split.test->inputs, [](Index i, Index j) { return input(3 * i, j); }),
            20);
  ASSERT_EQ(static_cast<Index>(split.test->file_rows.size()), split.test->inputs.local_rows());
  for (Index i = 0; i < split.test->inputs.local_rows(); ++i)
    EXPECT_EQ(split.test->file_rows[static_cast<std::size_t>(i)],
              3 * (split.test->inputs.first_row() + i));

  options = {};
  options.limit = 9;
  const auto inputs = data::load_inputs(written(folder) + ":/x", options, world());
  EXPECT_EQ(test::expect_rows(inputs.inputs, input), 36);
  EXPECT_EQ(inputs.outputs(), 0);
}

TEST(Hdf5Sets, BadOnesAreNamed) {
  TemporaryFolder folder;
  const std::string file = written(folder);
  const auto expect = [](const std::string& error, const std::string& part) {
    EXPECT_NE(error.find(part), std::string::npos) << "'" << part << "' is not in: " << error;
  };
  expect(load_error(file + ":/x,/short"), "23 rows, /short has 20");
  expect(load_error(file + ":/nan,/y"), "/nan: row 21, column 2");
  expect(load_error(file + ":/absent,/y"), "/absent");
  expect(load_error(file + ":/x"), "no targets");
  expect(load_error("h5:/nowhere/set.h5:/x,/y"), "/nowhere/set.h5");
  expect(load_error("h5:" + folder.write("text.h5", "no HDF5") + ":/x,/y"), "text.h5");
  expect(load_error("h5:" + folder.write("empty.h5", "") + ":/x,/y"), "empty.h5");
  data::Options options;
  options.limit = 24;
  expect(load_error(file + ":/x,/y", options), "has only 23 rows");
}

TEST(Preparation, ComesBackFromAFileAsItWas) {
  TemporaryFolder folder;
  data::Preparation a;
  a.scale = 1.0 / 3;
  a.unit_norm = true;
  a.dimension = 3;
  a.outputs = 2;
  a.csv_target = "price";
  a.standardization = {{0.1, -1e-300, 5}, {1, 2, 1.0 / 3}, {7, 8}, {9, 10}};
  a.input_names = {"a", "length, mm", "two\nlines and a \\"};
  a.target_names = {"y1", "y2"};
  a.csv = {.header = "yes", .index = "none", .columns = 6, .targets = {5, 0}, .index_column = 2};
  data::Preparation b;
  b.one_hot = true;
  b.outputs = 3;
  b.classes = data::classes_of(std::vector<double>{-1, 1.0 / 3, 60000});
  b.libsvm_base = 0;
  data::Preparation c;
  c.classes = data::classes_of(std::vector<std::string>{"virginica", "", "1\\n"});
  for (const auto& written : {a, b, c}) {
    auto file = io::Hdf5File::create(world(), folder / "p.h5");
    data::write(file, written);
    file.finish();
    EXPECT_EQ(data::read_preparation(io::Hdf5File::open(world(), folder / "p.h5")), written);
  }
}

TEST(Preparation, OfFilesWithoutNamesHasTheLabelsFromZero) {
  TemporaryFolder folder;
  auto file = io::Hdf5File::create(world(), folder / "old.h5");
  file.attribute("/", "preparation_scale", 0.5);
  for (const char* name : {"preparation_unit_norm", "preparation_one_hot"})
    file.attribute("/", name, Index{1});
  file.attribute("/", "preparation_dimension", Index{7});
  for (const char* name : {"preparation_outputs", "preparation_classes"})
    file.attribute("/", name, Index{3});
  file.attribute("/", "preparation_csv_target", std::string());
  file.finish();
  const auto p = data::read_preparation(io::Hdf5File::open(world(), folder / "old.h5"));
  EXPECT_EQ(p.classes.names, (std::vector<std::string>{"0", "1", "2"}));
  EXPECT_EQ(p.classes.values, (std::vector<double>{0, 1, 2}));
  EXPECT_TRUE(p.input_names.empty());
  EXPECT_EQ(p.libsvm_base, -1);
  EXPECT_EQ(p.csv.columns, 0);
  const auto test = folder.write("m.csv", "1,2,3,4,5,6,7,2\n");
  EXPECT_EQ(data::load_test(test, p, {}, world()).outputs(), 3);
}

}  // namespace
}  // namespace mercer
