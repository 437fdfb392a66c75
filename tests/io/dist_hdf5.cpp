#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <vector>

#include "mercer/base/error.hpp"
#include "mercer/io/hdf5.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"
#include "support/folder.hpp"
#include "support/grids.hpp"

namespace mercer {
namespace {

namespace fs = std::filesystem;
using dist::DistMatrix;
using dist::GridShape;
using dist::ProcessGrid;
using dist::RowBlock;
using io::Hdf5File;
using test::error;

double entry(Index i, Index j) {
  return static_cast<double>(i * 1009 + j + 1);
}

/// A directory of the test's own, the same on all ranks, removed at the end.
class Hdf5 : public testing::Test {
 protected:
  void TearDown() override {
    world.barrier();
    if (world.root()) {
      EXPECT_TRUE(fs::is_empty(place) || kept) << "something was left behind";
    }
  }
  std::string file(const std::string& name) { return folder / name; }
  void put(const std::string& name, const std::string& text) {
    kept = true;
    if (world.root()) std::ofstream(file(name)) << text;
    world.barrier();
  }
  test::TemporaryFolder folder;
  comm::Communicator world = comm::Communicator::world();
  const std::string& place = folder.path();
  bool kept = false;
};

template <class T>
void round_trip(const comm::Communicator& world, const std::string& path) {
  for (const GridShape shape : test::grid_shapes(world.size())) {
    const ProcessGrid grid(world, shape);
    for (const auto& [n, m] : {std::pair<Index, Index>{0, 3}, {3, 0}, {1, 1}, {4, 9}, {29, 17}}) {
      DistMatrix<T> A(grid, n, m, 4), B(grid, n, m, 3);
      A.fill(entry);
      auto out = Hdf5File::create(world, path);
      out.write("/group/inner/A", A);
      out.finish();
      const auto in = Hdf5File::open(world, path);
      EXPECT_EQ(in.extents("/group/inner/A"), (std::vector<Index>{n, m}));
      test::poison(B);
      in.read("/group/inner/A", B);
      test::expect_equal(B, entry, 0);
      const auto rows = in.read_rows<double>("/group/inner/A");
      Index compared = 0;
      for (Index i = 0; i < rows.local_rows(); ++i)
        for (Index j = 0; j < m; ++j, ++compared)
          EXPECT_EQ(rows.row(i)[static_cast<std::size_t>(j)], entry(rows.first_row() + i, j));
      EXPECT_EQ(world.all_reduce(compared, comm::Op::sum), n * m);
    }
  }
}

TEST_F(Hdf5, GivesBackMatricesOfEveryGridInDoublePrecision) {
  kept = true;
  round_trip<double>(world, file("a.h5"));
}
TEST_F(Hdf5, GivesBackMatricesOfEveryGridInSinglePrecision) {
  kept = true;
  round_trip<float>(world, file("a.h5"));
}

TEST_F(Hdf5, GivesBackRowsVectorsAndAttributes) {
  kept = true;
  const std::string path = file("a.h5");
  for (const Index n : {Index{0}, Index{1}, Index{5}, Index{41}}) {
    RowBlock<double> rows(world, n, 3);
    for (Index i = 0; i < rows.local_rows(); ++i)
      for (Index j = 0; j < 3; ++j)
        rows.row(i)[static_cast<std::size_t>(j)] = entry(rows.first_row() + i, j);
    std::vector<double> values(static_cast<std::size_t>(n));
    for (Index i = 0; i < n; ++i) values[static_cast<std::size_t>(i)] = entry(i, 7);
    {
      auto out = Hdf5File::create(world, path);
      out.write("/rows", rows);
      out.write("/values", values);
      out.attribute("/", "kernel", "ntk dense(8) \u00e9");
      out.attribute("/", "kernel", "replaced");
      out.attribute("/", "empty", "");
      out.attribute("/rows", "seconds", 1.25 + world.rank());  // rank 0's counts
      out.attribute("/rows", "n", n);
      EXPECT_TRUE(out.contains("/rows"));
      out.finish();
    }
    const auto in = Hdf5File::open(world, path);
    EXPECT_TRUE(in.contains("/rows"));
    EXPECT_FALSE(in.contains("/no/such/thing"));
    EXPECT_EQ(in.read_vector("/values"), values);
    EXPECT_EQ(in.text_attribute("/", "kernel"), "replaced");
    EXPECT_EQ(in.text_attribute("/", "empty"), "");
    EXPECT_EQ(in.number_attribute("/rows", "seconds"), 1.25);
    EXPECT_EQ(in.number_attribute("/rows", "n"), static_cast<double>(n));
    EXPECT_TRUE(in.has_attribute("/rows", "n"));
    EXPECT_FALSE(in.has_attribute("/rows", "m"));
    EXPECT_FALSE(in.has_attribute("/nothing", "m"));
    const auto read = in.read_rows<double>("/rows");
    ASSERT_EQ(read.rows(), n);
    EXPECT_TRUE(std::equal(read.values().begin(), read.values().end(), rows.values().begin(),
                           rows.values().end()));
    const ProcessGrid grid(world);
    DistMatrix<double> column(grid, n, 1, 2);
    test::poison(column);
    in.read("/values", column);
    test::expect_equal(
        column, [](Index i, Index) { return entry(i, 7); }, 0);
  }
}

TEST_F(Hdf5, GivesBackRowBlocksOneBehindTheOther) {
  kept = true;
  const auto value = [](Index layer, Index i, Index j) {
    return entry(i, j) + 0.25 * static_cast<double>(layer);
  };
  for (const Index n : {Index{0}, Index{1}, Index{5}, Index{41}})
    for (const Index layers : {1, 3}) {
      std::vector<RowBlock<double>> blocks;
      for (Index layer = 0; layer < layers; ++layer) {
        RowBlock<double>& rows = blocks.emplace_back(world, n, 2);
        for (Index i = 0; i < rows.local_rows(); ++i)
          for (Index j = 0; j < 2; ++j)
            rows.row(i)[static_cast<std::size_t>(j)] = value(layer, rows.first_row() + i, j);
      }
      auto out = Hdf5File::create(world, file("a.h5"));
      out.write_stack("/group/stack", std::span<const RowBlock<double>>(blocks));
      out.finish();
      const auto in = Hdf5File::open(world, file("a.h5"));
      EXPECT_EQ(in.extents("/group/stack"), (std::vector<Index>{layers, n, 2}));
      const auto values = in.read_vector("/group/stack");
      ASSERT_EQ(std::ssize(values), layers * n * 2);
      for (Index layer = 0, at = 0; layer < layers; ++layer)
        for (Index i = 0; i < n; ++i)
          for (Index j = 0; j < 2; ++j)
            EXPECT_EQ(values[static_cast<std::size_t>(at++)], value(layer, i, j));
    }
  std::vector<RowBlock<double>> unlike;
  unlike.emplace_back(world, 3, 2);
  unlike.emplace_back(world, 3, 1);
  auto out = Hdf5File::create(world, file("b.h5"));
  EXPECT_THROW(out.write_stack("/stack", std::span<const RowBlock<double>>(unlike)), RunError);
}

TEST_F(Hdf5, GivesBackTextsAndWholeNumbers) {
  const std::vector<std::string> names{"setosa", "", "d\u00e9j\u00e0 vu, 2", "-1"};
  const Index n = 7;
  RowBlock<Index> table(world, n, 2);
  std::vector<Index> own;
  for (Index i = 0; i < table.local_rows(); ++i) {
    const Index row = table.first_row() + i;
    own.push_back((Index{1} << 60) + row);
    table.row(i)[0] = row;
    table.row(i)[1] = -row;
  }
  auto out = Hdf5File::create(world, file("t.h5"));
  out.write("/classes", std::span<const std::string>(names));
  out.write("/none", std::span<const std::string>());
  out.write("/rows", n, std::span<const Index>(own));
  out.write("/table", table);
  EXPECT_NE(error<RunError>([&] { out.write("/rows", n + world.size(), own); }), "");
  out.finish();
  const auto in = Hdf5File::open(world, file("t.h5"));
  EXPECT_EQ(in.read_texts("/classes"), world.root() ? names : std::vector<std::string>());
  EXPECT_TRUE(in.holds_texts("/classes"));
  EXPECT_FALSE(in.holds_texts("/rows"));
  EXPECT_EQ(in.read_texts("/none"), std::vector<std::string>());
  EXPECT_EQ(in.extents("/rows"), std::vector<Index>{n});
  EXPECT_EQ(in.read_vector("/table"),
            (std::vector<double>{0, 0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6}));
  EXPECT_NE(error<InputError>([&] { in.read_texts("/rows"); }), "");
  EXPECT_NE(error<InputError>([&] { in.read_texts("/absent"); }), "");
  kept = true;
}

TEST_F(Hdf5, StagesWhatExceedsTheBuffers) {
  kept = true;
  const ProcessGrid grid(world);
  const Index n = 14, m = 1000003;  // 4 MB a row: two panels or three
  const auto small = [](Index i, Index j) { return static_cast<double>(i * 1000003 + j); };
  if (world.size() > 2) GTEST_SKIP() << "enough on one and two ranks";
  DistMatrix<float> A(grid, n, m, 16);
  A.fill(small);
  auto out = Hdf5File::create(world, file("a.h5"));
  out.write("/A", A);
  out.finish();
  test::poison(A);
  Hdf5File::open(world, file("a.h5")).read("/A", A);
  test::expect_equal(
      A, [&](Index i, Index j) { return static_cast<float>(small(i, j)); }, 0);
}

TEST_F(Hdf5, LeavesNothingBehindWhenUnfinished) {
  {
    auto out = Hdf5File::create(world, file("a.h5"));
    out.write("/x", std::vector<double>{1, 2, 3});
  }
  EXPECT_FALSE(fs::exists(file("a.h5")));
}

TEST_F(Hdf5, KeepsTheOldFileUntilTheNewOneIsFinished) {
  kept = true;
  for (const double value : {1.0, 2.0}) {
    auto out = Hdf5File::create(world, file("a.h5"));
    out.write("/x", std::vector<double>{value});
    if (value > 1) {
      EXPECT_EQ(Hdf5File::open(world, file("a.h5")).read_vector("/x")[0], 1);
    }
    out.finish();
    EXPECT_THROW(out.write("/y", std::vector<double>{value}), RunError);
    EXPECT_EQ(Hdf5File::open(world, file("a.h5")).read_vector("/x")[0], value);
  }
}

TEST_F(Hdf5, RefusesWhatIsNotAWholeHdf5File) {
  kept = true;
  const auto open = [&](const std::string& name) {
    return error<InputError>([&] { Hdf5File::open(world, file(name)); });
  };
  EXPECT_EQ(open("missing.h5"), file("missing.h5") + ": no such file");
  EXPECT_EQ(open("."), file(".") + ": is not a file");
  put("empty.h5", "");
  EXPECT_EQ(open("empty.h5"), file("empty.h5") + ": is empty");
  put("text.h5", "this is not HDF5, whatever its name says");
  EXPECT_EQ(open("text.h5"), file("text.h5") + ": is not an HDF5 file");
  auto out = Hdf5File::create(world, file("cut.h5"));
  out.write("/x", std::vector<double>(100000, 1.0));
  out.finish();
  for (const Index size : {Index{60}, Index{3000}, Index{400000}}) {
    if (world.root()) {
      fs::copy_file(file("cut.h5"), file("part.h5"), fs::copy_options::overwrite_existing);
      fs::resize_file(file("part.h5"), static_cast<std::uintmax_t>(size));
    }
    world.barrier();
    EXPECT_TRUE(open("part.h5").starts_with(file("part.h5") + ": is damaged")) << size;
  }
}

TEST_F(Hdf5, RefusesWhatIsNotThere) {
  kept = true;
  const std::string path = file("a.h5");
  auto out = Hdf5File::create(world, path);
  out.write("/group/x", std::vector<double>{1, 2});
  out.finish();
  const auto in = Hdf5File::open(world, path);
  EXPECT_EQ(error<InputError>([&] { in.read_vector("/y"); }), path + ": has no dataset '/y'");
  EXPECT_EQ(error<InputError>([&] { in.extents("/group"); }), path + ": '/group' is not a dataset");
  EXPECT_EQ(error<InputError>([&] { in.text_attribute("/", "kernel"); }),
            path + ": / has no attribute 'kernel'");
  const ProcessGrid grid(world);
  DistMatrix<double> A(grid, 3, 1, 2);
  EXPECT_EQ(error<InputError>([&] { in.read("/group/x", A); }),
            path + ": the dataset '/group/x' is 2 x 1, 3 x 1 is wanted");
}

// The limit stands for a full disk: on a rank that need not be the one that asks for the space.
TEST_F(Hdf5, LetsAllThrowWhenTheFileOutgrowsItsPlaceOnOneRank) {
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlim_t before = limit.rlim_cur;
  const std::string path = file("a.h5");
  const auto text = error<RunError>([&] {
    auto out = Hdf5File::create(world, path);
    if (world.rank() == world.size() - 1) {
      limit.rlim_cur = 4 << 20;
      setrlimit(RLIMIT_FSIZE, &limit);
    }
    out.write("/small", std::vector<double>(1000, 1.0));
    out.write("/large", std::vector<double>(1000000, 1.0));
  });
  limit.rlim_cur = before;
  setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_EQ(text, path +
                      ": cannot be written: it would exceed the limit of 4.00 MiB a file "
                      "(ulimit -f)");
}

TEST_F(Hdf5, TellsBeforeTheWorkThatAPlaceCannotBeWritten) {
  const auto create = [&](const std::string& path) {
    return error<InputError>([&] { Hdf5File::create(world, path); });
  };
  EXPECT_EQ(create(file("no/a.h5")), file("no/a.h5") + ": there is no directory " + file("no"));
  EXPECT_EQ(create(place),
            place + ": exists and is not a regular file: give the name of a file to write");
  EXPECT_NE(create("/dev/full"), "");
  EXPECT_NE(create("/proc/a.h5"), "");
}

}  // namespace
}  // namespace mercer
