#pragma once

#include <boost/program_options.hpp>

#include <functional>
#include <string>

#include "mercer/base/timer.hpp"
#include "mercer/dist/identity.hpp"
#include "shared/session.hpp"

namespace mercer::drivers {

/// --checkpoint, --checkpoint-every and --resume of the iterative solvers.
struct CheckpointJob {
  std::string path;
  bool resume = false;
  double seconds = 0;  ///< between checkpoints; 0: not by the clock
  Index products = 0;  ///< the same in products of K with a block

  /// Registers the options.
  void add(boost::program_options::options_description& group);
  /// Checks what was typed. Throws InputError. Local.
  void settle(const CommandLine& line);
  bool asked() const { return !path.empty(); }

 private:
  std::string every_ = "600";
};

/// The checkpoints of one solve. A checkpoint is one HDF5 file, written under a temporary name,
/// synced and renamed: at any moment PATH is complete, the old one or the new one.
class Checkpoints {
 public:
  /// Borrows `job`.
  Checkpoints(const CheckpointJob& job, const comm::Communicator& comm, dist::Identity identity);

  /// Opens PATH for --resume. Throws InputError: missing, damaged, another problem's. Collective.
  dist::Hdf5File open() const;
  /// The solver starts: where checkpoints are asked for, signals are noted from now on. (Before
  /// that they end the run at once: there is nothing to keep.)
  void begin();
  /// After a product: writes identity and state, by `write`, where time, products or a signal ask
  /// for it. True: a signal came, stop here. Collective.
  bool step(const std::function<void(dist::Hdf5File&)>& write);
  /// What ends a run that step() has stopped. `done`: how far it came.
  [[noreturn]] void interrupted(const std::string& done) const;

 private:
  void remove_temporary_files() const;

  const CheckpointJob& job_;
  comm::Communicator comm_;
  dist::Identity identity_;
  Timer since_;
  Index products_ = 0;
};

}  // namespace mercer::drivers
