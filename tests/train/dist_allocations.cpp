#include "dense.hpp"
#include "support/counted_allocations.hpp"

namespace mercer::train {
namespace {

TEST(Allocations, AreNotMadeInAStep) {
  const auto world = comm::Communicator::world();
  const auto allocations = [&](Options options, Index steps) {
    const auto problem = test::odd_problem();
    options.steps = steps;
    options.record_every = 1'000'000;
    const long long before = ::allocations;
    test::train_on(world, problem, options);
    return ::allocations - before;
  };
  Options full, momentum, given, rows;
  momentum.momentum = 0.5;
  given.rate = 1e-3;
  rows.batch = 5;
  for (const Options& options : {full, momentum, given, rows}) {
    const long long few = allocations(options, 25);
    EXPECT_GT(few, 10);
    EXPECT_EQ(allocations(options, 60), few);
  }
  const auto with_P = [&](Index steps) {
    const auto problem = test::odd_problem();
    auto sets = test::parameter_sets(world, problem, 4);
    auto state = test::start<double>(problem);
    Options options = rows;
    options.steps = steps;
    options.record_every = 1'000'000;
    const long long before = ::allocations;
    descend<double>(world, problem.network, sets, state, problem.w, options, {}, {});
    return ::allocations - before;
  };
  EXPECT_EQ(with_P(60), with_P(25));
}

}  // namespace
}  // namespace mercer::train
