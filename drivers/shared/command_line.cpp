#include "shared/command_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "mercer/base/file.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/base/text.hpp"
#include "mercer/base/version.hpp"
#include "mercer/comm/environment.hpp"
#include "mercer/comm/same.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/io/signals.hpp"
#include "mercer/report/libraries.hpp"
#include "shared/console.hpp"

namespace po = boost::program_options;

namespace mercer::drivers {
namespace {

std::string joined(int argc, char** argv) {
  std::string text;
  for (int i = 0; i < argc; ++i) {
    const std::string word = argv[i];
    const bool plain = !word.empty() && word.find_first_of(" \t\"'()*?;&|<>$") == std::string::npos;
    text += (i ? " " : "") + (plain ? word : "'" + word + "'");
  }
  return text;
}

/// Throws Boost's message as an InputError of one line.
[[noreturn]] void rethrow(const po::error& error) {
  std::string text = error.what();
  throw InputError("{} (--help lists the options)", text);
}

std::string shown(const po::variable_value& value) {
  const auto& any = value.value();
  if (const auto* s = boost::any_cast<std::string>(&any)) return *s;
  if (const auto* i = boost::any_cast<Index>(&any)) return std::to_string(*i);
  if (const auto* i = boost::any_cast<int>(&any)) return std::to_string(*i);
  if (const auto* u = boost::any_cast<std::uint64_t>(&any)) return std::to_string(*u);
  if (const auto* d = boost::any_cast<double>(&any)) return fmt::format("{}", *d);
  if (const auto* b = boost::any_cast<bool>(&any)) return *b ? "true" : "false";
  return "?";
}

}  // namespace

CommandLine::CommandLine(std::string program, std::string usage, std::string purpose)
    : program_(std::move(program)), usage_(std::move(usage)), purpose_(std::move(purpose)) {}

po::options_description& CommandLine::group(const std::string& title) {
  groups_.push_back(std::make_unique<po::options_description>(title, 100, 60));
  return *groups_.back();
}

void CommandLine::add_common(CommonOptions& o, Planning planning) {
  common_ = &o;
  planning_ = planning;
  auto add = group("Run").add_options();
  add("config", po::value<std::string>()->value_name("FILE"),
      "INI file of the same options, NAME=VALUE; the command line wins");
  add("out", po::value(&o.out)->value_name("FILE.h5"), "HDF5 result (.h5 or .hdf5)");
  add("json", po::value(&o.json)->value_name("FILE"),
      "one JSON record of the run (\"-\": standard output)");
  add("plot", po::value(&o.plot)->value_name("FILE.svg"),
      "picture of the result, by gnuplot: .svg, .png or .pdf");
  add("quiet", po::bool_switch(&o.quiet), "print nothing but errors");
  add("progress", po::value(&o.progress)->value_name("auto|always|never")->default_value("auto"),
      "show the progress of long stages");
  add("seed", po::value(&o.seed)->value_name("N")->default_value(0), "seed of everything random");
  add("precision", po::value(&precision_)->value_name("double|single")->default_value("double"),
      "precision of the stored kernel matrix and the solve; kernels are evaluated in double");
  add("nb", po::value(&o.nb)->value_name("N")->default_value(0, "chosen"), "block size");
  add("grid", po::value(&o.grid)->value_name("PxQ"), "process grid (default: chosen, printed)");
  add("threads", po::value(&o.threads)->value_name("N")->default_value(1), "BLAS threads a rank");
  add("memory-limit", po::value(&memory_limit_)->value_name("4G"),
      "memory a rank: a job that needs more is refused beforehand, with its plan. Default: what "
      "the machine, the job's control group and ulimit leave; the last two limit it in any case");
  add("check", po::bool_switch(&o.check),
      "verify the result independently; a failed check is exit code 1");
  add("dry-run", po::bool_switch(&o.dry_run),
      "print the plan (memory a rank, flops, time and method of each stage) and stop");
  add("machine", po::value(&o.machine)->value_name("FILE.json"),
      "machine rates for the plan's times, from mercer-bench plan --json (default: measured by "
      "--dry-run)");
  add("help,h", "print this text");
  add("version", "print version, commit, libraries and the instruction sets in use");
  if (planning != Planning::here) add_planning(o, planning);
}

void CommandLine::add_planning(CommonOptions& o, Planning planning) {
  auto& t = o.target;
  auto add =
      group(planning == Planning::one
                ? "With --dry-run, a plan for another machine, whose ranks compute as fast as here"
                : "Other machines, whose ranks compute as fast as here")
          .add_options();
  if (planning == Planning::one) {
    add("ranks", po::value(&t.ranks)->value_name("P"),
        "plan for P ranks (default: --nodes times --ranks-per-node, or this run's)");
    add("nodes", po::value(&t.nodes)->value_name("N"), "plan for N nodes");
  }
  add("ranks-per-node", po::value(&t.ranks_per_node)->value_name("R"),
      "ranks on each node (default: as many as fit this machine's cores)");
  add("latency", po::value(&t.latency)->value_name("S"),
      "seconds for a message between two nodes (default: as measured where this run has several "
      "nodes, else 2e-6, noted in the plan)");
  add("network-bandwidth", po::value(&t.network_bandwidth)->value_name("B/S"),
      "bytes a second that a node sends, all its ranks together (default: as measured where this "
      "run has several nodes, else 25e9, which is 200 Gbit/s, noted in the plan)");
}

void CommandLine::add_data(data::Options& o, std::string& first, std::string* second,
                           bool supervised) {
  data_ = &o;
  auto add = group(
                 "Data: npy:X.npy[,y.npy]  csv:FILE[.gz]  libsvm:FILE[,d=D][,base=0|1]  "
                 "h5:FILE:/x[,/y]  idx:IMAGES[,LABELS]\n"
                 "  cifar:FILE"
                 "  circle:n=512,freq=5[,grid][,amplitude=1]  sphere:n=1000,d=10,degree=3  "
                 "gaussian:n=1000,d=10\n"
                 "  (applied in the order of this list)")
                 .add_options();
  add(supervised ? "train" : "data", po::value(&first)->value_name("SPEC"),
      supervised ? "training set" : "data set");
  if (second != nullptr)
    add(supervised ? "test" : "data2", po::value(second)->value_name("SPEC"),
        supervised ? "test set" : "second data set");
  add("target", po::value(&o.csv_target)->value_name("COL")->default_value("", "last"),
      "CSV columns that are targets, not inputs, separated by commas: names, or positions from 0, "
      "negative ones from the end; none");
  add("split", po::value(&o.split)->value_name("MASK.csv[:COL]"),
      fmt::format("CSV or NPY file with a row for each row of --{}: those with 1 or True in its "
                  "column COL (a name, or a position as in --target) are {}",
                  supervised ? "train" : "data", supervised ? "the test set" : "left out")
          .c_str());
  add("header", po::value(&o.csv_header)->value_name("yes|no|auto")->default_value("auto"),
      "does CSV's first row name the columns? auto: yes where it has no number; where it is 0, 1, "
      "2, ... over columns that are not all whole numbers, or other growing whole numbers over "
      "columns that have none; the log says what was taken");
  add("index", po::value(&o.csv_index)->value_name("COL|none|auto")->default_value("auto"),
      "CSV column that numbers the rows and is not an input; auto: a first column without a name");
  add("limit", po::value(&o.limit)->value_name("N"), "only the first N training rows");
  add("limit-test", po::value(&o.limit_test)->value_name("M"), "only the first M test rows");
  add("augment", po::value(&o.augment)->value_name("flip[:HxWxC]"),
      "n training rows, images, are followed by their n mirror images (left to right); errors by "
      "loo, gcv and holdout are then too small, because a mirror image stays in");
  add("scale", po::value(&o.scale)->value_name("F")->default_value(1.0, "1"),
      "multiply inputs by F");
  add("standardize", po::bool_switch(&o.standardize),
      "inputs and real targets: subtract the training rows' mean, divide by their population "
      "deviation");
  add("unit-norm", po::bool_switch(&o.unit_norm),
      "divide each row of inputs by its norm (a zero row stays zero)");
  add("one-hot", po::bool_switch(&o.one_hot),
      "make labels, numbers or names, one-hot vectors minus 1/classes");
}

namespace {

/// Options whose files are only read.
bool is_read(const std::string& option) {
  constexpr std::string_view kRead[] = {
      "--config",          "--data",     "--data2",   "--eval",  "--g",
      "--init-parameters", "--kernel",   "--machine", "--model", "--parameters",
      "--split",           "--spectrum", "--start",   "--test",  "--train"};
  return std::ranges::find(kRead, option) != std::end(kRead);
}

/// Of an option that is given more than once the last counts.
po::parsed_options last_ones(po::parsed_options parsed) {
  auto& options = parsed.options;
  for (auto at = options.begin(); at != options.end();) {
    const bool again =
        !at->string_key.empty() && std::any_of(at + 1, options.end(), [&](const po::option& later) {
          return later.string_key == at->string_key;
        });
    at = again ? options.erase(at) : at + 1;
  }
  return parsed;
}

}  // namespace

bool CommandLine::parse(int argc, char** argv, const comm::Communicator& comm) {
  command_ = joined(argc, argv);
  po::options_description all;
  for (const auto& g : groups_) all.add(*g);
  for (const auto& option : all.options()) know_option(option->long_name());
  comm::together(comm, [&] {
    try {
      po::store(last_ones(po::command_line_parser(argc, argv)
                              .options(all)
                              .positional({})
                              .style(po::command_line_style::unix_style &
                                     ~po::command_line_style::allow_guessing)
                              .run()),
                values_);
      if (values_.count("config") != 0) {
        const auto path = values_["config"].as<std::string>();
        require_file(path, "--config " + path);
        std::ifstream file(path);
        try {
          po::store(last_ones(po::parse_config_file(file, all)), values_);
        } catch (const po::error& error) {
          throw InputError("--config {}: {}", path, error.what());
        }
      }
      if (values_.count("help") == 0 && values_.count("version") == 0) po::notify(values_);
    } catch (const po::error& error) {
      rethrow(error);
    }
  });
  require_same_start(comm);
  if (values_.count("help") != 0) {
    if (comm.root()) {
      std::ostringstream text;
      for (const auto& g : groups_) text << *g << "\n";
      print(stdout,
            fmt::format("Usage: {} {}\n\n{}\n\n{}", program_, usage_, purpose_, text.str()));
    }
    return false;
  }
  if (values_.count("version") != 0) {
    const auto made_with = report::libraries_text(report::libraries());
    if (comm.root())
      print(stdout, fmt::format("{} {} ({})\n{}", program_, version(), git_commit(), made_with));
    return false;
  }
  if (given("arch") && kernel_.arch.empty())
    throw InputError("--arch: is empty: give layers, e.g. \"dense relu dense\", or --depth");
  for (const auto& [name, value] : values_)
    if (const auto* text = boost::any_cast<std::string>(&value.value());
        text != nullptr && text->empty() && !value.defaulted())
      throw InputError("--{}: is empty: give its value, or leave it out", name);
  if (given("top") && values_["top"].as<Index>() == -1)  // 0 and others: jobs, which know n
    throw InputError("--top -1: give at least 1");
  for (const char* limit : {"limit", "limit-test"})
    if (given(limit) && values_[limit].as<Index>() < 1)
      throw InputError("--{} {}: give at least 1 row", limit, values_[limit].as<Index>());
  require_same_files(comm);
  check_kernel();
  if (common_ != nullptr) check_common(comm);
  return true;
}

/// Throws InputError where ranks differ in program, options or environment: mpirun can start them
/// so (`mpirun -n 1 A : -n 1 B`, a --config on local disks).
void CommandLine::require_same_start(const comm::Communicator& comm) const {
  std::vector<comm::Fact> facts{
      {"the program", fmt::format("{} {} ({})", program_, version(), git_commit())}};
  for (const auto& [name, value] : settings()) facts.push_back({"--" + name, value});
  for (auto& fact : report::environment()) facts.push_back(std::move(fact));
  comm::require_same(comm, facts, "start all ranks alike");
}

void CommandLine::require_same_files(const comm::Communicator& comm) const {
  auto by_all = reads(), to = writes();
  std::erase_if(by_all, [](const io::NamedFile& file) {  // read by rank 0 alone, compared above
    return file.who == "--split" || file.who == "--config";
  });
  std::erase_if(to, [](const io::NamedFile& file) {  // rank 0 alone writes the others
    return file.who != "--out" && file.who != "--checkpoint";
  });
  io::require_same_files(comm, by_all, to);
}

/// Validates the options of add_common() before any work.
void CommandLine::check_common(const comm::Communicator& comm) {
  auto& o = *common_;
  if (precision_ != "double" && precision_ != "single")
    throw InputError("--precision {}: give double or single", precision_);
  o.single_precision = precision_ == "single";
  if (o.progress != "auto" && o.progress != "always" && o.progress != "never")
    throw InputError("--progress {}: give auto, always or never", o.progress);
  if (o.nb < 0) throw InputError("--nb {}: give a positive block size", o.nb);
  if (o.threads < 1) throw InputError("--threads {}: give at least 1", o.threads);
  if (!memory_limit_.empty()) {
    try {
      o.memory_limit = static_cast<double>(parse_bytes(memory_limit_));
    } catch (const InputError& error) {
      throw InputError("--memory-limit: {}", error.what());
    }
  }
  // A plan for another machine reads its rows on this one.
  const bool elsewhere = o.target.ranks > 0 || o.target.nodes > 0;
  if (data_ != nullptr)
    data_->memory_limit =
        o.memory_limit > 0 && !elsewhere ? o.memory_limit : plan::memory_per_rank(comm).bytes;
  if (data_ != nullptr && given("image")) take_image(stated_image());
  for (const char* option : {"ranks", "nodes", "ranks-per-node", "latency", "network-bandwidth"}) {
    if (planning_ == Planning::here || values_.count(option) == 0) continue;
    if (planning_ == Planning::one && !o.dry_run)
      throw InputError(
          "--{}: needs --dry-run: it describes another machine; a run has the ranks of its mpirun",
          option);
    const auto& any = values_[option].value();
    const auto* count = boost::any_cast<Index>(&any);
    const auto* figure = boost::any_cast<double>(&any);
    if ((count != nullptr && *count < 1) || (figure != nullptr && !(*figure > 0)))
      throw InputError("--{} {}: give a positive number", option, shown(values_[option]));
  }
  const auto& t = o.target;
  if (planning_ == Planning::one && t.ranks_per_node > 0 && t.ranks == 0 && t.nodes == 0)
    throw InputError("--ranks-per-node {}: give --ranks or --nodes too", t.ranks_per_node);
  t.validate();
}

std::vector<std::pair<std::string, std::string>> CommandLine::settings() const {
  std::vector<std::pair<std::string, std::string>> result;
  for (const auto& [name, value] : values_)
    if (!value.empty()) result.emplace_back(name, shown(value));
  return result;
}

void CommandLine::expect_only(const std::string& allowed, const std::string& why) {
  const auto all = fmt::format(
      " {} config out json plot quiet progress nb grid threads memory-limit dry-run machine ranks "
      "nodes ranks-per-node latency network-bandwidth ",
      allowed);
  for (auto at = values_.begin(); at != values_.end();) {
    const bool taken = all.find(" " + at->first + " ") != std::string::npos;
    if (!taken && given(at->first)) throw InputError("--{}: {}", at->first, why);
    at = taken ? std::next(at) : values_.erase(at);
  }
}

std::vector<io::NamedFile> CommandLine::file_options() const {
  std::vector<io::NamedFile> result;
  for (const auto& g : groups_)
    for (const auto& option : g->options()) {
      const std::string& name = option->long_name();
      if (values_.count(name) == 0 || values_[name].empty()) continue;
      const std::string value = shown(values_[name]), called = option->format_parameter();
      bool file = value.starts_with("file:") || value.starts_with("table:");
      for (const char* word : {"FILE", "SPEC", ".h5", ".csv", ".json", ".svg", ".npy"})
        file = file || called.find(word) != std::string::npos;
      if (file && !value.empty()) result.push_back({"--" + name, value});
    }
  return result;
}

std::vector<io::NamedFile> CommandLine::reads() const {
  auto files = file_options();
  std::erase_if(files, [](const io::NamedFile& file) { return !is_read(file.who); });
  return files;
}

std::vector<io::NamedFile> CommandLine::writes() const {
  auto files = file_options();
  std::erase_if(files, [](const io::NamedFile& file) { return is_read(file.who); });
  return files;
}

int run(int argc, char** argv, const std::string& program,
        const std::function<int(const comm::Communicator&)>& body) {
  comm::guard_start();
  try {
    comm::Environment mpi(argc, argv);
    const auto world = comm::Communicator::world();
    io::leave_on_signals(world.root() ? program : "");
    int code = 1;
    bool said = false;
    try {
      code = body(world);
    } catch (const Error& error) {  // thrown alike on all ranks
      code = static_cast<int>(error.code());
      if (world.root())
        print(stderr, fmt::format("{}: {}\n", program, in_one_line(with_options(error.what()))));
      said = true;
    } catch (const std::bad_alloc&) {  // these two on one rank alone: the others do not know
      comm::abort_run(program.c_str(), "out of memory", static_cast<int>(ExitCode::out_of_memory));
    } catch (const std::exception& error) {
      comm::abort_run(program.c_str(), error.what());
    }
    // Signals that mpirun sends once another rank has ended are no interruption.
    io::note_signals();
    if (const auto why = world.root() && !said ? lost_output() : ""; !why.empty()) {
      print(stderr, fmt::format("{}: standard output: cannot be written: {}\n", program, why));
      if (code == 0) code = static_cast<int>(ExitCode::failed);
    }
    // The same on all ranks: mpirun kills the others at the first exit that is not zero.
    return world.all_reduce(code, comm::Op::max);
  } catch (const Error& error) {  // MPI itself could not be used
    print(stderr, fmt::format("{}: {}\n", program, with_options(error.what())));
    return static_cast<int>(error.code());
  }
}

}  // namespace mercer::drivers
