#pragma once

#include <optional>
#include <string>

#include "mercer/jobs/spectrum.hpp"
#include "shared/command_line.hpp"

namespace mercer::drivers {

/// The options --checkpoint, --checkpoint-every and --resume: of an iterative solver, or (assembly)
/// of a kernel matrix.
class CheckpointLine {
 public:
  void add(boost::program_options::options_description& group, jobs::CheckpointOptions& options,
           bool assembly = false);
  /// Fills the options given to add(). Throws InputError. Local.
  void read(const CommandLine& line);

 private:
  jobs::CheckpointOptions* options_ = nullptr;
  bool assembly_ = false;
  std::string every_ = "600";
};

/// The option --storage: what an iterative solver keeps of K.
class StorageLine {
 public:
  void add(boost::program_options::options_description& group, gram::Storage& storage);
  /// Fills the storage given to add(). Throws InputError. Local.
  void read();

 private:
  gram::Storage* storage_ = nullptr;
  std::string typed_ = "auto";
};

/// The options of mercer-spectrum.
struct SpectrumLine {
  CommonOptions common;
  std::string data;
  std::string eval;  ///< new rows, for the eigenfunctions' values
  std::string csv;   ///< file for a table of the eigenvalues
  data::Options preparation;
  jobs::SpectrumOptions options;
  std::optional<jobs::DiagnosticsOptions> diagnostics{};

  void add(CommandLine& line);
  /// Checks what was typed and fills `options`. Throws InputError. Local.
  void read(const CommandLine& line, const gram::Source& kernel);

 private:
  bool values_only_ = false;
  std::string solver_ = "auto", estimates_, diagnostics_, leverage_, leverage_relative_;
  double tolerance_ = 1e-10;
  CheckpointLine checkpoints_;
  StorageLine storage_;
};

}  // namespace mercer::drivers
