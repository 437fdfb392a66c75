// Kernel matrices from files: whose rows they are, and what symmetry their type can have.
#include <gtest/gtest.h>
#include <hdf5.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "mercer/base/hash.hpp"
#include "mercer/gram/source.hpp"
#include "mercer/io/hdf5.hpp"
#include "support/errors.hpp"

namespace mercer::test {
namespace {

constexpr Index kN = 12, kM = 5;

double entry(Index i, Index j) {
  return 1 / (1 + 0.1 * std::fabs(static_cast<double>(i - j)));
}
double cross_entry(Index i, Index j) {
  return std::cos(static_cast<double>(3 * i + j));
}

/// A name of this run's own, the same on all ranks: on other numbers of ranks the same tests run
/// beside it.
std::string own(const std::string& name) {
  const auto world = comm::Communicator::world();
  return world.broadcast(fmt::format("{}-{}", ::getpid(), name), 0);
}

/// A file with /kernel (rows x cols of f) and the attributes given; removed at the end.
class KernelFile {
 public:
  using Attributes = std::vector<std::pair<std::string, std::string>>;
  template <class T = double, class F>
  KernelFile(const std::string& name, Index rows, Index cols, F&& f, const Attributes& attributes,
             T /*type*/ = {})
      : path_(own(name)) {
    const auto world = comm::Communicator::world();
    auto file = io::Hdf5File::create(world, path_);
    dist::RowBlock<T> K(world, rows, cols);
    for (Index i = 0; i < K.local_rows(); ++i)
      for (Index j = 0; j < cols; ++j)
        K.row(i)[static_cast<std::size_t>(j)] = static_cast<T>(f(K.first_row() + i, j));
    file.write("/kernel", K);
    for (const auto& [name, value] : attributes) file.attribute("/", name, value);
    file.finish();
  }
  ~KernelFile() {
    const auto world = comm::Communicator::world();
    world.barrier();
    if (world.root()) std::remove(path_.c_str());
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

const gram::RowIdentity kTrain{"the training rows (a)", 0x11, kN},
    kTest{"the test rows (b)", 0x22, kM};
const std::string kA = hash_text(0x11), kB = hash_text(0x22);

dist::RowBlock<double> coefficients(Index rows) {
  dist::RowBlock<double> A(comm::Communicator::world(), rows, 2);
  for (Index i = 0; i < A.local_rows(); ++i)
    for (Index c = 0; c < 2; ++c)
      A.row(i)[static_cast<std::size_t>(c)] = std::sin(static_cast<double>(A.first_row() + i + c));
  return A;
}

TEST(StoredKernel, OfOtherRowsIsRefusedWithBothHashes) {
  const auto world = comm::Communicator::world();
  const KernelFile K("source_k.h5", kN, kN, entry, {{"data_hash", kA}});
  const auto source = gram::Source::stored(K.path());
  EXPECT_TRUE(source.verify(world, kTrain).empty());
  auto other = kTrain;
  other.hash = 0x33;
  expect_words(error<InputError>([&] { (void)source.verify(world, other); }),
               {K.path(), kA, hash_text(0x33), "the training rows (a)", "`standardize`"});
  other = kTrain;
  other.rows = kN + 1;
  expect_words(error<InputError>([&] { (void)source.verify(world, other); }),
               {"12 x 12", "13 x 13"});
}

TEST(StoredKernel, WithoutHashesIsTakenOnTrustAndSaysSo) {
  const auto world = comm::Communicator::world();
  const KernelFile K("source_k.h5", kN, kN, entry, {}), C("source_c.h5", kM, kN, cross_entry, {});
  auto source = gram::Source::stored(K.path() + "," + C.path());
  const auto lines = source.verify(world, kTrain);
  ASSERT_EQ(lines.size(), 1u);
  expect_words(lines[0], {K.path(), "data_hash", "trust"});
  const auto cross = source.verify_cross(world, kTest, kTrain);
  ASSERT_EQ(cross.size(), 1u);
  expect_words(cross[0], {C.path(), "trust"});
  auto more = kTest;
  more.rows = kM + 1;
  expect_words(error<InputError>([&] { (void)source.verify_cross(world, more, kTrain); }),
               {"5 x 12", "6 x 12"});
}

TEST(StoredKernel, CrossMatrixIsHeldAgainstBothSets) {
  const auto world = comm::Communicator::world();
  const KernelFile K("source_k.h5", kN, kN, entry, {{"data_hash", kA}, {"kernel", "ntk(1)"}});
  const auto cross = [&](const KernelFile::Attributes& attributes) {
    return KernelFile("source_c.h5", kM, kN, cross_entry, attributes);
  };
  const std::string paths = K.path() + "," + own("source_c.h5");  // a Source verifies once
  {
    auto source = gram::Source::stored(paths);
    const auto C = cross({{"data_hash", kB}, {"data2_hash", kA}, {"kernel", "ntk(1)"}});
    EXPECT_TRUE(source.verify_cross(world, kTest, kTrain).empty());
  }
  {
    auto source = gram::Source::stored(paths);
    const auto C = cross({{"data_hash", hash_text(0x44)}, {"data2_hash", kA}});
    expect_words(error<InputError>([&] { (void)source.verify_cross(world, kTest, kTrain); }),
                 {"rows", "test rows", hash_text(0x44), kB});
  }
  {
    auto source = gram::Source::stored(paths);
    const auto C = cross({{"data_hash", kB}, {"data2_hash", hash_text(0x55)}});
    expect_words(error<InputError>([&] { (void)source.verify_cross(world, kTest, kTrain); }),
                 {"columns", "training rows", hash_text(0x55), kA});
  }
  {
    auto source = gram::Source::stored(paths);
    const auto C = cross({{"data_hash", kB}, {"data2_hash", kA}, {"kernel", "ntk(3)"}});
    expect_words(error<InputError>([&] { (void)source.verify_cross(world, kTest, kTrain); }),
                 {"ntk(3)", "ntk(1)"});
  }
  {  // by an earlier version: no hash of the columns
    auto source = gram::Source::stored(paths);
    const auto C = cross({{"data_hash", kB}});
    const auto lines = source.verify_cross(world, kTest, kTrain);
    ASSERT_EQ(lines.size(), 1u);
    expect_words(lines[0], {"columns", "data2_hash"});
  }
  auto alone = gram::Source::stored(K.path());
  expect_words(error<InputError>([&] { (void)alone.verify_cross(world, kTest, kTrain); }),
               {"CROSS.h5"});
  // K.h5 as its own cross matrix: right for the training rows, for no others.
  auto itself = gram::Source::stored(K.path() + "," + K.path());
  EXPECT_TRUE(itself.verify_cross(world, kTrain, kTrain).empty());
  auto same_size = kTest;
  same_size.rows = kN;
  expect_words(error<InputError>([&] { (void)itself.verify_cross(world, same_size, kTrain); }),
               {kA, kB});
}

TEST(StoredKernel, ATransposedCrossMatrixGivesTheSamePredictions) {
  const auto world = comm::Communicator::world();
  const KernelFile K("source_k.h5", kN, kN, entry, {{"data_hash", kA}});
  const KernelFile C("source_c.h5", kM, kN, cross_entry, {{"data_hash", kB}, {"data2_hash", kA}});
  const KernelFile D("source_d.h5", kN, kM, [](Index i, Index j) { return cross_entry(j, i); },
                     {{"data_hash", kA}, {"data2_hash", kB}});
  const dist::RowBlock<double> X(world, kN, 1), Z(world, kM, 1);
  const auto A = coefficients(kN);
  for (const KernelFile* file : {&C, &D}) {
    auto source = gram::Source::stored(K.path() + "," + file->path());
    EXPECT_TRUE(source.verify_cross(world, kTest, kTrain).empty());
    const auto F = gram::apply_cross(source, Z, X, A);
    ASSERT_EQ(F.rows(), kM);
    for (Index i = 0; i < F.local_rows(); ++i)
      for (Index c = 0; c < 2; ++c) {
        double sum = 0;
        for (Index j = 0; j < kN; ++j)
          sum += cross_entry(F.first_row() + i, j) * std::sin(static_cast<double>(j + c)) / kN;
        EXPECT_NEAR(F.row(i)[static_cast<std::size_t>(c)], sum, 1e-15) << file->path();
      }
  }
}

TEST(StoredKernel, IsSymmetricToTheRoundingOfItsType) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const dist::RowBlock<double> X(world, kN, 1);
  const auto off = [](double by) {
    return [by](Index i, Index j) { return entry(i, j) * (i > j ? 1 + by : 1); };
  };
  const auto assembled = [&](const KernelFile& file) {
    return error<InputError>([&] {
      const auto K = gram::assemble<double>(gram::Source::stored(file.path()), X, grid, {.nb = 4});
      EXPECT_TRUE(K.rows() == kN);
    });
  };
  const std::string path = "source_k.h5";
  EXPECT_EQ(assembled(KernelFile(path, kN, kN, off(1e-11), {})), "");
  expect_words(assembled(KernelFile(path, kN, kN, off(1e-7), {})), {"not symmetric"});
  EXPECT_EQ(assembled(KernelFile(path, kN, kN, off(2e-7), {}, float{})), "");
  expect_words(assembled(KernelFile(path, kN, kN, off(1e-5), {}, float{})),
               {"not symmetric", "9.5e-07"});
}

}  // namespace
}  // namespace mercer::test
