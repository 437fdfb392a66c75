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
  double memory_limit = 0;  ///< bytes a rank; 0: what the machine has
  bool check = false;
  bool dry_run = false;
  std::string machine;   ///< a file of coefficients for the plan's times
  TargetOptions target;  ///< the ranks and the network that --dry-run plans for
};

/// Which machines a driver's plan can be for: one other than this run's, a list of them (the driver
/// registers --ranks itself), this run's alone.
enum class Planning { one, many, here };

/// A driver's command line: options in groups, `--config FILE`, `--help`, `--version`, over
/// Boost.Program_options. Each driver adds the groups that it takes and its own; parse() fills the
/// variables that were bound and leaves one clear line (InputError) for whatever is wrong. Every
/// rank parses the same arguments; only the text of --help and --version is printed by rank 0.
class CommandLine {
 public:
  /// `usage`: one line after the program's name; `purpose`: what the program does, for --help.
  CommandLine(std::string program, std::string usage, std::string purpose);

  void add_common(CommonOptions& options, Planning planning = Planning::one);
  /// `supervised`: --train and --test; otherwise --data (and `second`: --data2).
  void add_data(data::Options& options, std::string& first, std::string& second, bool supervised);
  void add_kernel();
  /// A group of the driver's own: bind variables with boost::program_options::value(&variable).
  boost::program_options::options_description& group(const std::string& title);

  /// False where --help or --version was answered and there is nothing more to do. Of an option
  /// that is given more than once the last counts; the command line wins over --config. Collective.
  bool parse(int argc, char** argv, const comm::Communicator& comm);

  /// Hidden layers where neither --depth nor --arch was given. Local.
  void assume_depth(Index depth);
  /// Throws InputError where an option of the kernel was given: `model` stands for them. Local.
  void expect_no_kernel(const std::string& model) const;

  /// The architecture of --arch, or of --depth and --activation. Throws InputError.
  arch::Architecture architecture() const;
  /// The kernel that the options of add_kernel() describe; with --parametrization standard, where a
  /// driver has that option, the analytic one of that parametrisation. Throws InputError.
  /// Collective: --kernel empirical reads --parameters.
  gram::Source kernel_source(const comm::Communicator& comm) const;
  /// Network and weights of --kernel empirical. Throws InputError: no --parameters, a file that
  /// cannot be used, an --arch, --depth, --weight-std or --bias-std other than the file's (where it
  /// states no deviation, the option counts).
  /// Collective.
  net::StoredNetwork stored_network(const comm::Communicator& comm) const;
  bool empirical_kernel() const { return kernel_.kind == "empirical"; }
  bool given(const std::string& option) const {
    return values_.count(option) > 0 && !values_[option].defaulted();
  }

  const std::string& program() const { return program_; }
  /// The command as typed, and every option with its value in force, for the reports.
  const std::string& command() const { return command_; }
  std::vector<std::pair<std::string, std::string>> settings() const;
  /// Those among them that name files: whose value is called so in --help (FILE, SPEC, S.h5, ...)
  /// or begins with file: or table:; none that is empty. What is not known to be only read counts
  /// as written. --checkpoint is read and written, by --resume.
  std::vector<io::NamedFile> reads() const;
  std::vector<io::NamedFile> writes() const;

 private:
  void add_planning(CommonOptions& options, Planning planning);
  std::vector<io::NamedFile> file_options() const;
  void require_same_start(const comm::Communicator& comm) const;
  void require_same_files(const comm::Communicator& comm) const;
  void check_common(const comm::Communicator& comm);
  void check_kernel() const;
  struct KernelOptions {
    std::string kind = "ntk", arch, activation = "relu", weight_std, parameters, image;
    Index depth = 1;
    double bias_std = 0, bandwidth = 1;
  };
  arch::Options scales() const;  ///< of --weight-std and --bias-std

  std::string program_, usage_, purpose_, command_;
  std::vector<std::unique_ptr<boost::program_options::options_description>> groups_;
  boost::program_options::variables_map values_;
  CommonOptions* common_ = nullptr;
  data::Options* data_ = nullptr;
  Planning planning_ = Planning::one;
  std::string precision_ = "double", memory_limit_;
  KernelOptions kernel_;
};

/// A driver's main: starts MPI, calls `body`, prints an Error as one line from rank 0 on stderr,
/// and returns the exit code, the same on every rank.
int run(int argc, char** argv, const std::string& program,
        const std::function<int(const comm::Communicator&)>& body);

}  // namespace mercer::drivers
