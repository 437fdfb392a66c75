#include "shared/session.hpp"

#include <cmath>
#include <filesystem>
#include <thread>

#include "mercer/base/hash.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/base/text.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/io/signals.hpp"
#include "mercer/plan/memory.hpp"
#include "mercer/report/libraries.hpp"

namespace mercer::drivers {
namespace {

report::ProgressMode mode(const CommonOptions& options) {
  if (options.quiet || options.progress == "never") return report::ProgressMode::never;
  return options.progress == "always" ? report::ProgressMode::always
                                      : report::ProgressMode::automatic;
}

/// The process grid of the run itself. Where another machine is planned, --grid is that machine's.
dist::GridShape own_shape(const CommonOptions& options, const Target& target, int ranks) {
  return target.other || options.grid.empty() ? dist::default_shape(ranks)
                                              : dist::parse_shape(options.grid, ranks);
}

/// Warns where the ranks on this machine times their threads are more than its cores.
void warn_if_oversubscribed(Session& session, int threads) {
  const int sharing = plan::ranks_here(session.comm());
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  if (cores > 0 && sharing * threads > cores)
    session.warn(fmt::format("{} x {} on {}: the results are right, but the run is slow",
                             counted(sharing, "rank"), counted(threads, "thread"),
                             counted(cores, "core")));
}

}  // namespace

Session::Session(const CommandLine& line, const CommonOptions& options,
                 const comm::Communicator& comm)
    : comm_(comm),
      options_(options),
      target_(plan::target_of(options.target, options.grid, options.threads, comm)),
      places_(comm, line.reads(), line.writes(),
              [&](const io::NamedFile& file) { return !options.dry_run || file.who == "--json"; }),
      grid_(comm, own_shape(options, target_, comm.size())),
      progress_mode_(mode(options)),
      quiet_(options.quiet || options.json == "-"),
      baseline_(jobs::Resources::baseline_of(comm)) {
  report::check_name(options.out, options.json);
  if (!options.plot.empty()) report::picture_format("--plot", options.plot);
  record_.driver = line.program();
  record_.command = line.command();
  for (const auto& [name, value] : line.settings()) record_.config[name] = value;
  record_.ranks = comm.size();
  record_.threads = options.threads;
  record_.grid = fmt::format("{}x{}", grid_.rows(), grid_.cols());
  record_.precision = options.single_precision ? "single" : "double";
  if (!options.out.empty())
    report::check_writable(comm, report::Content::hdf5, "--out", options.out);
  for (const auto& [option, path] : {std::pair{"--json", options.json}, {"--plot", options.plot}})
    if (!path.empty()) report::check_writable(comm, report::Content::text, option, path);
  if (!options.plot.empty())
    report::require_gnuplot(comm, report::picture_format("--plot", options.plot));
  jobs::prepare_process(comm, options.threads);
  record_.libraries = report::libraries();
  report::require_same_machine(comm, record_.libraries);
  warn_if_oversubscribed(*this, options.threads);
}

void Session::warn(const std::string& text, bool always) {
  if (comm_.root() && (always || !options_.quiet))
    print(stderr, fmt::format("{}: warning: {}\n", record_.driver, with_options(text)));
}

void Session::log(const std::string& topic, const std::string& text) {
  say("{:<7} {}", topic, text);
}

void Session::line(const std::string& text) {
  say("{}", text);
}

void Session::begin(const std::string& phase) {
  open_.push_back(
      std::unique_ptr<Open>(new Open{report::Phases::Scope(phases_, phase),
                                     report::Progress(phase, progress_mode_, comm_.root())}));
}

void Session::end() {
  open_.pop_back();
}

void Session::progress(double share, const std::string& note) {
  if (!open_.empty()) open_.back()->progress.update(share, note);
}

bool Session::interrupted() {
  return io::gives_up();
}

void Session::solving(bool on) {
  if (on) io::note_signals();
  io::solving(on);
}

Index Session::block_of(Index n) const {
  return jobs::Resources{.nb = options_.nb, .shape = shape()}.block_of(n);
}

void Session::check_checkpoint(const jobs::CheckpointOptions& checkpoints) const {
  if (!checkpoints.asked()) return;
  if (!options_.dry_run) jobs::require_new_checkpoint(comm_, checkpoints);
  report::check_writable(comm_, report::Content::hdf5, "--checkpoint", checkpoints.path);
}

void Session::draw(const std::vector<report::Plot>& panels) {
  drawn_ = true;
  if (panels.empty())
    return warn(
        fmt::format(
            "--plot {}: there is nothing to draw: no spectrum, no test rows, only one ridge",
            options_.plot),
        true);
  const jobs::Monitor::Phase scope(*this, "plot");
  try {
    report::write_picture(comm_, options_.plot, panels);
  } catch (const RunError& error) {
    warn(fmt::format("--plot {}", error.what()), true);
  }
}

void Session::begin(Index n, Index d, Index nb, const std::string& kernel,
                    std::uint64_t data_hash) {
  record_.n = n;
  record_.d = d;
  record_.nb = nb;
  record_.kernel = kernel;
  record_.data_hash = data_hash != 0 ? hash_text(data_hash) : std::string();
  say("{} {} ({})  {}, grid {}{}, {} precision, {}", record_.driver, record_.version, record_.git,
      counted(record_.ranks, "rank"), record_.grid, nb > 0 ? fmt::format(", block {}", nb) : "",
      record_.precision, record_.started);
  say("on      {}", report::libraries_line(record_.libraries));
  if (const auto advice = report::blas_advice(record_.libraries); !advice.empty())
    log("blas", advice);
  say("kernel  {}", kernel);
  if (n > 0)
    say("data    n = {}{}{}", n, d > 0 ? fmt::format(", d = {}", d) : std::string(),
        data_hash != 0 ? ", hash " + record_.data_hash : std::string());
}

Machine Session::machine(const kernel::Kernel* kernel, Index d) {
  if (!plans_time()) return {};
  if (options_.machine.empty()) say("machine its rates are measured, in a few seconds");
  Machine machine = options_.machine.empty() ? plan::measure_machine(comm_, kernel, d)
                                             : plan::read_machine(comm_, options_.machine);
  if (kernel != nullptr && !options_.machine.empty() && machine.kernel != kernel->text()) {
    say("machine {}: has the time of an entry for {}, not for this kernel: it is measured here",
        options_.machine, machine.kernel.empty() ? "no kernel" : machine.kernel);
    plan::measure_entries(comm_, *kernel, d, machine);
  }
  if (!options_.dry_run) return machine;
  auto there = plan::machine_of(machine, target_, options_.target);
  for (auto& line : there.assumptions) line = with_options(line);
  say("machine {}", there.machine.text());
  if (options_.target.given()) say("for     {}", text(target_));
  for (const auto& line : there.assumptions) say("assumed {}", line);
  if (options_.target.given()) say("assumed the rows are read in the time that it took here");
  record_.result["planned_for"] = json(target_, there);
  return there.machine;
}

jobs::Resources Session::resources(const gram::Source& kernel, Index d) {
  return resources(machine(kernel, d));
}

jobs::Resources Session::resources(Machine machine) const {
  auto resources = jobs::Resources::of(comm_, target_);
  resources.memory_limit = options_.memory_limit;
  resources.seed = options_.seed;
  resources.nb = options_.nb;
  resources.grid = options_.grid;
  resources.machine = std::move(machine);
  resources.timed = plans_time();
  resources.baseline = baseline_;
  return resources;
}

Machine Session::machine(const gram::Source& kernel, Index d) {
  return machine(kernel.is_stored() ? nullptr : &kernel.kernel(), d);
}

Machine Session::machine() {
  return machine(nullptr, 0);
}

double Session::took(const std::string& phase) const {
  for (const auto& summary : phases_.summary(comm_))
    if (summary.name == phase) return summary.max;
  return 0;
}

bool Session::stop_at_plan(const Plan& plan, double result_bytes) {
  const std::string excess = with_options(plan.excess());
  record_.flops = plan.flops();
  record_.result["peak_memory_bytes_planned"] = plan.peak();
  if (plan.timed()) {
    record_.result["seconds_planned"] = plan.seconds();
    record_.result["plan"] = plan.json();
  }
  if (options_.dry_run)
    say("plan\n{}", plan.text());
  else if (!excess.empty() && comm_.root())
    print(stderr, plan.text());
  if (result_bytes > 0 && !options_.out.empty()) {
    if (options_.dry_run) say("result  {} in {}", format_bytes(result_bytes), options_.out);
    if (!target_.other) report::check_space(comm_, "--out", options_.out, result_bytes);
  }
  if (options_.dry_run || !excess.empty()) {
    record_.status = excess.empty() ? "planned" : "refused";
    record_.result["flops_planned"] = plan.flops();
    record_.result["memory_limit_bytes"] = plan.limit();
    if (!options_.json.empty())
      report::write_json(comm_, options_.json, record_.json(phases_, comm_));
  }
  if (!excess.empty()) throw MemoryError("{}", excess);
  return options_.dry_run;
}

io::Hdf5File Session::create_result() {
  auto file = io::Hdf5File::create(comm_, options_.out);
  record_.seconds_at_write = comm_.all_reduce(clock_.seconds(), comm::Op::max);
  record_.write_attributes(file);
  return file;
}

int Session::finish(bool ok) {
  if (!options_.plot.empty() && !drawn_)
    warn(fmt::format("--plot {}: {} draws nothing here", options_.plot, record_.driver), true);
  record_.seconds = comm_.all_reduce(clock_.seconds(), comm::Op::max);
  record_.status = ok ? "ok" : "failed";
  const auto record = record_.json(phases_, comm_);
  if (!options_.json.empty()) report::write_json(comm_, options_.json, record);
  std::string phases;
  for (const auto& [name, times] : record["phases"].items())
    phases += fmt::format("  {} {:.2f} s", name, times["max"].get<double>());
  say("time   {}  (all {:.2f} s)", phases, record_.seconds);
  say("memory  {} in the largest rank", format_bytes(record["peak_memory_bytes"].get<double>()));
  return ok ? 0 : 1;
}

void say_notes(Session& session, const data::Dataset& train) {
  for (const auto& note : train.notes) session.say("data    {}", note);
  for (const auto& warning : train.warnings) session.warn(warning);
}

void say_test_notes(Session& session, const data::Dataset& test) {
  for (const auto& note : test.notes) session.say("test    {}", note);
  for (const auto& warning : test.warnings) session.warn(warning);
}

void say_notes(Session& session, const data::Split& sets) {
  say_notes(session, sets.train);
  if (sets.test) say_test_notes(session, *sets.test);
}

}  // namespace mercer::drivers
