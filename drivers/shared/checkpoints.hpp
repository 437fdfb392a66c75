#pragma once

#include <boost/program_options.hpp>

#include <functional>
#include <string>

#include "mercer/base/timer.hpp"
#include "mercer/dist/identity.hpp"
#include "shared/products.hpp"
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

/// What a checkpoint belongs to, and what may be another one in the run that goes on.
struct CheckpointIdentity {
  dist::Identity problem, settings;
};

/// The settings that every job has.
dist::Identity settings_of(const CommonOptions& common, int ranks);

/// What a file holds, as text that is another one for other contents: its size and checksum; "none"
/// where `path` is empty. Throws InputError. Collective. Cost: the file is read once.
std::string contents_of(const comm::Communicator& comm, const std::string& path);
/// The same of the matrix that a kernel is read from, and of the table that --g names. Collective.
std::string contents_of(const comm::Communicator& comm, const gram::Source& kernel);
std::string contents_of_table(const comm::Communicator& comm, const std::string& g);

/// How K is kept in the run that goes on from `file`: as --storage says, or as it was; on the same
/// number of ranks in the same memory as then, which gives the same bits, on another one in `room`
/// bytes a rank: where K does not fit there, less of it is kept. Throws MemoryError. Collective.
ProductPlan resumed_products(const dist::Hdf5File& file, const StorageJob& storage,
                             const gram::Source& kernel, const forecast::Sizes& sizes, double room);
/// Whether the run that wrote `file` had the entries of K to the same rounding, so that products
/// with K that it has kept are those of this run; else only its vectors are of use. Collective.
bool same_entries(const dist::Hdf5File& file, const gram::Source& kernel, const ProductPlan& plan,
                  int ranks);

/// Says once what is wrong with --checkpoint, where it is the same again and again. Collective.
class CheckpointWarning {
 public:
  void operator()(const Session& session, const std::string& what);

 private:
  std::string said_;
};

/// The checkpoints of one solve. A checkpoint is one HDF5 file, written under a temporary name,
/// synced and renamed: at any moment PATH is complete, the old one or the new one.
class Checkpoints {
 public:
  /// Borrows `job` and `session`.
  Checkpoints(const CheckpointJob& job, const Session& session, CheckpointIdentity identity);

  /// Opens PATH for --resume. Throws InputError: missing, damaged, another problem's. Collective.
  dist::Hdf5File open() const;
  /// ": was written with ranks 2; goes on with ranks 3: ...", "" where nothing differs. Collective.
  std::string differences(const dist::Hdf5File& file) const;
  /// The solver starts: where checkpoints are asked for, signals are noted from now on, and
  /// Products give up the one under way. (Before that they end the run at once: there is nothing to
  /// keep.)
  void begin();
  /// The solver has ended: what is left of the run, its results, goes on in spite of signals.
  void end();
  /// After a product: writes identity and state, by `write`, where time, products or a signal ask
  /// for it. True: a signal came, stop here. Where the file cannot be written (a full disk) there
  /// is a warning, the last checkpoint stays, and the run goes on; after a signal, which ends it,
  /// throws RunError. Collective.
  bool step(const std::function<void(dist::Hdf5File&)>& write);
  /// What ends a run that step() has stopped. `done`: how far it came.
  [[noreturn]] void interrupted(const std::string& done) const;

 private:
  void write(const std::function<void(dist::Hdf5File&)>& state) const;

  const CheckpointJob& job_;
  const Session& session_;
  comm::Communicator comm_;
  CheckpointIdentity identity_;
  CheckpointWarning warn_;
  Timer since_;
  Index products_ = 0;
};

}  // namespace mercer::drivers
