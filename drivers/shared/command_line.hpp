#pragma once

#include <boost/program_options.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mercer/comm/communicator.hpp"
#include "mercer/data/dataset.hpp"
#include "mercer/dist/process_grid.hpp"
#include "mercer/gram/source.hpp"
#include "mercer/io/places.hpp"
#include "mercer/net/parameters.hpp"
#include "mercer/plan/memory.hpp"
#include "mercer/plan/stage.hpp"
#include "mercer/plan/target.hpp"

namespace mercer::drivers {

using plan::format_seconds;
using plan::Machine;
using plan::Plan;
using plan::Stage;
using plan::Target;
using plan::TargetOptions;

/// The options that all drivers share.
struct CommonOptions {
  std::string out, json, plot;
  bool quiet = false;
  std::string progress = "auto";
  std::uint64_t seed = 0;
  bool single_precision = false;
  Index nb = 0;      ///< 0: chosen
  std::string grid;  ///< empty: chosen
  int threads = 1;
  double memory_limit = 0;  ///< bytes a rank; 0: what the machine leaves to each
  bool check = false;
  bool dry_run = false;
  bool times = false;    ///< predict times by the measured rates of this machine, as dry_run does
  std::string machine;   ///< a file of machine rates for the plan's times
  TargetOptions target;  ///< the ranks and the network that --dry-run plans for
};

/// Which ranks a driver's plan can be for. one: with --dry-run those of another machine; many: a
/// list of numbers of ranks (the driver registers --ranks itself); here: this run's alone.
enum class Planning { one, many, here };

/// A driver's command line: options in groups, `--config FILE`, `--help`, `--version`, over
/// Boost.Program_options. Each driver adds the common groups that it takes and its own; parse()
/// fills the variables that were bound, and throws InputError, one clear line, for whatever is
/// wrong. Every rank parses the same arguments; rank 0 alone prints --help and --version.
class CommandLine {
 public:
  /// `usage`: one line after the program's name; `purpose`: what the program does, for --help.
  CommandLine(std::string program, std::string usage, std::string purpose);

  void add_common(CommonOptions& options, Planning planning = Planning::one);
  /// `supervised`: --train and --test; otherwise --data and, where not null, --data2.
  void add_data(data::Options& options, std::string& first, std::string* second = nullptr,
                bool supervised = false);
  /// `depth`: the default of --depth. `network`: --arch and the options of layers describe a
  /// network too, whatever the kernel.
  void add_kernel(Index depth = 1, bool network = false);
  /// A group of the driver's own: bind variables with boost::program_options::value(&variable).
  boost::program_options::options_description& group(const std::string& title);

  /// False where --help or --version was answered and there is nothing more to do. Of an option
  /// that is given more than once the last counts; the command line wins over --config. Throws
  /// InputError: unknown or malformed options, and ranks whose program, options, environment or
  /// files differ. Collective.
  bool parse(int argc, char** argv, const comm::Communicator& comm);

  /// Throws InputError, "--OPTION: WHY", for an option that was given and is neither in `allowed`,
  /// words, nor one of add_common() that every job takes. settings() then has no others. Local.
  void expect_only(const std::string& allowed, const std::string& why);

  /// Throws InputError where --kernel file: names a k(test, train), which only predictions of
  /// mercer-krr need. Local.
  void expect_no_cross(const gram::Source& kernel) const;

  /// The architecture of --arch, or of --depth and --activation. Throws InputError.
  arch::Architecture architecture() const;
  arch::Image stated_image() const;  ///< of --image
  /// Of --image, or where the layers need it of the data or of --augment; else none. Collective.
  arch::Image image_of_rows(const comm::Communicator& comm) const;
  /// The kernel that the options of add_kernel() describe; where a driver has --parametrization,
  /// the analytic kernel of that parametrisation. Throws InputError. Collective: --kernel empirical
  /// reads --parameters.
  gram::Source kernel_source(const comm::Communicator& comm) const;
  /// Network and weights of --kernel empirical, from the file of --parameters; a deviation that it
  /// does not state is that of the option. Throws InputError: no --parameters, a file that cannot
  /// be used, or an --arch, --depth, --activation, --weight-std or --bias-std that contradicts it;
  /// a preparation of inputs that the file states goes into the options of add_data(), and what was
  /// given there must not contradict it (data::take_inputs()). Collective.
  net::StoredNetwork stored_network(const comm::Communicator& comm) const;
  bool empirical_kernel() const { return kernel_.kind == "empirical"; }
  bool given(const std::string& option) const {
    return values_.count(option) > 0 && !values_[option].defaulted();
  }

  const std::string& program() const { return program_; }
  /// The command as typed.
  const std::string& command() const { return command_; }
  /// Every option's name and its value in force, for the reports.
  std::vector<std::pair<std::string, std::string>> settings() const;
  /// Options that name files which are read, and which are written, with their values; empty values
  /// left out. An option names a file where --help calls its value one (FILE, SPEC, S.h5, ...) or
  /// the value begins with file: or table:. It counts as written unless it is in the list of those
  /// that are only read; --checkpoint, which --resume reads, is among the written ones.
  std::vector<io::NamedFile> reads() const;
  std::vector<io::NamedFile> writes() const;

 private:
  void add_planning(CommonOptions& options, Planning planning);
  std::vector<io::NamedFile> file_options() const;
  void require_same_start(const comm::Communicator& comm) const;
  void require_same_files(const comm::Communicator& comm) const;
  void check_common(const comm::Communicator& comm);
  void check_kernel() const;
  /// The shape of the rows of add_data().
  void take_image(const arch::Image& i) const { data_->image = {i.height, i.width, i.channels}; }
  struct KernelOptions {
    std::string kind = "ntk", arch, activation = "relu", weight_std, parameters, image, state;
    std::string train_layers = "all";
    Index depth = 1, output = 0;
    double bias_std = 0, bandwidth = 1;
  };
  arch::Options scales() const;  ///< what --weight-std and --bias-std say

  std::string program_, usage_, purpose_, command_;
  std::vector<std::unique_ptr<boost::program_options::options_description>> groups_;
  boost::program_options::variables_map values_;
  CommonOptions* common_ = nullptr;
  data::Options* data_ = nullptr;
  Planning planning_ = Planning::one;
  bool network_ = false;
  std::string precision_ = "double", memory_limit_;
  KernelOptions kernel_;
};

/// parse(), whose InputError is given the option's name.
template <class Parse>
auto of_option(const char* option, Parse&& parse) {
  try {
    return parse();
  } catch (const InputError& error) {
    throw InputError("{}: {}", option, error.what());
  }
}

/// A driver's main: starts MPI, calls `body`, prints an Error as one line from rank 0 on stderr,
/// and returns the exit code, the same on every rank. Other exceptions, which one rank alone may
/// have, abort the run. Collective.
int run(int argc, char** argv, const std::string& program,
        const std::function<int(const comm::Communicator&)>& body);

}  // namespace mercer::drivers
