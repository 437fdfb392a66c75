#include <gtest/gtest.h>

#include <limits>
#include <new>
#include <string>
#include <vector>

#include "mercer/comm/communicator.hpp"
#include "mercer/comm/same.hpp"
#include "mercer/comm/together.hpp"

namespace mercer {
namespace {

using comm::Communicator;
using comm::Op;

class Comm : public testing::Test {
 protected:
  /// The error that `call` throws on this rank: "code: text", "" for none.
  template <class F>
  static std::string error(F&& call) {
    try {
      call();
    } catch (const Error& e) {
      return std::to_string(static_cast<int>(e.code())) + ": " + e.what();
    }
    return "";
  }
  Communicator world = Communicator::world();
  int P = world.size(), me = world.rank();
};

TEST_F(Comm, LetsNobodyThrowWhereNobodyFailed) {
  EXPECT_EQ(error([&] { comm::agree_or_throw(world, true, ExitCode::failed, "never"); }), "");
  EXPECT_EQ(comm::together(world, [&] { return me; }), me);
}

TEST_F(Comm, NamesTheFirstFactThatTheLowestDifferingRankHasOtherwise) {
  using comm::Fact;
  const std::vector<Fact> alike{{"--a", "1"}, {"--b", ""}};
  EXPECT_TRUE(comm::same(world, alike));
  EXPECT_EQ(error([&] { comm::require_same(world, alike, "advice"); }), "");
  EXPECT_EQ(error([&] { comm::require_same(world, {}, "advice"); }), "");
  if (P == 1) return;
  const auto text = [&](const std::vector<Fact>& mine) {
    return error([&] { comm::require_same(world, mine, "advice"); });
  };
  const bool last = me == P - 1;
  const std::string of_last = " on rank " + std::to_string(P - 1) + ": advice";
  const std::string tail(300, 'x');
  const std::vector<Fact> other{{"--a", "1"}, {"--b", "2"}},
      more{{"--a", "1"}, {"--b", ""}, {"--c", "3"}};
  EXPECT_EQ(text(last ? other : alike),
            "2: the ranks differ: --b is empty on rank 0 and 2" + of_last);
  EXPECT_EQ(text(last ? more : alike),
            "2: the ranks differ: --c is absent on rank 0 and 3" + of_last);
  EXPECT_EQ(text(last ? alike : more),
            "2: the ranks differ: --c is 3 on rank 0 and absent" + of_last);
  EXPECT_NE(text({{"--a", tail + (last ? "y" : "z")}}).find("2: the ranks differ: --a is xxx"),
            std::string::npos);
  EXPECT_EQ(text(last ? std::vector<Fact>{{"--b", ""}, {"--a", "1"}} : alike),
            "2: the ranks differ in what they are given: advice");
  const auto each = text({{"--a", std::to_string(me)}});
  EXPECT_EQ(each, "2: the ranks differ: --a is 0 on rank 0 and 1 on rank 1: advice");
}

TEST_F(Comm, LetsAllThrowWhatTheLowestFailingRankSays) {
  for (int first = 0; first < P; ++first) {
    const auto text = error([&] {
      comm::together(world, [&] {
        if (me >= first) throw InputError("rank {} of {} has no file", me, P);
      });
    });
    EXPECT_EQ(text,
              "2: rank " + std::to_string(first) + " of " + std::to_string(P) + " has no file");
  }
}

TEST_F(Comm, KeepsTheKindOfAnErrorOnAllRanks) {
  const int last = P - 1;
  EXPECT_THROW(comm::together(world,
                              [&] {
                                if (me == last) throw InputError("x");
                              }),
               InputError);
  EXPECT_THROW(comm::together(world,
                              [&] {
                                if (me == last) throw RunError("x");
                              }),
               RunError);
  EXPECT_THROW(comm::together(world,
                              [&] {
                                if (me == last) throw MemoryError("x");
                              }),
               MemoryError);
  EXPECT_THROW(comm::together(world,
                              [&] {
                                if (me == last) throw std::bad_alloc();
                              }),
               MemoryError);
  EXPECT_EQ(error([&] {
              comm::together(world, [&] {
                if (me == last) throw std::runtime_error("odd {}");
              });
            }),
            "1: odd {}");
  EXPECT_EQ(error([&] {
              comm::together(world, [&]() -> std::vector<int> {
                if (me == last) throw Error(ExitCode::interrupted, "stopped");
                return {1, 2};
              });
            }),
            "130: stopped");
}

TEST_F(Comm, ReducesBroadcastsAndGathers) {
  std::vector<double> values{static_cast<double>(me), 1, -static_cast<double>(me)};
  world.all_reduce(std::span<double>(values), Op::sum);
  EXPECT_EQ(values,
            (std::vector<double>{P * (P - 1) / 2.0, static_cast<double>(P), -P * (P - 1) / 2.0}));
  EXPECT_EQ(world.all_reduce(me, Op::max), P - 1);
  EXPECT_EQ(world.all_reduce(static_cast<float>(me), Op::min), 0.0f);
  world.all_reduce(std::span<double>(), Op::sum);

  for (int root = 0; root < P; ++root) {
    std::vector<Index> sent{me * 10, me};
    world.broadcast(std::span<Index>(sent), root);
    EXPECT_EQ(sent, (std::vector<Index>{root * 10, root}));
    const std::string text(static_cast<std::size_t>(root), 'x');
    EXPECT_EQ(world.broadcast(me == root ? text : "something else", root), text);
  }

  const auto all = world.all_gather(me * me);
  ASSERT_EQ(static_cast<int>(all.size()), P);
  for (int r = 0; r < P; ++r) EXPECT_EQ(all[static_cast<std::size_t>(r)], r * r);

  const std::vector<float> mine(static_cast<std::size_t>(me % 3), static_cast<float>(me));
  std::vector<float> expected;
  for (int r = 0; r < P; ++r)
    expected.insert(expected.end(), static_cast<std::size_t>(r % 3), static_cast<float>(r));
  EXPECT_EQ(world.all_gather(std::span<const float>(mine)), expected);
}

TEST_F(Comm, SendsFromAllToAllAlsoNothing) {
  // Rank r sends (r + 2 t) mod 4 elements, some of them none, to rank t.
  const auto count = [](int from, int to) { return Index{(from + 2 * to) % 4}; };
  std::vector<double> send, expected;
  std::vector<Index> counts, received, expected_counts;
  for (int r = 0; r < P; ++r) {
    counts.push_back(count(me, r));
    expected_counts.push_back(count(r, me));
    for (Index k = 0; k < count(me, r); ++k)
      send.push_back(100.0 * me + 10.0 * r + static_cast<double>(k));
    for (Index k = 0; k < count(r, me); ++k)
      expected.push_back(100.0 * r + 10.0 * me + static_cast<double>(k));
  }
  const auto arrived = world.all_to_all<double>(send, counts, &received);
  EXPECT_EQ(std::vector<double>(arrived.begin(), arrived.end()), expected);
  EXPECT_EQ(received, expected_counts);

  const std::vector<Index> none(static_cast<std::size_t>(P), 0);
  EXPECT_TRUE(world.all_to_all<double>({}, none).empty());
}

TEST_F(Comm, CountsTheBytesItSends) {
  const auto before = comm::bytes_sent();
  std::vector<Index> counts(static_cast<std::size_t>(P), 0);
  const std::vector<float> send(6, 1.0f);
  counts[static_cast<std::size_t>((me + 1) % P)] = 6;
  world.all_to_all<float>(send, counts);
  EXPECT_EQ(comm::bytes_sent() - before, P > 1 ? 24 : 0);
}

TEST_F(Comm, SplitsAndSharesItsHandle) {
  const Communicator parts = world.split(me % 2, -me);  // the ranks of a colour, backwards
  EXPECT_EQ(parts.size(), (P + 1 - me % 2) / 2);
  EXPECT_EQ(parts.rank(), parts.size() - 1 - me / 2);
  const Communicator some = world.split(me == 0 ? -1 : 0, me);
  EXPECT_EQ(some.valid(), me != 0);
  const Communicator copy = parts;
  EXPECT_EQ(copy.handle(), parts.handle());
  EXPECT_EQ(Communicator(MPI_COMM_NULL).handle(), MPI_COMM_NULL);
}

}  // namespace
}  // namespace mercer
