// The same data on every number of ranks, and no rank that holds them all.
#include <cmath>
#include <limits>
#include <numeric>

#include "files.hpp"
#include "mercer/base/memory.hpp"

namespace mercer {
namespace {

using test::load_error;
using test::TemporaryFolder;

const comm::Communicator& world() {
  static const comm::Communicator comm = comm::Communicator::world();
  return comm;
}
/// This rank alone: what a run on one rank gives.
comm::Communicator alone() {
  return comm::Communicator(MPI_COMM_SELF);
}

constexpr Index kRows = 37, kColumns = 3;
double input(Index i, Index j) {
  return std::sin(static_cast<double>(10 * i + j)) + 0.1;
}
double label(Index i) {
  return static_cast<double>(i * i % 5);
}

/// The same 37 rows in every format that can hold them.
std::vector<std::string> written(const TemporaryFolder& folder) {
  const auto x =
      test::npy<double>("<f8", "(37, 3)", 111, [](Index p) { return input(p / 3, p % 3); });
  const auto f = test::npy<double>(
      ">f8", "(37, 3)", 111, [](Index p) { return input(p % 37, p / 37); }, true);
  const auto y = test::npy<std::int16_t>("<i2", "(37,)", 37, [](Index p) { return label(p); });
  std::string csv = "a,b,c,y\n", svm;
  for (Index i = 0; i < kRows; ++i) {
    svm += fmt::format("{}", label(i));
    for (Index j = 0; j < kColumns; ++j) {
      csv += fmt::format("{},", input(i, j));
      svm += fmt::format(" {}:{}", j + 1, input(i, j));
    }
    csv += fmt::format("{}\n", label(i));
    svm += "\n";
  }
  const auto targets = "," + folder.write("y.npy", y);
  return {
      "npy:" + folder.write("x.npy", x) + targets, "npy:" + folder.write("x.npy.gz", x) + targets,
      "npy:" + folder.write("f.npy", f) + targets, "npy:" + folder.write("f.npy.gz", f) + targets,
      "csv:" + folder.write("x.csv", csv),         "csv:" + folder.write("x.csv.gz", csv),
      "libsvm:" + folder.write("x.svm", svm),      "libsvm:" + folder.write("x.svm.gz", svm)};
}

std::string mask(const TemporaryFolder& folder) {
  std::string text;
  for (Index i = 0; i < kRows; ++i) text += i % 4 == 1 || i > 33 ? "0,1\n" : "1,0\n";
  return folder.write("mask.csv", text) + ":1";
}

TEST(Load, GivesEveryRankItsRowsInEveryFormat) {
  TemporaryFolder folder;
  for (const auto& spec : written(folder)) {
    SCOPED_TRACE(spec);
    const auto set = data::load(spec, "", {}, world()).train;
    ASSERT_EQ(set.rows(), kRows);
    EXPECT_EQ(set.inputs.local_rows(),
              (dist::RowPartition{kRows, world().size()}.size(world().rank())));
    EXPECT_EQ(test::expect_rows(set.inputs, input), kRows * kColumns);
    EXPECT_EQ(test::expect_rows(set.targets, [](Index i, Index) { return label(i); }), kRows);
  }
}

TEST(Load, SplitsAndLimitsInEveryFormat) {
  TemporaryFolder folder;
  std::vector<Index> train, test;
  for (Index i = 0; i < kRows; ++i) (i % 4 == 1 || i > 33 ? test : train).push_back(i);
  data::Options options;
  options.split = mask(folder);
  for (const auto& spec : written(folder))
    for (const auto& [limit, limit_test] :
         {std::pair<Index, Index>{-1, -1}, {7, 5}, {20, 1}, {1, 12}}) {
      SCOPED_TRACE(fmt::format("{}, limits {} and {}", spec, limit, limit_test));
      options.limit = limit;
      options.limit_test = limit_test;
      const auto split = data::load(spec, "", options, world());
      const auto check = [&](const data::Dataset& set, const std::vector<Index>& rows, Index size) {
        if (size < 0) size = static_cast<Index>(rows.size());
        const auto file_row = [&](Index i) { return rows[static_cast<std::size_t>(i)]; };
        EXPECT_EQ(set.rows(), size);
        EXPECT_EQ(
            test::expect_rows(set.inputs, [&](Index i, Index j) { return input(file_row(i), j); }),
            size * kColumns);
        EXPECT_EQ(
            test::expect_rows(set.targets, [&](Index i, Index) { return label(file_row(i)); }),
            size);
        ASSERT_EQ(static_cast<Index>(set.file_rows.size()), set.inputs.local_rows());
        for (Index i = 0; i < set.inputs.local_rows(); ++i)
          EXPECT_EQ(set.file_rows[static_cast<std::size_t>(i)],
                    file_row(set.inputs.first_row() + i));
      };
      check(split.train, train, limit);
      check(*split.test, test, limit_test);
    }
}

void expect_same_as_on_one_rank(const std::string& spec, const data::Options& options) {
  SCOPED_TRACE(spec);
  const auto here = data::load(spec, "", options, world());
  const auto one = data::load(spec, "", options, alone());
  EXPECT_EQ(here.train.hash, one.train.hash);
  EXPECT_EQ(here.train.target_hash, one.train.target_hash);
  EXPECT_EQ(here.preparation, one.preparation);
  EXPECT_EQ(test::expect_rows(here.train.inputs,
                              [&](Index i, Index j) {
                                return one.train.inputs.row(i)[static_cast<std::size_t>(j)];
                              }),
            one.train.rows() * one.train.dimension());
  EXPECT_EQ(here.test.has_value(), one.test.has_value());
  if (one.test) {
    EXPECT_EQ(here.test->hash, one.test->hash);
  }
  const auto first = static_cast<std::size_t>(here.train.inputs.first_row());
  for (std::size_t i = 0; i < here.train.labels.size(); ++i)
    EXPECT_EQ(here.train.labels[i], one.train.labels[i + first]);
}

TEST(Load, GivesTheSameBitsAsOneRank) {
  TemporaryFolder folder;
  data::Options options;
  options.scale = 0.7;
  options.standardize = options.unit_norm = true;
  for (const std::string spec :
       {"circle:n=29,freq=3,grid", "sphere:n=31,d=4,degree=3", "gaussian:n=5,d=2"})
    expect_same_as_on_one_rank(spec, options);
  const auto split = mask(folder);
  for (const auto& spec : written(folder))
    for (bool one_hot : {false, true}) {
      options.one_hot = one_hot;
      options.split = one_hot ? "" : split;
      expect_same_as_on_one_rank(spec, options);
    }
}

TEST(Load, HandlesMoreRanksThanRows) {
  TemporaryFolder folder;
  const auto path = folder.write("x.csv.gz", "1,2\n3,4\n");
  const auto set = data::load(path, "", {.standardize = true}, world()).train;
  EXPECT_EQ(test::expect_rows(set.inputs, [](Index i, Index) { return i == 0 ? -1 : 1; }), 2);
  EXPECT_EQ(data::load("circle:n=1", "", {}, world()).train.rows(), 1);
}

TEST(Load, ManyPanelsArriveInOrder) {
  // 3000 columns of 8 bytes: panels of 349 rows.
  TemporaryFolder folder;
  const Index rows = 1000, columns = 3000;
  const auto value = [](Index i, Index j) { return static_cast<double>((i * 131 + j * 7) % 251); };
  const auto bytes = test::idx(
      {1000, 3000}, [&](Index p) { return static_cast<int>(value(p / columns, p % columns)); });
  const auto labels =
      folder.write("y-ubyte", test::idx({1000}, [](Index p) { return static_cast<int>(p % 10); }));
  for (const std::string name : {"x-ubyte", "x-ubyte.gz"}) {
    const auto set = data::load(folder.write(name, bytes) + "," + labels, "", {}, world()).train;
    EXPECT_EQ(test::expect_rows(set.inputs, value), rows * columns);
    EXPECT_EQ(
        test::expect_rows(set.targets, [](Index i, Index) { return static_cast<double>(i % 10); }),
        rows);
  }
}

TEST(Load, ThrowsOnAllRanksAlikeWhereverTheTroubleIs) {
  TemporaryFolder folder;
  const auto everywhere = [](const std::string& error) {
    EXPECT_FALSE(error.empty());
    EXPECT_EQ(error, world().broadcast(error, 0)) << "rank " << world().rank();
  };
  for (Index bad : {0, 18, 36})  // on the first, on a middle and on the last rank
    for (const std::string name : {"x.npy", "x.npy.gz"}) {
      const auto path =
          folder.write(name, test::npy<double>("<f8", "(37, 3)", 111, [&](Index p) {
                         return p == 3 * bad ? std::numeric_limits<double>::infinity() : 1.0;
                       }));
      data::Options options;
      options.targets_required = false;
      const auto error = load_error(path, options);
      everywhere(error);
      EXPECT_NE(error.find(fmt::format("row {}, column 1", bad + 1)), std::string::npos) << error;
    }
  for (Index bad : {0, 36}) {
    std::string text;
    for (Index i = 0; i < kRows; ++i) text += i == bad ? "1,2.5\n" : "1,2\n";
    data::Options options;
    options.one_hot = true;
    const auto train = folder.write("t.csv", "1,2\n1,3\n");
    const auto error = load_error(train, options, folder.write("l.csv", text));
    everywhere(error);
    EXPECT_NE(error.find(fmt::format("data row {} (counted", bad + 1)), std::string::npos) << error;
  }
  everywhere(load_error("csv:/nowhere/x.csv"));
  everywhere(load_error("npy:/nowhere/x.npy"));
  everywhere(load_error("circle:m=3"));
}

/// n x n bytes in an IDX file, written piece by piece: no rank has seen the whole of it.
std::string large_file(const TemporaryFolder& folder, const std::string& name, std::uint32_t n) {
  const std::string path = folder / name;
  if (world().root()) {
    const gzFile file = gzopen(path.c_str(), name.ends_with(".gz") ? "wb1" : "wbT");
    const std::string header = test::idx({}, [](Index) { return 0; }).substr(0, 3) + '\2' +
                               test::bytes_of(n, true) + test::bytes_of(n, true);
    gzwrite(file, header.data(), static_cast<unsigned>(header.size()));
    std::string row(n, '\0');
    for (std::uint32_t i = 0; i < n; ++i) {
      for (std::uint32_t j = 0; j < n; ++j) row[j] = static_cast<char>((i + j) % 256);
      gzwrite(file, row.data(), n);
    }
    gzclose(file);
  }
  world().barrier();
  return path;
}

TEST(Load, NoRankHoldsTheWholeSet) {
  // 4096 x 4096 numbers are 128 MiB of doubles; on one rank they are its own.
  TemporaryFolder folder;
  const Index n = 4096, whole = 8 * n * n;
#ifdef __SANITIZE_ADDRESS__
  const std::int64_t spare = 40 + 256;  // its quarantine keeps the panels that were given back
#else
  const std::int64_t spare = 40;
#endif
  data::Options options;
  options.targets_required = false;
  for (const std::string name : {"x-ubyte", "x-ubyte.gz"}) {
    const auto path = large_file(folder, name, 4096);
    std::ofstream("/proc/self/clear_refs") << 5;  // the peak starts again from what is resident
    const std::int64_t before = resident_memory_bytes();
    const auto set = data::load(path, "", options, world()).train;
    EXPECT_LE(peak_memory_bytes() - before, whole / world().size() + (spare << 20)) << name;
    EXPECT_LE(set.inputs.local_rows(), ceil_div(n, world().size()));
    EXPECT_EQ(set.inputs.local_rows() == 0 ? 0 : set.inputs.row(0)[1],
              static_cast<double>((set.inputs.first_row() + 1) % 256));
  }
}

}  // namespace
}  // namespace mercer
