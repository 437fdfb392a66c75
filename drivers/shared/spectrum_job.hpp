#pragma once

#include <string>

#include "mercer/spectral/estimates.hpp"
#include "mercer/spectral/krylov.hpp"
#include "shared/checkpoints.hpp"
#include "shared/products.hpp"

namespace mercer::drivers {

/// Residuals that block Krylov reaches at best.
inline constexpr double kLeastTolerance = 1e-13;

/// What mercer-spectrum is asked for.
struct SpectrumJob {
  CommonOptions common;
  std::string data, unused;
  data::Options preparation;
  Index top = -1;  ///< as typed; -1: all
  bool values_only = false;
  std::string solver = "auto";
  double tolerance = 1e-10;

  StorageJob storage;
  Index block = 0;          ///< vectors of a product; 0: chosen
  std::string start;        ///< earlier pairs to start from
  std::string estimates;    ///< ridge of the estimates, relative to trace(K)/n; "": none
  double estimates_at = 0;  ///< the same as a number
  CheckpointJob checkpoints;

  /// Registers the options.
  void add(CommandLine& line);
  /// Checks what was typed. Throws InputError. Local.
  void settle(const CommandLine& line, const gram::Source& kernel);

  bool estimated() const { return !estimates.empty(); }
  /// Asks for something that only the iterative solver has.
  bool iterative_asked() const;
  /// Names a direct solver.
  bool direct_asked() const;
};

/// How the pairs will be computed: decided before anything is allocated, the same for every number
/// of runs of one job.
struct SpectrumWay {
  bool iterative = false;
  std::string reason;                  ///< what was weighed
  spectral::Method direct{};           ///< of the direct solver
  forecast::Krylov run{};              ///< sizes of the iterative one
  ProductPlan products{};              ///< and its K
  spectral::EstimateOptions probes{};  ///< of --estimates
};

/// Of k = `top` pairs. `resume`: the checkpoint to go on from, whose sizes are kept; may be null.
/// Collective. Throws MemoryError where the iterative solver is asked for and does not fit.
SpectrumWay decide(const SpectrumJob& job, const gram::Source& kernel, const forecast::Sizes& sizes,
                   Index top, const Session& session, const dist::Hdf5File* resume);

/// The stages of the way that was decided. Collective.
Plan plan(const SpectrumJob& job, const SpectrumWay& way, const gram::Source& kernel,
          const forecast::Sizes& sizes, Index top, Session& session);

/// The problem of an iterative run, and what its accuracy and rounding depend on beside that.
CheckpointIdentity identity(const SpectrumJob& job, const std::string& kernel,
                            const data::Dataset& train, Index n, Index top, int ranks);
/// What was chosen from the memory that there was, so that a run that goes on chooses the same.
void write_sizes(dist::Hdf5File& file, const SpectrumWay& way);
/// Whether the state in `file` can be gone on from as it stands: pairs that are done are accurate
/// enough, and products with K are those of this run. Otherwise its vectors start a new run.
/// Collective.
bool is_continued(const SpectrumJob& job, const SpectrumWay& way, const gram::Source& kernel,
                  const dist::Hdf5File& file);

}  // namespace mercer::drivers
