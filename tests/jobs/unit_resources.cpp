// Limits, rooms and sizes that jobs derive from their resources.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/jobs/ridge.hpp"
#include "mercer/jobs/spectrum.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "support/errors.hpp"

namespace mercer::jobs {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;

Resources machine_with(double available, bool firm, double memory_limit = 0) {
  return {.memory_limit = memory_limit,
          .available = available,
          .firm = firm,
          .whose = firm ? "that ulimit -v leaves to each rank" : "that this machine leaves",
          .baseline = 0.1 * kGiB};
}

TEST(Limits, AreTheUsersButForFirmOnesThatAreSmaller) {
  EXPECT_EQ(machine_with(8 * kGiB, false).limit(), 8 * kGiB);
  EXPECT_EQ(machine_with(8 * kGiB, false, 2 * kGiB).limit(), 2 * kGiB);
  EXPECT_EQ(machine_with(1 * kGiB, false, 2 * kGiB).limit(), 2 * kGiB);  // whatever is free now
  EXPECT_EQ(machine_with(1 * kGiB, true, 2 * kGiB).limit(), 1 * kGiB);
  EXPECT_EQ(machine_with(8 * kGiB, true, 2 * kGiB).limit(), 2 * kGiB);
  EXPECT_EQ(machine_with(0, true, 2 * kGiB).limit(), 2 * kGiB);
  EXPECT_EQ(machine_with(0, true).limit(), 0);
}

TEST(Rooms, AreWhatTheLimitLeavesBesideTheProcessAndTheRows) {
  const gram::Sizes sizes{.n = 1000, .d = 10, .c = 2, .m = 100, .shape = {1, 2}};
  const double data = 8.0 * 1100 * 12 / 2;
  EXPECT_DOUBLE_EQ(machine_with(8 * kGiB, false, 2 * kGiB).room(sizes),
                   1.9 * kGiB - 0.1 * kGiB - data);
  EXPECT_DOUBLE_EQ(machine_with(8 * kGiB, false).room(sizes),
                   0.95 * 0.8 * 8 * kGiB - 0.1 * kGiB - data);
  const auto little = machine_with(8 * kGiB, false, 0.1 * kGiB);
  EXPECT_EQ(machine_with(0, true).room(sizes), HUGE_VAL);  // no limit is known
  EXPECT_LT(little.room(sizes), 0);
  little.require_room(1);
  const auto text = test::error<MemoryError>([&] { little.require_room(little.room(sizes)); });
  EXPECT_NE(text.find("more than 95 % of the 102.40 MiB of `memory_limit`"), std::string::npos)
      << text;
  EXPECT_NE(test::error<MemoryError>([&] {
              machine_with(1, false).require_room(-1);
            }).find("more than 76 % of the 1 B that this machine leaves"),
            std::string::npos);
  EXPECT_NE(test::error<MemoryError>([&] { little.require_room(std::nan("")); }), "");
}

TEST(Plans, AreRefusedAboveTheLimitInTheWordsOfWhatSetsIt) {
  const auto text = [](const Resources& resources) {
    auto plan = resources.plan();
    plan.stage({.name = "assemble", .bytes = 3 * kGiB});
    return test::error<MemoryError>([&] { plan.require_memory(); });
  };
  EXPECT_EQ(text(machine_with(8 * kGiB, false)), "");
  EXPECT_EQ(text(machine_with(1 * kGiB, false, 4 * kGiB)), "");
  EXPECT_EQ(text(machine_with(0, true)), "");  // no limit is known
  EXPECT_EQ(text(machine_with(8 * kGiB, false, 2 * kGiB)),
            "the plan needs 3.10 GiB a rank in its stage 'assemble', more than the 2.00 GiB of "
            "`memory_limit`: use more ranks or fewer rows");
  EXPECT_NE(text(machine_with(1 * kGiB, true, 4 * kGiB))
                .find("more than the 1.00 GiB that ulimit -v leaves to each rank: use"),
            std::string::npos);
  EXPECT_NE(text(machine_with(1 * kGiB, false)).find("1.00 GiB that this machine leaves"),
            std::string::npos);
}

TEST(Blocks, AreThoseAskedForOrRecommended) {
  for (const Index n : {1, 500, 20000}) {
    EXPECT_EQ((Resources{.nb = 17}.block_of(n)), 17);
    EXPECT_EQ((Resources{.shape = {2, 3}}.block_of(n)), spectral::recommended_block(n, {2, 3}));
  }
}

/// Three quarters of the room, but at least 16 MiB and at most what gram takes by itself.
TEST(Panels, TakeAShareOfTheRoom) {
  const auto world = comm::Communicator::world();
  kernel::Options options;
  options.kind = kernel::Kind::gaussian;
  const auto kernel = gram::Source::function(kernel::make(options));
  dist::RowBlock<double> X(world, 50, 2), Y(world, 50, 1);
  for (Index i = 0; i < X.local_rows(); ++i)
    X.row(i)[0] = static_cast<double>(i), X.row(i)[1] = 1, Y.row(i)[0] = 1;
  const auto sets = data::split_of(data::of_rows(std::move(X), std::move(Y)));
  RidgeOptions ridge{.ridges = {0.1}};
  ridge.solver = RidgeSolver::direct;
  const double most = gram::Options{}.panel_bytes, least = 16.0 * 1024 * 1024;
  for (const double limit : {0.01 * kGiB, 0.2 * kGiB, 0.3 * kGiB, 100 * kGiB}) {
    const auto resources = machine_with(8 * kGiB, false, limit);
    const auto plan = jobs::plan(ridge, kernel, sets, resources, world);
    EXPECT_DOUBLE_EQ(plan.panel_bytes, std::clamp(0.75 * resources.room(plan.sizes), least, most));
    if (limit < 0.1 * kGiB) {
      EXPECT_EQ(plan.panel_bytes, least);
    }
    if (limit > kGiB) {
      EXPECT_EQ(plan.panel_bytes, most);
    }
  }
}

/// Says when it is destroyed.
class Mortal : public kernel::Kernel {
 public:
  explicit Mortal(bool& alive) : alive_(alive) { alive_ = true; }
  ~Mortal() override { alive_ = false; }
  std::string text() const override { return "mortal"; }
  std::unique_ptr<kernel::Rows> prepare(Matrix<double>&&) const override { return nullptr; }
  void tile(const kernel::Rows&, Index, const kernel::Rows&, Index,
            MatrixView<double>) const override {}
  void diagonal(const kernel::Rows&, Index, Index, double*) const override {}
  Index bytes_per_row(Index d) const override { return 8 * d; }

 private:
  bool& alive_;
};

TEST(Plans, KeepTheKernelThatTheyWereMadeFor) {
  const auto world = comm::Communicator::world();
  const auto rows = [&](Index columns) {
    dist::RowBlock<double> X(world, 20, columns);
    for (double& x : X.values()) x = 1;
    return X;
  };
  const auto sets = data::split_of(data::of_rows(rows(2), rows(1)));
  const auto resources = machine_with(8 * kGiB, false);
  bool alive = false;
  const auto temporary = [&] { return gram::Source::function(std::make_shared<Mortal>(alive)); };
  {
    const auto plan =
        jobs::plan(RidgeOptions{.ridges = {0.1}}, temporary(), sets, resources, world);
    EXPECT_TRUE(alive);
  }
  EXPECT_FALSE(alive);
  {
    const auto plan =
        jobs::plan(SpectrumOptions{.top = 3}, temporary(), sets.train, resources, world);
    EXPECT_TRUE(alive);
  }
  EXPECT_FALSE(alive);
}

}  // namespace
}  // namespace mercer::jobs
