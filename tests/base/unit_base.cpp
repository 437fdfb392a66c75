#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "mercer/base/error.hpp"
#include "mercer/base/index.hpp"
#include "mercer/base/instructions.hpp"
#include "mercer/base/matrix.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/base/text.hpp"
#include "mercer/base/version.hpp"

namespace mercer {
namespace {

TEST(InstructionSets, AreNamedAndChosenOnce) {
  for (const auto set : {Instructions::baseline, Instructions::avx2, Instructions::avx512})
    EXPECT_EQ(parse_instructions(name(set)), set);
  EXPECT_THROW(parse_instructions("sse"), InputError);
  const auto chosen = instructions();
  EXPECT_LE(chosen, widest_instructions());
  EXPECT_THROW(hold_instructions(Instructions::baseline), RunError);
  EXPECT_EQ(instructions(), chosen);
}

TEST(Memory, ReadsAmountsInPowersOf1024) {
  EXPECT_EQ(parse_bytes("1"), 1);
  EXPECT_EQ(parse_bytes("1000000"), 1000000);
  EXPECT_EQ(parse_bytes("4G"), std::int64_t{4} << 30);
  EXPECT_EQ(parse_bytes("4g"), std::int64_t{4} << 30);
  EXPECT_EQ(parse_bytes("512M"), std::int64_t{512} << 20);
  EXPECT_EQ(parse_bytes("512MiB"), std::int64_t{512} << 20);
  EXPECT_EQ(parse_bytes("3KB"), 3072);
  EXPECT_EQ(parse_bytes("1.5GiB"), (std::int64_t{3} << 30) / 2);
  EXPECT_EQ(parse_bytes("7B"), 7);
  EXPECT_EQ(parse_bytes("2T"), std::int64_t{2} << 40);
}

TEST(Memory, RefusesWhatIsNoAmount) {
  for (const std::string text : {"", "G", "four", "-1", "0", "4 G", "4Gi", "4X", "4GG", "4GiBs",
                                 "nan", "inf", "1e300", "99999999999T"})
    EXPECT_THROW(parse_bytes(text), InputError) << "'" << text << "'";
  try {
    parse_bytes("4X");
    FAIL();
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("'4X'"), std::string::npos) << error.what();
    EXPECT_EQ(error.code(), ExitCode::bad_input);
  }
}

TEST(Memory, PrintsAmounts) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1610612736), "1.50 GiB");
}

TEST(Memory, SeesItsOwnProcessGrow) {
  const auto before = resident_memory_bytes();
  EXPECT_GT(before, 1 << 20);
  const Matrix<double> touched(1 << 12, 1 << 11, 1.0);  // 64 MiB
  EXPECT_GE(resident_memory_bytes(), before + (60 << 20));
  EXPECT_GE(peak_memory_bytes(), resident_memory_bytes());
  EXPECT_EQ(touched(17, 3), 1.0);
}

/// A tree of /proc and /sys as another machine may show it.
class Tree {
 public:
  Tree() { std::filesystem::create_directories(root); }
  ~Tree() { std::filesystem::remove_all(root); }
  void file(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root + name).parent_path());
    std::ofstream(root + name) << text;
  }
  const std::string root = testing::TempDir() + "mercer-tree-" + std::to_string(getpid());
};

TEST(Memory, TheMachineHasWhatItsControlGroupsLeave) {
  constexpr double M = 1 << 20;
  const Tree tree;
  EXPECT_EQ(machine_room(tree.root).bytes, 1e18);  // says nothing
  tree.file("/proc/meminfo", "MemTotal: 2000 kB\nMemAvailable:   1048576 kB\n");
  EXPECT_EQ(machine_room(tree.root).bytes, 1024 * M);
  EXPECT_EQ(machine_room(tree.root).whose, "this machine");
  // Version 2: a job in a user's group; "max" is no limit.
  tree.file("/proc/self/cgroup", "0::/user/job\n");
  tree.file("/sys/fs/cgroup/user/job/memory.max", "max\n");
  EXPECT_EQ(machine_room(tree.root).whose, "this machine");
  tree.file("/sys/fs/cgroup/user/memory.max", std::to_string(500 << 20));
  tree.file("/sys/fs/cgroup/user/memory.current", std::to_string(300 << 20));
  tree.file("/sys/fs/cgroup/user/memory.stat",
            "anon 5\ninactive_file " + std::to_string(100 << 20) + "\n");
  EXPECT_EQ(machine_room(tree.root).bytes, (500 - 300 + 100) * M);
  EXPECT_EQ(machine_room(tree.root).whose, "the control group /user");
  // Version 1, beside it; the mount of a container may be the group itself.
  tree.file("/proc/self/cgroup", "12:cpu,cpuacct:/a\n4:hugetlb,memory:/a/b\n0::/user/job\n");
  tree.file("/sys/fs/cgroup/memory/memory.limit_in_bytes", std::to_string(200 << 20));
  tree.file("/sys/fs/cgroup/memory/memory.usage_in_bytes", std::to_string(50 << 20));
  EXPECT_EQ(machine_room(tree.root).bytes, 150 * M);
  EXPECT_EQ(machine_room(tree.root).whose, "the control group /");
  tree.file("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", std::to_string(60 << 20));
  tree.file("/sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", std::to_string(70 << 20));
  EXPECT_EQ(machine_room(tree.root).bytes, 0);
  EXPECT_EQ(machine_room(tree.root).whose, "the control group /a/b");
  tree.file("/proc/self/cgroup", "broken\n:\n4:memory\n");
  EXPECT_EQ(machine_room(tree.root).bytes, 1024 * M);
}

/// What RLIMIT_DATA counts: the sixth number of statm, in pages. (A sanitizer takes terabytes.)
rlim_t data_of_this_process() {
  std::ifstream statm("/proc/self/statm");
  rlim_t pages = 0;
  for (int i = 0; i < 6; ++i) statm >> pages;
  return pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
}

TEST(Memory, AProcessHasWhatUlimitLeaves) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_DATA, &before), 0);
  rlimit held = before;
  held.rlim_cur = data_of_this_process() + (rlim_t{8} << 30);
  ASSERT_EQ(setrlimit(RLIMIT_DATA, &held), 0);
  const auto room = process_room();
  EXPECT_EQ(room.whose, "ulimit -d");
  EXPECT_LT(room.bytes, 8.5 * (1 << 30));
  EXPECT_GT(room.bytes, 4.0 * (1 << 30));
  setrlimit(RLIMIT_DATA, &before);
}

TEST(ToInt, PassesWhatFitsAndNamesWhatDoesNot) {
  EXPECT_EQ(to_int(std::numeric_limits<int>::max(), "n"), std::numeric_limits<int>::max());
  EXPECT_EQ(to_int(std::numeric_limits<int>::min(), "n"), std::numeric_limits<int>::min());
  for (const Index value : {Index{1} << 31, -(Index{1} << 31) - 1, Index{1} << 40}) try {
      to_int(value, "local rows");
      ADD_FAILURE() << value;
    } catch (const RunError& error) {
      EXPECT_NE(std::string(error.what()).find("local rows = " + std::to_string(value)),
                std::string::npos)
          << error.what();
    }
}

TEST(CeilDiv, RoundsUp) {
  for (Index a = 0; a < 50; ++a)
    for (Index b = 1; b < 12; ++b) {
      const Index q = ceil_div(a, b);
      EXPECT_TRUE(q * b >= a && (q - 1) * b < a) << a << " / " << b;
    }
}

TEST(Matrix, StoresByColumnsAndLendsBlocks) {
  Matrix<double> A(3, 4);
  for (Index j = 0; j < 4; ++j)
    for (Index i = 0; i < 3; ++i) A(i, j) = static_cast<double>(10 * i + j);
  EXPECT_EQ(A.data()[1 + 2 * 3], 12);
  const auto block = A.view().block(1, 1, 2, 2);
  EXPECT_EQ(block(1, 1), 22);
  EXPECT_EQ(block.column(1)[0], 12);
  const auto copy = A.copy();
  A(0, 0) = -1;
  EXPECT_EQ(copy(0, 0), 0);
  EXPECT_EQ((Matrix<float>(0, 5).ld()), 1);
}

TEST(Errors, CarryTheirExitCode) {
  EXPECT_EQ(InputError("{}", "{not a format}").code(), ExitCode::bad_input);
  EXPECT_EQ(std::string(InputError("{}", "{not a format}").what()), "{not a format}");
  EXPECT_EQ(RunError("x").code(), ExitCode::failed);
  EXPECT_EQ(MemoryError("x").code(), ExitCode::out_of_memory);
}

TEST(Version, IsThreeNumbers) {
  int a = -1, b = -1, c = -1;
  char rest = 0;
  EXPECT_EQ(std::sscanf(version().c_str(), "%d.%d.%d%c", &a, &b, &c, &rest), 3) << version();
}

TEST(Version, NamesCompilerAndProcessor) {
  EXPECT_NE(compiler().find('.'), std::string::npos) << compiler();
  EXPECT_FALSE(processor().empty());
}

TEST(Counts, HaveTheirNounsNumber) {
  EXPECT_EQ(counted(1, "rank"), "1 rank");
  EXPECT_EQ(counted(0, "rank"), "0 ranks");
  EXPECT_EQ(counted(21, "row"), "21 rows");
  EXPECT_EQ(counted(1, "matrix", "matrices"), "1 matrix");
  EXPECT_EQ(counted(2, "matrix", "matrices"), "2 matrices");
}

}  // namespace
}  // namespace mercer
