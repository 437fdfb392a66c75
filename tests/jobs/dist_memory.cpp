// What every job does with memory: a plan that exceeds its limit is refused before anything is
// allocated, by the library itself; and the limit is the same at each start where the user gave it.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/jobs/ridge.hpp"
#include "mercer/jobs/spectrum.hpp"
#include "mercer/jobs/training.hpp"

namespace mercer::jobs {
namespace {

struct Memory : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  dist::ProcessGrid grid{world};
  Monitor silent;
  static constexpr Index n = 30, d = 3;

  dist::RowBlock<double> rows(Index count, Index columns, Index first = 0) const {
    dist::RowBlock<double> X(world, count, columns);
    for (Index i = 0; i < X.local_rows(); ++i)
      for (Index a = 0; a < columns; ++a)
        X.row(i)[static_cast<std::size_t>(a)] =
            std::sin(static_cast<double>(5 * (first + X.first_row() + i) + 3 * a + 1));
    return X;
  }
  data::Split sets() const {
    return data::split_of(data::of_rows(rows(n, d), rows(n, 1, 70)),
                          data::of_rows(rows(5, d, n), rows(5, 1, 90)));
  }
  /// Less than the process itself has taken.
  Resources too_little() const {
    auto resources = Resources::of(grid);
    resources.memory_limit = 0.5 * resources.baseline;
    return resources;
  }
  static gram::Source gaussian() {
    kernel::Options options;
    options.kind = kernel::Kind::gaussian;
    return gram::Source::function(kernel::make(options));
  }
};

TEST_F(Memory, RefusesASpectrum) {
  const auto kernel = gaussian();
  const auto set = data::of_rows(rows(n, d));
  const SpectrumOptions options{.top = 4, .method = spectral::Method::scalapack};
  const auto plan = jobs::plan(options, kernel, set, too_little(), world);
  EXPECT_THROW(solve<double>(plan, kernel, set, grid, silent), MemoryError);
}

TEST_F(Memory, RefusesAFitAndTransductivePredictions) {
  const auto kernel = gaussian();
  const auto split = sets();
  for (const bool transductive : {false, true}) {
    RidgeOptions options{.ridges = {0.1}, .transductive = transductive};
    options.solver = RidgeSolver::direct;
    const auto plan = jobs::plan(options, kernel, split, too_little(), world);
    if (transductive)
      EXPECT_THROW(transduce(plan, split, grid, silent), MemoryError);
    else
      EXPECT_THROW(fit(plan, split, grid, silent), MemoryError);
  }
}

TEST_F(Memory, RefusesATraining) {
  const auto architecture = arch::parse("dense(8) relu dense(1)");
  const net::Network network(architecture, d, net::Parametrization::ntk, net::Start::antisymmetric);
  const auto kernel = gram::Source::function(kernel::make({.architecture = architecture}));
  const auto split = sets();
  TrainingOptions options;
  options.descent.steps = 2;
  auto w_0 = network.initial<double>(0);
  const auto plan = jobs::plan<double>(options, network, kernel, split, w_0, too_little(), world);
  EXPECT_THROW(train<double>(plan, network, split, std::move(w_0), grid, silent), MemoryError);
}

struct Noting : Monitor {
  bool in_solver = false;
  int begun = 0;
  void solving(bool on) override { in_solver = on, begun += on ? 1 : 0; }
};

TEST(CheckpointsOf, ASolverEndWithIt) {
  const auto world = comm::Communicator::world();
  Noting monitor;
  try {
    Checkpoints checkpoints({.path = "C.h5"}, world, monitor, {});  // keeps these options
    checkpoints.begin();
    EXPECT_TRUE(monitor.in_solver);
    checkpoints.interrupted("3 products");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::interrupted);
    EXPECT_NE(std::string(error.what()).find("C.h5 holds the state"), std::string::npos);
  }
  EXPECT_FALSE(monitor.in_solver);
  EXPECT_EQ(monitor.begun, 1);

  Checkpoints none({}, world, monitor, {});
  none.begin();
  EXPECT_FALSE(monitor.in_solver);
  EXPECT_FALSE(none.step([](io::Hdf5File&) {}));
}

TEST_F(Memory, IsRefusedToAllRanksWhereOneHasNoRoomForTheBuffersOfBlas) {
  prepare_process(world);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &limit), 0);
  const rlimit before = limit;
  if (world.rank() == world.size() - 1) {
    limit.rlim_cur = std::min<rlim_t>(before.rlim_max, rlim_t{1} << 46);
    ASSERT_EQ(::setrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur -= static_cast<rlim_t>(process_room().bytes);  // what the process has
    limit.rlim_cur += 100 << 20;
    ASSERT_EQ(::setrlimit(RLIMIT_AS, &limit), 0);
  }
  EXPECT_THROW(prepare_process(world), MemoryError);
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &before), 0);
  prepare_process(world);
}

TEST_F(Memory, OfAJobDoesNotChangeWithTheFreeMemoryWhereTheUserLimitsIt) {
  // As unit_resources, but of this machine: ulimit and control groups are above 64 MiB here.
  auto first = Resources::of(grid), second = Resources::of(grid);
  first.memory_limit = second.memory_limit = 64.0 * 1024 * 1024;
  second.available *= 0.75;
  EXPECT_EQ(first.limit(), second.limit());
  EXPECT_EQ(first.limit(), 64.0 * 1024 * 1024);
}

}  // namespace
}  // namespace mercer::jobs
