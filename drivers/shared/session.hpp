#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <functional>
#include <string>
#include <utility>

#include "mercer/data/dataset.hpp"
#include "mercer/dist/hdf5.hpp"
#include "mercer/report/phases.hpp"
#include "mercer/report/plot.hpp"
#include "mercer/report/progress.hpp"
#include "mercer/report/record.hpp"
#include "shared/command_line.hpp"
#include "shared/console.hpp"
#include "shared/machine.hpp"
#include "shared/places.hpp"
#include "shared/plan.hpp"
#include "shared/target.hpp"

namespace mercer::drivers {

/// What every driver does around its computation: the process grid, the header and footer that make
/// a redirected log document itself, phases, progress, the plan, and the records of the run.
/// Collective.
class Session {
 public:
  /// Refuses output places that cannot be written to, that the job reads, or that another job
  /// writes, before any work.
  Session(const CommandLine& line, const CommonOptions& options, const comm::Communicator& comm);

  const comm::Communicator& comm() const { return comm_; }
  const dist::ProcessGrid& grid() const { return grid_; }
  /// What the job is planned for: this run's ranks and grid, or with --dry-run those of --ranks and
  /// --nodes.
  const Target& target() const { return target_; }
  dist::GridShape shape() const { return target_.shape; }
  /// Bytes a rank that the job may take: --memory-limit, or what the machine, the job's control
  /// group and ulimit leave to each rank. Collective.
  double memory_limit() const;
  const CommonOptions& options() const { return options_; }
  const Places& places() const { return places_; }
  report::Phases& phases() { return phases_; }
  report::Record& record() { return record_; }

  /// Prints the run's first lines and notes sizes and kernel in the record. `data_hash`: 0 where
  /// there are no data.
  void begin(Index n, Index d, Index nb, const std::string& kernel, std::uint64_t data_hash);
  /// Prints the plan with --dry-run (true: stop here). Throws MemoryError when it does not fit the
  /// limit, with --dry-run after the plan is printed and the record written with the status
  /// "refused". Collective.
  bool stop_at_plan(const Plan& plan);
  Plan plan() const { return Plan(baseline_, plans_time()); }
  /// The coefficients of the plan's times. With --dry-run measured (about a second) or those of
  /// --machine, where the kernel's entries are measured if the file has another kernel's, and with
  /// the messages of target() (machine_of); the reference machine's where nobody looks at times.
  /// Collective.
  Machine machine(const gram::Source& kernel, Index d);
  /// The same without a kernel.
  Machine machine();
  /// Seconds that a phase has taken so far, the slowest rank's. Collective.
  double took(const std::string& phase) const;

  /// One line on standard output, from rank 0, unless --quiet.
  template <class... Args>
  void say(fmt::format_string<Args...> text, Args&&... args) const {
    if (comm_.root() && !quiet_)
      print(stdout, fmt::format(text, std::forward<Args>(args)...) + "\n");
  }
  void warn(const std::string& text) const;
  /// The same with --quiet too: something that was asked for is not there.
  void warn_always(const std::string& text) const;
  /// Throws InputError where the entries of these rows underflow; warns where the quadrature of
  /// tanh, softplus or sigmoid is off by more than 1e-8 at their variances. Collective.
  void check_range(const gram::Source& source, const dist::RowBlock<double>& X) const;

  /// Runs `body` as the named phase and returns what it returns.
  template <class Body>
  auto phase(const std::string& name, Body&& body) {
    const auto scope = phases_.time(name);
    return body();
  }
  /// The same for a long stage: `body` is given the function that it tells its share done.
  template <class Body>
  auto long_phase(const std::string& name, Body&& body) {
    const auto scope = phases_.time(name);
    report::Progress progress(name, progress_mode_, comm_.root());
    return body(std::function<void(double)>([&progress](double share) { progress.update(share); }));
  }

  /// The progress of a stage that has more to say than its share.
  report::Progress progress(const std::string& stage) const {
    return report::Progress(stage, progress_mode_, comm_.root());
  }

  /// Draws --plot. Where that fails the run goes on, with a warning: the picture can be drawn again
  /// from what is written. Collective.
  void draw(const std::vector<report::Plot>& panels) const;
  /// Opens --out and writes the attributes that every result has. Only with --out. Collective.
  dist::Hdf5File create_result();
  /// Writes the JSON record and prints the last line. Returns the exit code.
  int finish(bool ok = true);

 private:
  bool plans_time() const { return options_.dry_run || !options_.machine.empty(); }
  Machine machine(const kernel::Kernel* kernel, Index d);
  /// memory_limit(), and whose it is, in words for Plan::excess(). Collective.
  MemoryRoom memory_room() const;

  comm::Communicator comm_;
  CommonOptions options_;
  Target target_;
  Places places_;
  dist::ProcessGrid grid_;
  report::Phases phases_;
  report::Record record_;
  report::ProgressMode progress_mode_;
  bool quiet_;
  double baseline_ = 0;
  Timer clock_;
};

}  // namespace mercer::drivers
