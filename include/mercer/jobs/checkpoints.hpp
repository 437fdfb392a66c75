#pragma once

#include <functional>
#include <string>
#include <vector>

#include "mercer/base/timer.hpp"
#include "mercer/gram/source.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/io/identity.hpp"
#include "mercer/jobs/monitor.hpp"
#include "mercer/jobs/resources.hpp"

namespace mercer::jobs {

/// When the state of an iterative solver is kept, and where.
struct CheckpointOptions {
  std::string path{};  ///< empty: nowhere
  bool resume = false;
  double seconds = 600;  ///< between checkpoints; 0: not by the clock
  Index products = 0;    ///< the same in products of K with a block; 0: not by their number

  bool asked() const { return !path.empty(); }
  /// Throws InputError. Local.
  void validate() const;
};

/// What a checkpoint belongs to, and what may be another one in the run that goes on: by the
/// caller's own names.
struct CheckpointIdentity {
  io::Identity problem, settings;
  std::vector<std::string> of_rounding;  ///< names of settings that change a result's last bits
};

/// The settings that every job has: ranks, grid and block size. `problem` is the caller's. Local.
CheckpointIdentity settings_of(const Resources& resources, int ranks);

/// What a file holds, as text that is another one for other contents: its size and checksum; "none"
/// where `path` is empty. Throws InputError. Collective. Cost: the file is read once.
std::string contents_of(const comm::Communicator& comm, const std::string& path);
/// The same of the matrix that a kernel is read from, and of the table that g names. Collective.
std::string contents_of(const comm::Communicator& comm, const gram::Source& kernel);
std::string contents_of_table(const comm::Communicator& comm, const std::string& g);

/// Says once what is wrong with a checkpoint, where it is the same again and again. Collective.
class CheckpointWarning {
 public:
  void operator()(Monitor& monitor, const std::string& what);

 private:
  std::string said_;
};

/// The checkpoints of one solve. A checkpoint is one HDF5 file, written under a temporary name,
/// synced and renamed: at any moment PATH is complete, the old one or the new one.
class Checkpoints {
 public:
  /// Borrows `options` and `monitor`.
  Checkpoints(const CheckpointOptions& options, const comm::Communicator& comm, Monitor& monitor,
              CheckpointIdentity identity);

  /// Opens PATH to go on from it. Throws InputError: missing, damaged, another problem's.
  /// Collective.
  io::Hdf5File open() const;
  /// ": was written with ranks 2; goes on with ranks 3: ...", "" where nothing differs. Collective.
  std::string differences(const io::Hdf5File& file) const;
  /// The solver starts: where there is a checkpoint, the monitor's interrupted() is heeded from now
  /// on. (Before that there is nothing to keep.)
  void begin();
  /// The solver has ended: what is left of the run, its results, goes on in spite of it.
  void end();
  /// Whether a product under way is to be given up: between begin() and end(), where the monitor
  /// says so. For Products; borrows this object.
  std::function<bool()> interruption() const {
    return [this] { return solving_ && monitor_.interrupted(); };
  }
  /// After a product: writes identity and state, by `write`, where time, products or an
  /// interruption ask for it. True: interrupted, stop here. Where the file cannot be written (a
  /// full disk) there is a warning, the last checkpoint stays, and the run goes on; after an
  /// interruption, which ends it, throws RunError. Collective.
  bool step(const std::function<void(io::Hdf5File&)>& write);
  /// What ends a run that step() has stopped. `done`: how far it came.
  [[noreturn]] void interrupted(const std::string& done) const;

 private:
  void write(const std::function<void(io::Hdf5File&)>& state) const;

  const CheckpointOptions& options_;
  comm::Communicator comm_;
  Monitor& monitor_;
  CheckpointIdentity identity_;
  CheckpointWarning warn_;
  Timer since_;
  Index products_ = 0;
  bool solving_ = false;
};

}  // namespace mercer::jobs
