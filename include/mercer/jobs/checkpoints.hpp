#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mercer/base/timer.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/gram/source.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/io/identity.hpp"
#include "mercer/jobs/monitor.hpp"
#include "mercer/jobs/resources.hpp"

namespace mercer::jobs {

/// When and where the state of an iterative solver, or the finished part of a kernel matrix, is
/// written.
struct CheckpointOptions {
  std::string path{};    ///< empty: no checkpoints
  bool resume = false;   ///< continue from the checkpoint at `path`
  double seconds = 600;  ///< between checkpoints; 0: not by time (of an assembly: of each round)
  Index products = 0;    ///< products of K with a block between checkpoints; 0: not by number

  bool asked() const { return !path.empty(); }
  /// Throws InputError for `resume` without a path, and for negative numbers. Local.
  void validate() const;
  /// The same for an assembly, which has no products. Local.
  void validate_for_assembly() const;
};

/// For an error that refuses an option of iterative solvers to a direct one: "" but for checkpoint,
/// ": to assemble K with one, ...". Local.
std::string instead_of(const std::string& option);

/// Throws InputError where the checkpoint is there and the run does not resume from it: the state
/// of an interrupted run would be overwritten. Every job with checkpoints calls it before it
/// computes anything. Collective.
void require_new_checkpoint(const comm::Communicator& comm, const CheckpointOptions& checkpoints);

/// What identifies a checkpoint, as names and values of the caller's choice. `problem` must be the
/// same in the run that resumes; `settings` may differ there.
struct CheckpointIdentity {
  io::Identity problem, settings;
  std::vector<std::string> of_rounding;  ///< names of settings that change a result's last bits
};

/// The settings of every job: ranks, grid and block size. The caller adds `problem`. Local.
CheckpointIdentity settings_of(const Resources& resources, int ranks);

/// Identifies the contents of a file: its size and checksum as text; "none" where `path` is empty.
/// Throws InputError where it cannot be read. Collective. Cost: the file is read once.
std::string contents_of(const comm::Communicator& comm, const std::string& path);
/// The same for the file that a kernel matrix is read from ("none" for a function), and for the
/// table that g names. Collective.
std::string contents_of(const comm::Communicator& comm, const gram::Source& kernel);
std::string contents_of_table(const comm::Communicator& comm, const std::string& g);
/// What the file of a kernel matrix holds, for spectral::Expected::matrix: the kernel function
/// whose values these are (gram::stored_kernel()), or where the file does not say contents_of() it;
/// "" for a kernel function. Collective.
std::string matrix_of(const comm::Communicator& comm, const gram::Source& kernel);

/// Warns that a checkpoint could not be written; the same message only once in a row.
class CheckpointWarning {
 public:
  /// To be called on all ranks alike; does not communicate.
  void operator()(Monitor& monitor, const std::string& what);

 private:
  std::string said_;
};

/// Keeps the finished tiles of one assembly, by gram::AssemblyCheckpoint. While it lives, the
/// monitor's interrupted() has effect. Does nothing where no checkpoint is asked for.
class KeptAssembly {
 public:
  /// `problem`: kernel and rows. Borrows `monitor`. Local.
  KeptAssembly(const CheckpointOptions& checkpoints, io::Identity problem, Monitor& monitor);
  /// `options` with `checkpoint` and `interrupted` set; they borrow this object. Local.
  gram::Options options(gram::Options options);

 private:
  CheckpointOptions checkpoints_;
  io::Identity problem_;
  Monitor& monitor_;
  CheckpointWarning warn_;
  std::optional<Monitor::Solving> solving_;
};

/// The checkpoints of one solve. A checkpoint is one HDF5 file, written under a temporary name,
/// synced and renamed: at any moment the file at `path` is a complete checkpoint, the old one or
/// the new one.
class Checkpoints {
 public:
  /// Borrows `monitor`. Local.
  Checkpoints(CheckpointOptions options, const comm::Communicator& comm, Monitor& monitor,
              CheckpointIdentity identity);

  /// Opens the checkpoint to resume from. Throws InputError where it is missing, damaged, or of
  /// another problem. Collective.
  io::Hdf5File open() const;
  /// The settings that differ: ": was written with ranks 2; goes on with ranks 3: ..."; "" where
  /// none does. Collective.
  std::string differences(const io::Hdf5File& file) const;
  /// The solver starts. If checkpoints are asked for, the monitor's interrupted() has effect from
  /// now on; before, there is no state to keep. Local.
  void begin();
  /// The solver has ended: interrupted() no longer stops the run, whose results follow. An object
  /// that is destroyed before, by an exception, ends it too. Local.
  void end();
  /// A function that says whether to give up the current product: between begin() and end(), where
  /// the monitor is interrupted. For Products; borrows this object.
  std::function<bool()> interruption() const {
    return [this] { return solving_.has_value() && monitor_.interrupted(); };
  }
  /// To be called after each product. If a checkpoint is due by time or number of products, or the
  /// run is interrupted, writes the identity and, by `write`, the state. Returns true where the run
  /// is interrupted and must stop. Where the file cannot be written (a full disk) it warns, and the
  /// previous checkpoint stays; if the run is interrupted too, it throws RunError. Collective.
  bool step(const std::function<void(io::Hdf5File&)>& write);
  /// Throws the Error with the code `interrupted` that ends a run which step() has stopped. `done`:
  /// what was done, "57 iterations".
  [[noreturn]] void interrupted(const std::string& done) const;

 private:
  void write(const std::function<void(io::Hdf5File&)>& state) const;

  CheckpointOptions options_;
  comm::Communicator comm_;
  Monitor& monitor_;
  CheckpointIdentity identity_;
  CheckpointWarning warn_;
  Timer since_;
  Index products_ = 0;
  std::optional<Monitor::Solving> solving_;  ///< from begin() to end()
};

}  // namespace mercer::jobs
