#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <functional>
#include <string>
#include <utility>

#include "mercer/data/dataset.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/io/places.hpp"
#include "mercer/jobs/checkpoints.hpp"
#include "mercer/jobs/monitor.hpp"
#include "mercer/jobs/resources.hpp"
#include "mercer/plan/machine.hpp"
#include "mercer/plan/stage.hpp"
#include "mercer/plan/target.hpp"
#include "mercer/report/phases.hpp"
#include "mercer/report/plot.hpp"
#include "mercer/report/progress.hpp"
#include "mercer/report/record.hpp"
#include "shared/command_line.hpp"
#include "shared/console.hpp"

namespace mercer::drivers {

/// What every driver does around its computation: the process grid, the header and footer that make
/// a redirected log document itself, phases, progress, the plan, and the records of the run.
/// Collective.
class Session final : public jobs::Monitor {
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
  const io::OutputPlaces& places() const { return places_; }
  report::Phases& phases() { return phases_; }
  report::Record& record() { return record_; }

  /// Block size for n rows: --nb, or what is good. Local.
  Index block_of(Index n) const;
  /// Throws InputError where --checkpoint cannot be written, or where a run that starts anew would
  /// overwrite what an interrupted one has kept. Collective.
  void check_checkpoint(const jobs::CheckpointOptions& checkpoints) const;

  /// Prints the run's first lines and notes sizes and kernel in the record. `data_hash`: 0 where
  /// there are no data.
  void begin(Index n, Index d, Index nb, const std::string& kernel, std::uint64_t data_hash);
  /// Prints the plan with --dry-run (true: stop here). Throws MemoryError when it does not fit the
  /// limit, with --dry-run after the plan is printed and the record written with the status
  /// "refused". Collective.
  bool stop_at_plan(const Plan& plan);
  Plan plan() const { return Plan(baseline_, plans_time()); }
  /// What the job may use, with machine(kernel, d). Collective.
  jobs::Resources resources(const gram::Source& kernel, Index d);
  jobs::Resources resources(Machine machine);
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
      print(stdout, with_options(fmt::format(text, std::forward<Args>(args)...)) + "\n");
  }
  /// On standard error, unless --quiet; `always`: with it too.
  void warn(const std::string& text, bool always = false) override;

  // What jobs tell (jobs::Monitor): a line "topic   text", phases with their progress, and whether
  // a signal has come while an iterative solver keeps its state.
  void log(const std::string& topic, const std::string& text) override;
  void line(const std::string& text) override;
  void begin(const std::string& phase) override;
  void end() override;
  void progress(double share, const std::string& note = {}) override;
  bool interrupted() override;
  void solving(bool on) override;

  /// Draws --plot. Where that fails the run goes on, with a warning: the picture can be drawn again
  /// from what is written. Collective.
  void draw(const std::vector<report::Plot>& panels);
  /// Opens --out and writes the attributes that every result has. Only with --out. Collective.
  io::Hdf5File create_result();
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
  io::OutputPlaces places_;
  dist::ProcessGrid grid_;
  /// A phase that goes on, and its progress.
  struct Open {
    report::Phases::Scope time;
    report::Progress progress;
  };

  report::Phases phases_;
  std::vector<std::unique_ptr<Open>> open_;
  report::Record record_;
  report::ProgressMode progress_mode_;
  bool quiet_;
  double baseline_ = 0;
  Timer clock_;
};

}  // namespace mercer::drivers
