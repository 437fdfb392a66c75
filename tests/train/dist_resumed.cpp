#include <unistd.h>

#include <filesystem>
#include <functional>

#include "dense.hpp"
#include "mercer/train/checkpoint.hpp"

namespace mercer::train {
namespace {

using test::DenseProblem;
using Sets = std::vector<RowSet<double>>;

struct ResumedTest : testing::Test {
  comm::Communicator world = comm::Communicator::world();
};

/// A training run of 20 steps.
struct Course {
  std::string name;
  const DenseProblem& problem;
  std::function<Sets()> sets;
  Options options = {};
  Hooks<double> hooks = {};

  State<double> run(const comm::Communicator& comm, Sets& rows, State<double> state, Index steps,
                    std::function<bool(Index)> interrupted = {}) const {
    Options with_steps = options;
    with_steps.steps = steps;
    auto calls = hooks;
    Index step = 0;
    if (interrupted) {
      calls.progress = [&](const State<double>& now) { step = now.step; };
      calls.interrupted = [&] { return interrupted(step); };
    }
    descend<double>(comm, problem.network, rows, state, problem.w, with_steps, {}, calls);
    return state;
  }
};

/// The state and S through a file.
void write_and_read(const comm::Communicator& comm, const net::Network& network,
                    State<double>& state, Sets& sets, Sets fresh) {
  namespace fs = std::filesystem;
  const auto directory = fs::path(comm.broadcast(
      (fs::temp_directory_path() / fmt::format("mercer-resumed-{}", getpid())).string(), 0));
  if (comm.root()) fs::create_directories(directory);
  comm.barrier();
  const Identity identity{{"course", "of the test"}};
  write_checkpoint(comm, directory / "c.h5", identity, state, sets);
  State<double> read;
  read_checkpoint(comm, directory / "c.h5", identity, network, read, fresh);
  state = std::move(read);
  sets = std::move(fresh);
  comm.barrier();
  if (comm.root()) fs::remove_all(directory);
}

/// Stopped at step `first`, by its end or by a signal, and continued, it equals an undisturbed run
/// to the bit.
void expect_resumable(const comm::Communicator& comm, const Course& course, Index first,
                      bool by_signal, bool through_file) {
  SCOPED_TRACE(
      fmt::format("{}, {} steps, signal {}, file {}", course.name, first, by_signal, through_file));
  auto sets = course.sets();
  const auto whole = course.run(comm, sets, test::start<double>(course.problem), 20);
  sets = course.sets();
  std::function<bool(Index)> signal;
  if (by_signal) signal = [first](Index seen) { return seen >= first - 1; };
  auto state =
      course.run(comm, sets, test::start<double>(course.problem), by_signal ? 20 : first, signal);
  EXPECT_EQ(state.step, first);
  EXPECT_NE(state.w, whole.w);
  if (through_file) write_and_read(comm, course.problem.network, state, sets, course.sets());
  state = course.run(comm, sets, std::move(state), 20);
  EXPECT_EQ(state.step, 20);
  EXPECT_EQ(state.w, whole.w);
  EXPECT_EQ(state.velocity, whole.velocity);
  EXPECT_EQ(state.rate, whole.rate);
  EXPECT_EQ(state.rejected, whole.rejected);
  EXPECT_EQ(state.projection, whole.projection);
  EXPECT_EQ(state.squares, whole.squares);
  EXPECT_EQ(state.s_version, whole.s_version);
  EXPECT_EQ(state.history.back().loss, whole.history.back().loss);
}

TEST_F(ResumedTest, ARunThatWasStoppedGoesOnAsIfItHadNot) {
  const auto problem = test::odd_problem();
  auto hard = test::dense_problem("dense(32) tanh dense(1)", 16, 2, 1, {}, 4);
  test::precondition_by_inverse(hard);
  const auto rows_of = [&](const DenseProblem& of) { return [&] { return of.parts(world); }; };
  const auto blocks = [&] {
    Sets sets;
    for (Index b = 0; b < 3; ++b)
      sets.push_back(test::dense_problem("dense(12) tanh dense(9) relu dense(2)", 6 + b, 3, 2,
                                         test::flattening(2 + b))
                         .part(world));
    return sets;
  };

  std::vector<Course> courses;
  courses.push_back({"full", problem, rows_of(problem)});
  courses.push_back({"momentum", problem, rows_of(problem)});
  courses.back().options.momentum = 0.7;
  courses.push_back({"weight decay", problem, rows_of(problem)});
  courses.back().options.weight_decay = 0.1;
  courses.push_back({"safeguard", hard, rows_of(hard)});
  courses.push_back({"rows", problem, rows_of(problem)});
  courses.back().options.batch = 5;
  courses.push_back({"rows, often refreshed, momentum", problem, rows_of(problem)});
  courses.back().options.batch = 5;
  courses.back().options.residual_refresh = 3;
  courses.back().options.momentum = 0.5;
  courses.push_back({"block", problem, blocks});
  courses.push_back({"block, momentum", problem, blocks});
  courses.back().options.momentum = 0.5;
  for (const Index batch : {0, 5}) {
    courses.push_back({fmt::format("fresh S, batch {}", batch), problem, rows_of(problem)});
    courses.back().options.refresh = 6;
    courses.back().options.batch = batch;
    courses.back().hooks.preconditioner = [&](RowSet<double>& set, std::size_t,
                                              std::span<const double> w) {
      const auto other =
          test::odd_problem(test::flattening(3 + static_cast<Index>(w[0] > problem.w[0])));
      const auto part = other.part(world);
      set.S = msk::Preconditioner<double>(part.S.vectors().copy(), part.S.coefficients());
    };
  }

  for (const double momentum : {0.0, 0.5}) {
    courses.push_back(
        {"S on the parameters", problem, [&] { return test::parameter_sets(world, problem, 5); }});
    courses.back().options.batch = 5;
    courses.back().options.momentum = momentum;
  }
  courses.push_back({"a fresh S on the parameters", problem,
                     [&] { return test::parameter_sets(world, problem, 5); }});
  courses.back().options.batch = 5;
  courses.back().options.refresh = 6;
  courses.back().hooks.preconditioner = [&](RowSet<double>& set, std::size_t,
                                            std::span<const double> w) {
    auto now = test::odd_problem({});
    now.w.assign(w.begin(), w.end());
    set.P = test::on_parameters(world, now, test::OwnPairs(now, 4));
  };

  auto rows = courses[3].sets();
  EXPECT_GT(courses[3].run(world, rows, test::start<double>(hard), 20).rejected, 0);
  for (const auto& course : courses) {
    expect_resumable(world, course, 7, false, false);
    expect_resumable(world, course, 12, true, false);
    expect_resumable(world, course, 12, false, true);
  }
}

TEST_F(ResumedTest, SecondsAndRecordsGoOn) {
  const auto problem = test::odd_problem();
  Options options;
  options.steps = 5;
  auto trained = test::train_on(world, problem, options);
  const double before = trained.state.seconds;
  options.steps = 9;
  auto sets = problem.parts(world);
  descend<double>(world, problem.network, sets, trained.state, problem.w, options, {}, {});
  EXPECT_GE(trained.state.seconds, before);
  const auto& history = trained.state.history;
  ASSERT_EQ(history.size(), 10u);
  for (std::size_t t = 0; t < 10; ++t) EXPECT_EQ(history[t].step, static_cast<Index>(t));
}

}  // namespace
}  // namespace mercer::train
