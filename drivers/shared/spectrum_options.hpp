#pragma once

#include "mercer/jobs/spectrum.hpp"
#include "shared/command_line.hpp"

namespace mercer::drivers {

/// Options of checkpoints, --checkpoint, --checkpoint-every and --resume, as typed.
class CheckpointLine {
 public:
  void add(boost::program_options::options_description& group, jobs::CheckpointOptions& options);
  /// Reads --checkpoint-every. Throws InputError. Local.
  void read(const CommandLine& line);

 private:
  jobs::CheckpointOptions* options_ = nullptr;
  std::string every_ = "600";
};

/// --storage, as typed: what an iterative solver keeps of K.
class StorageLine {
 public:
  void add(boost::program_options::options_description& group, gram::Storage& storage);
  /// Throws InputError. Local.
  void read();

 private:
  gram::Storage* storage_ = nullptr;
  std::string typed_ = "auto";
};

/// What mercer-spectrum is asked for.
struct SpectrumLine {
  CommonOptions common;
  std::string data, unused;
  data::Options preparation;
  jobs::SpectrumOptions options;

  void add(CommandLine& line);
  /// Checks what was typed and fills `options`. Throws InputError. Local.
  void read(const CommandLine& line, const gram::Source& kernel);

 private:
  bool values_only_ = false;
  std::string solver_ = "auto", estimates_;
  double tolerance_ = 1e-10;
  CheckpointLine checkpoints_;
  StorageLine storage_;
};

}  // namespace mercer::drivers
