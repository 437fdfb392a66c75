#include <algorithm>

#include "mercer/base/text.hpp"
#include "mercer/net/empirical.hpp"
#include "shared/forecast.hpp"
#include "shared/train_job.hpp"

namespace mercer::drivers {

double activation_memory(const TrainJob& job) {
  constexpr double usual = 1e9;
  return job.common.memory_limit > 0 ? std::min(usual, job.common.memory_limit / 4) : usual;
}

double step_flops(const TrainJob& job, const net::Network& network, const data::Dataset& train) {
  const Index rows = job.options.batch > 0 ? job.options.batch : train.rows();
  const Index modes = !job.preconditioned() ? 0 : job.top < 0 ? rows : job.top;
  return static_cast<double>(rows) *
         (network.gradient_flops() + 4 * static_cast<double>(modes * train.outputs()));
}

template <class T>
Plan plan(const TrainJob& job, const net::Network& network, const gram::Source& kernel,
          const data::Split& sets, Index nb, Session& session) {
  const auto& o = job.options;
  const auto shape = session.shape();
  const double ranks = session.target().ranks;
  const Index n = sets.train.rows(), d = sets.train.dimension();
  const double c = static_cast<double>(sets.train.outputs());
  const double test = sets.test.has_value() ? static_cast<double>(sets.test->rows()) : 0;
  const double width = static_cast<double>(d) + c;
  const double data = 8 * (static_cast<double>(n) + test) * width / ranks;

  // S of all rows, or of one block after the other; or K's pairs for the directions alone.
  const Index rows = job.blocks() ? std::min(n, o.batch) : n;
  const double blocks = static_cast<double>(job.blocks() ? ceil_div(n, o.batch) : 1);
  const Index traced = job.directions.empty() ? 0 : job.directions.back();
  const Index top = !job.preconditioned() ? 0 : job.top < 0 ? rows : std::min(job.top, rows);
  const Index k = std::max(top, traced);
  const double copies = job.blocks() ? 8 * static_cast<double>(n) * width / ranks : 0;
  // The sets with their S, w, w_0 and what a result needs of w in double.
  const double p = static_cast<double>(network.parameters());
  const double own = static_cast<double>(ceil_div(n, session.target().ranks));
  const double held = copies + sizeof(T) * (2 * p + own * (width + static_cast<double>(k))) + 8 * p;

  // K is computed in double.
  forecast::Sizes sizes{
      .n = rows, .d = d, .shape = shape, .nb = nb, .kernel = forecast::kernel_of(kernel)};
  if (job.empirical()) sizes.numbers = static_cast<double>(kernel.kernel().bytes_per_row(d)) / 8;
  const double beside = data + copies + sizeof(T) * p;
  sizes.held = beside - sizes.data_bytes();

  const bool solve = k > 0 && job.spectrum.empty();
  const Machine machine =
      solve || job.trace_kernel ? session.machine(kernel, d) : session.machine();
  Plan plan = session.plan();
  plan.stage({.name = "load", .bytes = 2 * data, .seconds = session.took("load")});
  double refresh = 0, again = 0;  // bytes and seconds of K and its pairs
  const auto stage_of_every_block = [&](Stage stage) {
    stage.flops *= blocks, stage.seconds *= blocks;
    refresh = std::max(refresh, stage.bytes - beside);
    again += stage.seconds;
    plan.stage(std::move(stage));
  };
  if (solve || job.trace_kernel) stage_of_every_block(forecast::assemble(machine, sizes));
  if (solve) {
    const auto named = spectral::parse_method(job.solver);
    const auto method = named != spectral::Method::automatic
                            ? named
                            : spectral::choose(rows, k, true, shape, false).method;
    stage_of_every_block(forecast::eigensolve(machine, sizes, method, k));
  }
  sizes.single = std::is_same_v<T, float>;
  Stage train = forecast::descent(machine, sizes, static_cast<double>(o.steps),
                                  step_flops(job, network, sets.train), p);
  train.method = fmt::format("at most {} of {}", counted(o.steps, "step"),
                             counted(o.batch > 0 ? o.batch : n, "row"));
  const double descent = train::descend_bytes<T>(network, ceil_div(rows, session.target().ranks), n,
                                                 top, o, activation_memory(job));
  const double test_set = test > 0 ? sizeof(T) * test * (width + c) / ranks + kTestMemory : 0;
  train.bytes = data + held + descent + test_set;
  if (o.refresh > 0 || job.trace_kernel) train.bytes += refresh;
  if (o.refresh > 0) train.seconds += static_cast<double>(o.steps / o.refresh) * again;
  plan.stage(train);
  return plan;
}

template Plan plan<double>(const TrainJob&, const net::Network&, const gram::Source&,
                           const data::Split&, Index, Session&);
template Plan plan<float>(const TrainJob&, const net::Network&, const gram::Source&,
                          const data::Split&, Index, Session&);

}  // namespace mercer::drivers
