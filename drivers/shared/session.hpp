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

/// What every driver does around its computation: the process grid, the first and last lines that
/// make a redirected log document itself, phases, progress, the plan, and the run's JSON record and
/// HDF5 result. The constructor is collective.
class Session final : public jobs::Monitor {
 public:
  /// Throws InputError, before any work, for outputs that cannot be written, that are files which
  /// the job reads, or that another job is writing, for --plot without gnuplot, and where the
  /// ranks' processors or libraries differ; MemoryError where ulimit leaves no room for the buffers
  /// of BLAS. Collective.
  Session(const CommandLine& line, const CommonOptions& options, const comm::Communicator& comm);

  const comm::Communicator& comm() const { return comm_; }
  const dist::ProcessGrid& grid() const { return grid_; }
  /// The grid that the job is planned for: this run's, or with --dry-run that of --ranks and
  /// --nodes. Local.
  dist::GridShape shape() const { return target_.shape; }
  const CommonOptions& options() const { return options_; }
  const io::OutputPlaces& places() const { return places_; }
  report::Record& record() { return record_; }

  /// Block size for n rows: --nb, or the recommended one. Local.
  Index block_of(Index n) const;
  /// Throws InputError where --checkpoint cannot be written, or where a run without --resume would
  /// overwrite the checkpoint of an interrupted one. Collective.
  void check_checkpoint(const jobs::CheckpointOptions& checkpoints) const;

  /// Prints the run's first lines and notes sizes and kernel in the record. `nb`: 0 where there is
  /// no block size. `data_hash`: 0 where there are no data. Local.
  void begin(Index n, Index d, Index nb, const std::string& kernel, std::uint64_t data_hash);
  /// With --dry-run prints the plan, writes the JSON record, and returns true: the driver ends
  /// here. Otherwise false. Throws MemoryError where the plan exceeds its limit, after printing it
  /// and writing a record with the status "refused"; InputError where the disk has no room for
  /// `result_bytes` of --out (0: a small result). Collective.
  bool stop_at_plan(const Plan& plan, double result_bytes = 0);
  /// An empty plan, to be filled with stages. Collective.
  Plan plan() const { return resources({}).plan(); }
  /// What the job may use, with machine(kernel, d). Collective.
  jobs::Resources resources(const gram::Source& kernel, Index d);
  jobs::Resources resources(Machine machine) const;
  /// The machine rates of the plan's times. With --dry-run they are measured (about two seconds),
  /// or those of --machine (entries are measured where the file has another kernel's), with the
  /// network of --latency and --network-bandwidth. Without --dry-run those of --machine, else the
  /// reference machine's, because no times are shown then. Collective.
  Machine machine(const gram::Source& kernel, Index d);
  /// The same without a kernel.
  Machine machine();
  /// Seconds that a phase has taken so far, on the slowest rank. Collective.
  double took(const std::string& phase) const;

  /// One line on standard output, from rank 0, unless --quiet (or --json -). Local.
  template <class... Args>
  void say(fmt::format_string<Args...> text, Args&&... args) const {
    if (comm_.root() && !quiet_)
      print(stdout, with_options(fmt::format(text, std::forward<Args>(args)...)) + "\n");
  }
  /// A warning on standard error, from rank 0; with --quiet only if `always`. Local.
  void warn(const std::string& text, bool always = false) override;

  // jobs::Monitor: what a job reports (a line "topic   text", a line as it stands, phases and their
  // progress), and whether a signal has come while an iterative solver can keep its state.
  void log(const std::string& topic, const std::string& text) override;
  void log(const std::string& topic, const std::vector<std::string>& lines) {
    for (const auto& line : lines) log(topic, line);
  }
  void line(const std::string& text) override;
  void begin(const std::string& phase) override;
  void end() override;
  void progress(double share, const std::string& note = {}) override;
  bool interrupted() override;
  void solving(bool on) override;

  /// Draws --plot. Where that fails there is a warning and the run goes on: the picture can be
  /// drawn again from the result. Collective.
  void draw(const std::vector<report::Plot>& panels);
  /// Creates --out, which must have been given, with the attributes of every result. Collective.
  io::Hdf5File create_result();
  /// Creates --out, where it is given, and completes it with what `body` writes. Phase: write.
  /// Collective.
  template <class Body>
  void write_result(Body&& body) {
    if (options_.out.empty()) return;
    const Phase scope(*this, "write");
    auto file = create_result();
    body(file);
    file.finish();
  }
  /// Writes the JSON record and prints the last lines, time and memory. Returns the exit code: 0,
  /// or 1 where not `ok`. Collective.
  int finish(bool ok = true);

 private:
  bool plans_time() const {
    return options_.dry_run || options_.times || !options_.machine.empty();
  }
  Machine machine(const kernel::Kernel* kernel, Index d);

  comm::Communicator comm_;
  CommonOptions options_;
  Target target_;
  io::OutputPlaces places_;
  dist::ProcessGrid grid_;
  /// A phase under way and its progress.
  struct Open {
    report::Phases::Scope time;
    report::Progress progress;
  };

  report::Phases phases_;
  std::vector<std::unique_ptr<Open>> open_;
  report::Record record_;
  report::ProgressMode progress_mode_;
  bool quiet_;
  bool drawn_ = false;  ///< draw() was called
  double baseline_ = 0;
  Timer clock_;
};

/// Prints the notes of the sets (what was read as what), one line each, and their warnings. `test`:
/// of a test set alone, new rows for a stored model.
void say_notes(Session& session, const data::Dataset& train);
void say_notes(Session& session, const data::Split& sets);
void say_test_notes(Session& session, const data::Dataset& test);

}  // namespace mercer::drivers
