#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "counting_kernel.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/gram/assemble.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"
#include "support/folder.hpp"
#include "support/grids.hpp"

namespace mercer::test {
namespace {

constexpr Index kRows = 130, kOthers = 77;
constexpr Index kTile = 8;  // of so few rows

/// One assembly, perhaps interrupted.
template <class T>
struct Assembly {
  CountingKernel kernel{1e4};
  gram::Options options{.nb = 16, .over_n = false};
  bool cross = false;
  std::vector<std::string> said{};

  Assembly(const std::string& file, bool resume) {
    options.checkpoint = {.path = file,
                          .resume = resume,
                          .seconds = 0,
                          .problem = {{"the kernel", "cauchy"}, {"data hash", "12ab"}},
                          .log = [this](const std::string& text) { said.push_back(text); }};
  }
  /// Gives up after `strips` strips of each rank.
  void interrupt_after(Index strips) {
    options.interrupted = [strips, asked = Index{0}]() mutable { return asked++ >= strips; };
  }
  /// All entries, row by row, on all ranks.
  Matrix<T> run(const dist::ProcessGrid& grid) {
    const auto& world = grid.all();
    const auto X = rows_of(world, kRows, kDimension, input);
    const auto Z = rows_of(world, kOthers, kDimension, other_input);
    const auto K = cross ? gram::assemble_cross<T>(kernel, Z, X, grid, options)
                         : gram::assemble<T>(kernel, X, grid, options);
    dist::RowBlock<T> rows(world, K.rows(), K.cols());
    dist::copy(K, rows);
    return dist::all_rows(rows);
  }
  Index evaluated(const comm::Communicator& world) const {
    return world.all_reduce(kernel.entries.load(), comm::Op::sum);
  }
};

template <class T>
void expect_same_bits(const Matrix<T>& A, const Matrix<T>& B) {
  ASSERT_EQ(A.rows(), B.rows());
  ASSERT_EQ(A.cols(), B.cols());
  EXPECT_TRUE(std::equal(A.data(), A.data() + A.size(), B.data()));
}

template <class T>
void check_resumption(bool cross) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const TemporaryFolder folder;
  Assembly<T> undisturbed("", false);
  undisturbed.cross = cross;
  const auto whole = undisturbed.run(grid);
  const Index all = undisturbed.evaluated(world);

  Index strips = 12, runs = 0, evaluated = 0;
  std::optional<Matrix<T>> result;
  for (const auto shape : {dist::default_shape(world.size()), dist::GridShape{1, 1}}) {
    const dist::ProcessGrid other(world, shape);
    Assembly<T> part(folder / "C", runs > 0);
    part.cross = cross;
    part.options.nb = 16 + 5 * runs;
    part.interrupt_after(strips);
    const auto what = error<Error>([&] { (void)part.run(other); });
    expect_words(what, {"interrupted after", "% of the entries", folder / "C", "`resume`"});
    evaluated += part.evaluated(world);
    EXPECT_LE(part.kernel.entries, strips * kTile * kTile);
    ++runs, strips += 2;
  }
  Assembly<T> last(folder / "C", true);
  last.cross = cross;
  expect_same_bits(last.run(grid), whole);
  ASSERT_EQ(last.said.size(), 1U);
  EXPECT_NE(last.said[0].find("% of the entries"), std::string::npos);
  evaluated += last.evaluated(world);
  // What is evaluated twice: each time the tiles that a rank was in.
  EXPECT_GE(evaluated, all);
  EXPECT_LE(evaluated, all + 2 * world.size() * kTile * kTile);
  EXPECT_LT(last.evaluated(world), all);

  Assembly<T> again(folder / "C", true);
  again.cross = cross;
  expect_same_bits(again.run(grid), whole);
  EXPECT_EQ(again.evaluated(world), 0);
}

TEST(AssemblyCheckpoint, ResumesToTheBitOnAnotherGridAndBlockSize) {
  check_resumption<double>(false);
  check_resumption<float>(false);
}

TEST(AssemblyCheckpoint, ResumesAMatrixThatIsNotSymmetric) {
  check_resumption<double>(true);
  check_resumption<float>(true);
}

TEST(AssemblyCheckpoint, DoesNotChangeWhatIsComputed) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const TemporaryFolder folder;
  Assembly<double> with(folder / "C", false), without("", false);
  expect_same_bits(with.run(grid), without.run(grid));
}

TEST(AssemblyCheckpoint, EvaluatesADamagedTileAgain) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const TemporaryFolder folder;
  Assembly<double> first(folder / "C", false);
  const auto whole = first.run(grid);
  if (world.root()) {  // a byte of the third tile's contents: places are 4096 bytes
    std::fstream file(folder / "C", std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(3 * 4096 + 100);
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(3 * 4096 + 100);
    file.put(byte);
  }
  world.barrier();
  Assembly<double> again(folder / "C", true);
  expect_same_bits(again.run(grid), whole);
  EXPECT_GT(again.evaluated(world), 0);
  EXPECT_LE(again.evaluated(world), kTile * kTile);
}

TEST(AssemblyCheckpoint, OfAnotherProblemIsRefused) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const TemporaryFolder folder;
  (void)Assembly<double>(folder / "C", false).run(grid);
  const auto refusal = [&](auto&& change) {
    Assembly<double> other(folder / "C", true);
    change(other);
    const auto what = error<InputError>([&] { (void)other.run(grid); });
    EXPECT_EQ(other.evaluated(world), 0);
    return what;
  };
  expect_words(refusal([](auto& a) { a.options.checkpoint.problem[0].second = "ntk"; }),
               {"another problem", "the kernel", "cauchy there", "ntk here"});
  expect_words(refusal([](auto& a) { a.options.checkpoint.problem.pop_back(); }),
               {"data hash", "12ab there", "absent here"});
  expect_words(refusal([](auto& a) {
                 a.options.checkpoint.problem.push_back({"more", "1"});
               }),
               {"more", "absent there"});
  expect_words(refusal([](auto& a) { a.cross = true; }),
               {"entries", "130 x 130, lower", "77 x 130"});
  expect_words(refusal([](auto& a) { a.options.over_n = true; }), {"factor"});
  Assembly<float> single(folder / "C", true);
  expect_words(error<InputError>([&] { (void)single.run(grid); }), {"precision", "double there"});
}

TEST(AssemblyCheckpoint, ThatIsNoneIsRefused) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& path) {
    return error<InputError>([&] { (void)Assembly<double>(path, true).run(grid); });
  };
  expect_words(refusal(folder / "none"), {"`resume`", folder / "none", "no such file"});
  expect_words(refusal(folder.write("text", "a text\n")), {"text", "is not a checkpoint"});
  (void)Assembly<double>(folder / "C", false).run(grid);
  if (world.root()) {
    std::fstream file(folder / "C", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(60);
    file.put('?');
  }
  world.barrier();
  expect_words(refusal(folder / "C"), {folder / "C", "damaged"});
}

TEST(AssemblyCheckpoint, TakesAsManyBytesAsPlanned) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const TemporaryFolder folder;
  Assembly<double> job(folder / "C", false);
  (void)job.run(grid);
  const double planned = gram::checkpoint_bytes(job.kernel, kRows, kRows, true, 8);
  const auto bytes = static_cast<double>(std::filesystem::file_size(folder / "C"));
  EXPECT_EQ(bytes, planned + 4096);  // the header
  EXPECT_TRUE(std::filesystem::directory_iterator(folder.path()) !=
              std::filesystem::directory_iterator());
  Index files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    files += entry.exists() ? 1 : 0;
  EXPECT_EQ(files, 1);  // nothing temporary
}

TEST(AssemblyCheckpoint, ThatCannotBeCreatedIsOneErrorOnAllRanks) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const TemporaryFolder folder;
  expect_words(error<InputError>([&] { (void)Assembly<double>(folder / "no/C", false).run(grid); }),
               {"no/C", "no directory"});
}

}  // namespace
}  // namespace mercer::test
