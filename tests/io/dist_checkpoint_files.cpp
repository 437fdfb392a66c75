#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "mercer/base/error.hpp"
#include "mercer/io/columns_file.hpp"
#include "mercer/io/identity.hpp"

namespace mercer {
namespace {

namespace fs = std::filesystem;
using io::Hdf5File;
using io::Identity;

double entry(Index i, Index j) {
  return std::sin(static_cast<double>(i * 1009 + j + 1)) * 1e-3;
}

class CheckpointFiles : public testing::Test {
 protected:
  void SetUp() override {
    const auto base = fs::temp_directory_path() / ("mercer-files-" + std::to_string(::getpid()));
    path = world.broadcast(base.string(), 0) + ".h5";
  }
  void TearDown() override {
    world.barrier();
    if (world.root()) fs::remove(path);
    world.barrier();
  }
  /// The error of checking `identity` against the file.
  std::string refusal(const Identity& identity) {
    try {
      io::check_identity(Hdf5File::open(world, path), identity);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }
  comm::Communicator world = comm::Communicator::world();
  std::string path;
};

TEST_F(CheckpointFiles, HoldBlocksOfVectorsToTheBit) {
  for (const Index n : {1, 2, 37, 200}) {
    const dist::RowPartition rows{n, world.size()};
    const Index own = rows.size(world.rank()), first = rows.begin(world.rank());
    for (const Index m : {0, 1, 63, 64, 65, 130}) {
      Matrix<double> A(own, m);
      for (Index j = 0; j < m; ++j)
        for (Index i = 0; i < own; ++i) A(i, j) = entry(first + i, j);
      auto file = Hdf5File::create(world, path);
      io::write_columns(file, "/group/block", n, A.view());
      file.write("/there", std::vector<double>{1});
      file.finish();
      const auto B = io::read_columns(Hdf5File::open(world, path), "/group/block", n, m);
      ASSERT_EQ(B.cols(), m);
      Index compared = 0;
      for (Index j = 0; j < m; ++j)
        for (Index i = 0; i < own; ++i, ++compared) EXPECT_EQ(B(i, j), entry(first + i, j));
      EXPECT_EQ(world.all_reduce(compared, comm::Op::sum), n * m);
      if (m == 0) continue;
      EXPECT_THROW(io::read_columns(Hdf5File::open(world, path), "/group/block", n + 1, m),
                   InputError);
      EXPECT_THROW(io::read_columns(Hdf5File::open(world, path), "/group/block", n, m + 1),
                   InputError);
      EXPECT_THROW(io::read_columns(Hdf5File::open(world, path), "/nothing", n, m), InputError);
    }
  }
}

TEST_F(CheckpointFiles, AreRefusedWithTheFirstDifferenceNamed) {
  const Identity identity{{"kernel", "linear()"}, {"rows", "300"}, {"--top", "5"}};
  auto file = Hdf5File::create(world, path);
  io::write_identity(file, identity);
  file.finish();
  EXPECT_EQ(refusal(identity), "");
  const auto other = refusal({{"kernel", "linear()"}, {"rows", "299"}, {"--top", "4"}});
  EXPECT_NE(other.find("rows is 300 there and 299 here"), std::string::npos) << other;
  EXPECT_NE(other.find(path), std::string::npos) << other;
  const auto more =
      refusal({{"kernel", "linear()"}, {"rows", "300"}, {"--top", "5"}, {"--block", "8"}});
  EXPECT_NE(more.find("it has no --block, which is 8 here"), std::string::npos) << more;
  const auto fewer = refusal({{"kernel", "linear()"}, {"rows", "300"}});
  EXPECT_NE(fewer.find("--top is 5 there and absent here"), std::string::npos) << fewer;
}

}  // namespace
}  // namespace mercer
