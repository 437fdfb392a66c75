#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>

#include "mercer/base/error.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/train/checkpoint.hpp"

namespace mercer::train {
namespace {

namespace fs = std::filesystem;

constexpr Index kParameters = 101, kOutputs = 3;
const Identity kIdentity{{"architecture", "dense(64) relu dense(3)"},
                         {"data_hash", "0123456789abcdef"},
                         {"lr", "auto"},
                         {"note", ""}};

const net::Network kNetwork(arch::parse("dense(40) relu dense(3)"), 2, net::Parametrization::ntk,
                            net::Start::antisymmetric);

template <class T>
T number(Index i, Index seed) {
  return static_cast<T>(std::sin(static_cast<double>(i * 37 + seed)) / 3);
}

/// A double with all kinds of bits: what text would not carry.
double odd_double(Index i) {
  switch (i % 6) {
    case 0:
      return std::numeric_limits<double>::denorm_min() * static_cast<double>(i + 1);
    case 1:
      return -0.0;
    case 2:
      return std::numeric_limits<double>::infinity();
    case 3:
      return std::bit_cast<double>(std::uint64_t{0x7ff8000000000abc});
    default:
      return number<double>(i, 5);
  }
}

template <class T>
State<T> example(const std::vector<RowSet<T>>& sets, bool stochastic) {
  State<T> state;
  state.step = (Index{1} << 52) + 1;
  for (Index i = 0; i < kParameters; ++i) state.w.push_back(number<T>(i, 1));
  state.w[7] = static_cast<T>(-0.0);
  state.w[8] = std::numeric_limits<T>::denorm_min();
  if (stochastic)
    for (Index i = 0; i < kParameters; ++i) state.velocity.push_back(number<T>(i, 2));
  state.rate = 1.0 / 3;
  state.bound = odd_double(0);
  state.lambda_max = 1e300 / 7;
  state.first_residual = std::sqrt(2.0);
  state.rejected = 4;
  state.s_version = 2;
  state.seconds = odd_double(4);
  state.stalled = 3;
  for (Index i = 0; i < 5; ++i) state.rates.push_back(odd_double(i + 4));
  for (Index i = 0; i < 5; ++i) state.decay.push_back(odd_double(i));
  for (Index i = 0; i < 5; ++i) state.start.push_back(odd_double(i + 1));
  for (Index i = 0; i < 11; ++i) state.projection.push_back(odd_double(i + 2));
  for (Index i = 0; i < 6; ++i) state.squares.push_back(odd_double(i + 3));
  for (Index r = 0; r < 9; ++r) {
    Record record;
    record.step = 10 * r;
    double* const numbers[] = {&record.loss,      &record.loss_preconditioned,
                               &record.residual,  &record.rate,
                               &record.distance,  &record.seconds,
                               &record.loss_test, &record.kernel_change};
    for (Index i = 0; i < 8; ++i) *numbers[i] = odd_double(8 * r + i);
    for (Index i = 0; i < r % 4; ++i) record.directions.push_back(odd_double(i + r));
    for (Index i = 0; i < (r + 1) % 3; ++i) record.predicted.push_back(odd_double(i - r + 20));
    state.history.push_back(record);
  }
  if (stochastic)
    for (const auto& set : sets) {
      Matrix<T> r(kOutputs, set.rows());
      for (Index j = 0; j < r.cols(); ++j)
        for (Index a = 0; a < kOutputs; ++a) r(a, j) = number<T>(a + 100 * (set.first + j), 3);
      state.residual.push_back(std::move(r));
    }
  return state;
}

/// Sets of 29, 1 and 2 rows with k modes of S in the first and k + 1 in the last.
template <class T>
std::vector<RowSet<T>> example_sets(const comm::Communicator& comm, Index k, Index seed = 0) {
  std::vector<RowSet<T>> sets(3);
  const Index sizes[] = {29, 1, 2};
  for (std::size_t s = 0; s < 3; ++s) {
    const dist::RowPartition parts{sizes[s], comm.size()};
    auto& set = sets[s];
    set.n = sizes[s];
    set.first = parts.begin(comm.rank());
    set.X = Matrix<T>(2, parts.size(comm.rank()), T{1});
    set.Y = Matrix<T>(kOutputs, set.rows(), T{1});
    const Index modes = s == 1 || k == 0 ? 0 : k + static_cast<Index>(s) / 2;
    Matrix<T> V(modes, set.rows());
    std::vector<double> c;
    for (Index i = 0; i < modes; ++i) c.push_back(odd_double(i + seed));
    for (Index j = 0; j < set.rows(); ++j)
      for (Index i = 0; i < modes; ++i) V(i, j) = number<T>(i + 50 * (set.first + j), seed);
    set.S = msk::Preconditioner<T>(std::move(V), std::move(c));
  }
  return sets;
}

/// The same rows with S on the parameters, k modes, in the first set; k = 0: only its bound.
template <class T>
std::vector<RowSet<T>> parameter_example(const comm::Communicator& comm, Index k, bool mirrored) {
  auto sets = example_sets<T>(comm, 0);
  const BatchBound bound{.beta = 1.0 / 3, .tail = 1.0 / 7};
  auto layout = parameter_layout<T>(comm, kNetwork, mirrored);
  Matrix<T> Psi(layout.entries(), k);
  std::vector<double> c;
  for (Index i = 0; i < k; ++i) {
    c.push_back(odd_double(i + 4));
    T* to = Psi.column(i);
    for (const auto& part : layout.parts)
      for (Index e = 0; e < part.count; ++e) *to++ = number<T>(part.begin + e, i);
  }
  sets[0].P = {std::move(layout), std::move(Psi), std::move(c), bound};
  return sets;
}

/// The bits of whatever a state and its sets hold on this rank, one after the other.
template <class T>
std::string bits(const State<T>& state, const std::vector<RowSet<T>>& sets) {
  std::string all;
  const auto put = [&](const auto* values, std::size_t count) {
    const auto bytes = count * sizeof(*values);
    all += std::to_string(bytes) + ":";
    if (bytes > 0) all.append(reinterpret_cast<const char*>(values), bytes);
  };
  const auto vector = [&](const auto& v) { put(v.data(), v.size()); };
  const auto matrix = [&](const auto& M) {
    all += std::to_string(M.rows()) + "x";
    put(M.data(), static_cast<std::size_t>(M.size()));
  };
  vector(std::vector<Index>{state.step, state.rejected, state.s_version, state.stalled});
  vector(std::vector<double>{state.rate, state.bound, state.lambda_max, state.first_residual,
                             state.seconds});
  for (const auto* v : {&state.w, &state.velocity}) vector(*v);
  for (const auto* v :
       {&state.rates, &state.decay, &state.start, &state.projection, &state.squares})
    vector(*v);
  for (const auto& r : state.residual) matrix(r);
  for (const Record& r : state.history) {
    vector(std::vector<Index>{r.step});
    vector(std::vector<double>{r.loss, r.loss_preconditioned, r.residual, r.rate, r.distance,
                               r.seconds, r.loss_test, r.kernel_change});
    vector(r.directions);
    vector(r.predicted);
  }
  for (const auto& set : sets) {
    matrix(set.S.vectors());
    vector(set.S.coefficients());
    if (!set.P.identity()) matrix(set.P.Psi());
    vector(set.P.coefficients());
    vector(std::vector<double>{set.P.bound().beta, set.P.bound().tail});
  }
  return all;
}

/// A directory of the test's own, the same on all ranks, removed at the end.
template <class T>
class CheckpointTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto base = fs::temp_directory_path() / ("mercer-ck-" + std::to_string(::getpid()));
    place = world.broadcast(base.string(), 0);
    if (world.root()) fs::create_directory(place);
    world.barrier();
    path = place + "/ck.h5";
  }
  void TearDown() override {
    world.barrier();
    if (world.root()) fs::remove_all(place);
    world.barrier();
  }
  std::set<std::string> files() const {
    world.barrier();
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(place))
      names.insert(entry.path().filename().string());
    world.barrier();
    return names;
  }
  std::string side_file() const {
    for (const auto& name : files())
      if (name.starts_with("ck.h5.S-")) return place + "/" + name;
    return "";
  }
  /// The message of the InputError that reading gives; "" where it reads.
  std::string error(const Identity& identity, std::vector<RowSet<T>> sets) {
    try {
      State<T> state;
      read_checkpoint(world, path, identity, kNetwork, state, sets);
    } catch (const InputError& e) {
      return e.what();
    }
    return "";
  }
  std::string error(const Identity& identity = kIdentity) {
    return error(identity, example_sets<T>(world, 0));
  }
  template <class F>
  void on_root(F&& f) {
    world.barrier();
    if (world.root()) f();
    world.barrier();
  }
  /// Whether all ranks read what they would write.
  bool reads_back(const State<T>& state, const std::vector<RowSet<T>>& sets) {
    State<T> found;
    auto found_sets = example_sets<T>(world, 1, 99);
    read_checkpoint(world, path, kIdentity, kNetwork, found, found_sets);
    return world.all_reduce(bits(found, found_sets) == bits(state, sets) ? 1 : 0, comm::Op::min) ==
           1;
  }

  comm::Communicator world = comm::Communicator::world();
  std::string place, path;
};
using Precisions = testing::Types<double, float>;
TYPED_TEST_SUITE(CheckpointTest, Precisions);

TYPED_TEST(CheckpointTest, IsReadAsItWasWrittenToTheBit) {
  using T = TypeParam;
  for (const bool stochastic : {false, true})
    for (const Index k : {0, 5}) {
      const auto sets = example_sets<T>(this->world, k);
      const auto state = example<T>(sets, stochastic);
      write_checkpoint(this->world, this->path, kIdentity, state, sets);
      EXPECT_TRUE(this->reads_back(state, sets));
    }
}

TYPED_TEST(CheckpointTest, ANewRunsStateIsReadAsItWasWritten) {
  using T = TypeParam;
  std::vector<RowSet<T>> none;
  State<T> state, found = example<T>(example_sets<T>(this->world, 1), true);
  write_checkpoint(this->world, this->path, {}, state, none);
  read_checkpoint(this->world, this->path, {}, kNetwork, found, none);
  EXPECT_EQ(bits(found, none), bits(state, none));
}

TYPED_TEST(CheckpointTest, IsReadOnAnotherNumberOfRanks) {
  using T = TypeParam;
  // Half of the ranks write, then all read, then the other way round.
  const int half = (this->world.size() + 1) / 2;
  const auto part = this->world.split(this->world.rank() < half ? 0 : 1, this->world.rank());
  const bool in_part = this->world.rank() < half;
  if (in_part) {
    const auto sets = example_sets<T>(part, 5);
    write_checkpoint(part, this->path, kIdentity, example<T>(sets, true), sets);
  }
  this->world.barrier();
  const auto sets = example_sets<T>(this->world, 5);
  const auto state = example<T>(sets, true);
  EXPECT_TRUE(this->reads_back(state, sets));
  this->world.barrier();
  write_checkpoint(this->world, this->path, kIdentity, state, sets);
  if (!in_part) return;
  State<T> found;
  auto found_sets = example_sets<T>(part, 0);
  read_checkpoint(part, this->path, kIdentity, kNetwork, found, found_sets);
  const auto expected = example_sets<T>(part, 5);
  EXPECT_EQ(bits(found, found_sets), bits(example<T>(expected, true), expected));
}

TYPED_TEST(CheckpointTest, OfSOnTheParametersIsReadToTheBitOnAnyNumberOfRanks) {
  using T = TypeParam;
  const int half = (this->world.size() + 1) / 2;
  const auto part = this->world.split(this->world.rank() < half ? 0 : 1, this->world.rank());
  for (const bool mirrored : {false, true})
    for (const Index k : {0, 5}) {
      if (this->world.rank() < half) {
        const auto sets = parameter_example<T>(part, k, mirrored);
        write_checkpoint(part, this->path, kIdentity, example<T>(sets, true), sets);
      }
      this->world.barrier();
      const auto sets = parameter_example<T>(this->world, k, mirrored);
      EXPECT_TRUE(this->reads_back(example<T>(sets, true), sets)) << k << mirrored;
      EXPECT_EQ(this->files().size(), 2u);
    }
}

TYPED_TEST(CheckpointTest, KeepsOneSBesideItAndWritesItOnlyWhenItIsNew) {
  using T = TypeParam;
  auto sets = example_sets<T>(this->world, 5);
  const auto state = example<T>(sets, false);
  write_checkpoint(this->world, this->path, kIdentity, state, sets);
  const auto first = this->files();
  EXPECT_EQ(first.size(), 2u);
  const auto old = fs::file_time_type::clock::now() - std::chrono::hours(1);
  this->on_root([&] { fs::last_write_time(this->place + "/" + *first.rbegin(), old); });
  write_checkpoint(this->world, this->path, kIdentity, state, sets);
  EXPECT_EQ(this->files(), first);
  EXPECT_LT(fs::last_write_time(this->place + "/" + *first.rbegin()),
            fs::file_time_type::clock::now() - std::chrono::minutes(30));
  sets = example_sets<T>(this->world, 5, 1);
  write_checkpoint(this->world, this->path, kIdentity, state, sets);
  EXPECT_EQ(this->files().size(), 2u);
  EXPECT_NE(this->files(), first);
  EXPECT_TRUE(this->reads_back(state, sets));
  sets = example_sets<T>(this->world, 0);
  write_checkpoint(this->world, this->path, kIdentity, state, sets);
  EXPECT_EQ(this->files(), std::set<std::string>{"ck.h5"});
  EXPECT_TRUE(this->reads_back(state, sets));
}

TYPED_TEST(CheckpointTest, OfAnotherProblemIsRefusedWithTheFirstDifferenceNamed) {
  using T = TypeParam;
  const auto sets = example_sets<T>(this->world, 0);
  write_checkpoint(this->world, this->path, kIdentity, example<T>(sets, false), sets);
  EXPECT_EQ(this->error(), "");
  auto other = kIdentity;
  other[1].second = "34";
  other[2].second = "0.1";
  const std::string start = "`resume`: " + this->path + " is of another problem: ";
  EXPECT_EQ(this->error(other), start + "data_hash is 0123456789abcdef there and 34 here");
  other = kIdentity;
  other.emplace_back("batch", "64");
  EXPECT_EQ(this->error(other), "`resume`: " + this->path +
                                    " is of another problem, or was written by another version of "
                                    "Mercer: it has no batch, which is 64 here");
  other = kIdentity;
  other.erase(other.begin());
  EXPECT_EQ(this->error(other),
            start + "architecture is dense(64) relu dense(3) there and absent here");
  auto fewer = example_sets<T>(this->world, 0);
  fewer.pop_back();
  EXPECT_EQ(this->error(kIdentity, std::move(fewer)),
            start + "the number of blocks of rows is 3 there and 2 here");
  auto changed = example_sets<T>(this->world, 0);
  changed[1].n = 7;
  EXPECT_EQ(this->error(kIdentity, std::move(changed)),
            start + "the number of rows of block 1 is 1 there and 7 here");
}

TYPED_TEST(CheckpointTest, OfAnotherPrecisionIsRefused) {
  using T = TypeParam;
  using Other = std::conditional_t<std::is_same_v<T, double>, float, double>;
  const auto sets = example_sets<Other>(this->world, 0);
  write_checkpoint(this->world, this->path, kIdentity, example<Other>(sets, false), sets);
  EXPECT_NE(this->error().find("the precision is float"), std::string::npos);
}

TYPED_TEST(CheckpointTest, WrittenByAnotherVersionOrProgramIsRefused) {
  auto file = io::Hdf5File::create(this->world, this->path);
  file.attribute("/", "checkpoint_version", Index{1});
  file.finish();
  EXPECT_EQ(this->error(),
            this->path + ": is a checkpoint of version 1, this program reads version 3");
  file = io::Hdf5File::create(this->world, this->path);
  file.attribute("/", "kernel", std::string("gaussian"));
  file.finish();
  EXPECT_EQ(this->error(), this->path + ": is not a checkpoint of mercer-train");
  this->on_root([&] { fs::remove(this->path); });
  EXPECT_EQ(this->error(), this->path + ": no such file");
}

TYPED_TEST(CheckpointTest, TruncatedAnywhereIsRefusedInOneLine) {
  using T = TypeParam;
  const auto sets = example_sets<T>(this->world, 5);
  write_checkpoint(this->world, this->path, kIdentity, example<T>(sets, true), sets);
  for (const std::string& file : {this->path, this->side_file()}) {
    const auto size = static_cast<Index>(fs::file_size(file));
    const std::string backup = this->place + "/backup";
    this->on_root([&] { fs::copy_file(file, backup, fs::copy_options::overwrite_existing); });
    for (const Index length : {Index{0}, Index{7}, Index{100}, size / 3, size / 2, size - 1}) {
      this->on_root([&] { fs::resize_file(file, static_cast<std::uintmax_t>(length)); });
      const auto message = this->error();
      EXPECT_NE(message.find(file), std::string::npos) << length << " of " << size;
      EXPECT_EQ(message.find('\n'), std::string::npos);
      this->on_root([&] { fs::copy_file(backup, file, fs::copy_options::overwrite_existing); });
    }
  }
  EXPECT_EQ(this->error(), "");
}

/// Finds where `value` is stored in the file, and changes its last bit.
template <class T>
bool flip(const std::string& file, T value) {
  std::ifstream in(file, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  char wanted[sizeof value];
  std::memcpy(wanted, &value, sizeof value);
  const auto at = bytes.find(std::string(wanted, sizeof value));
  if (at == std::string::npos) return false;
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  std::ofstream(file, std::ios::binary) << bytes;
  return true;
}

TYPED_TEST(CheckpointTest, OneBitThatChangedInTheStateOrInSIsFound) {
  using T = TypeParam;
  const auto sets = example_sets<T>(this->world, 5);
  const auto state = example<T>(sets, true);
  const auto damage = [&](const std::string& file, auto value) {
    this->on_root([&] { EXPECT_TRUE(flip(file, value)); });
    const auto message = this->error();
    this->on_root([&] { EXPECT_TRUE(fs::remove(file)); });
    write_checkpoint(this->world, this->path, kIdentity, state, sets);
    return message;
  };
  write_checkpoint(this->world, this->path, kIdentity, state, sets);
  EXPECT_NE(damage(this->path, state.w[50]).find("is damaged"), std::string::npos);
  EXPECT_NE(damage(this->path, number<T>(2 + 100 * 28, 3)).find("is damaged"), std::string::npos);
  EXPECT_NE(damage(this->path, state.lambda_max).find("is damaged"), std::string::npos);
  EXPECT_NE(damage(this->side_file(), number<T>(3 + 50 * 28, 0)).find("is damaged"),
            std::string::npos);
  EXPECT_TRUE(this->reads_back(state, sets));
}

TYPED_TEST(CheckpointTest, WithoutItsSOrWithAnotherIsRefused) {
  using T = TypeParam;
  const auto sets = example_sets<T>(this->world, 5), other = example_sets<T>(this->world, 5, 1);
  const auto state = example<T>(sets, false);
  write_checkpoint(this->world, this->path, kIdentity, state, other);
  const std::string wrong = this->side_file(), kept = this->place + "/kept";
  this->on_root([&] { fs::rename(wrong, kept); });
  write_checkpoint(this->world, this->path, kIdentity, state, sets);
  const std::string right = this->side_file();
  this->on_root([&] { fs::remove(right); });
  EXPECT_EQ(this->error(), this->path + ": its S lies in " + right + ", which is missing");
  this->on_root([&] { fs::rename(kept, right); });
  EXPECT_NE(this->error().find(right + ": is not the S of " + this->path), std::string::npos);
  write_checkpoint(this->world, this->path, kIdentity, state, sets);  // which replaces it
  EXPECT_TRUE(this->reads_back(state, sets));
}

TYPED_TEST(CheckpointTest, AWriteThatWasInterruptedLeavesTheOldOneAndNothingForLong) {
  using T = TypeParam;
  const auto sets = example_sets<T>(this->world, 5);
  const auto state = example<T>(sets, true);
  write_checkpoint(this->world, this->path, kIdentity, state, sets);
  const auto before = this->files();
  {
    auto unfinished = io::Hdf5File::create(this->world, this->path);
    unfinished.write("/state/w", std::vector<double>{1, 2});
  }
  EXPECT_EQ(this->files(), before);
  EXPECT_TRUE(this->reads_back(state, sets));
  // What a run that was killed leaves: temporary files; and what a user keeps under such names.
  const std::set<std::string> users = {"ck.h5.tmp-17", "ck.h5.S-0123456789abcdef.tmp-17",
                                       "ck.h5.S-0123456789abcdef", "ck.h5.other", "ck.h5.S-notes"};
  this->on_root([&] {
    namespace fs = std::filesystem;
    for (const auto& name : users) std::ofstream(this->place + "/" + name) << "x";
    for (const char* name :
         {"ck.h5.tmp-00000000-1-2-0", "ck.h5.S-0123456789abcdef.tmp-00000000-1-2-0"}) {
      const auto left = this->place + "/" + name;
      std::ofstream(left) << "x";
      fs::last_write_time(left, fs::file_time_type::clock::now() - std::chrono::hours(30));
    }
  });
  EXPECT_TRUE(this->reads_back(state, sets));
  write_checkpoint(this->world, this->path, kIdentity, state, sets);
  auto after = before;
  after.insert(users.begin(), users.end());
  EXPECT_EQ(this->files(), after);
  EXPECT_TRUE(this->reads_back(state, sets));
}

TYPED_TEST(CheckpointTest, APlaceThatCannotBeWrittenToIsNamed) {
  using T = TypeParam;
  const auto sets = example_sets<T>(this->world, 0);
  const std::string nowhere = this->place + "/missing/ck.h5";
  EXPECT_THROW(write_checkpoint(this->world, nowhere, kIdentity, example<T>(sets, false), sets),
               InputError);
}

}  // namespace
}  // namespace mercer::train
