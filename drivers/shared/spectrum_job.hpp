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
  bool tolerance_given = false;

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
  /// The option that does either, for reasons: "--solver elpa1", "--storage".
  std::string asked_by() const;
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

/// The largest residual that a run accepts, relative to lambda_1, and why it is not --tol.
struct Accepted {
  double residual = 0;
  std::string why{};  ///< empty: --tol
};
/// --tol where it was given; else also what the precision leaves: spectral::rounding_residual for a
/// direct solver in single, 2^-23 for vectors by krylov that are kept in single (each entry is off
/// by 2^-24 of itself, and so is K v - lambda v by 2^-24 lambda_1). Local.
Accepted accepted(const SpectrumJob& job, const SpectrumWay& way, Index n);
/// The same for exact residuals of pairs of a K whose entries were kept in single: each is off by
/// 2^-24 of itself, the matrix by 2^-24 |K|_F <= 2^-24 sqrt(lambda_1 trace(K)). Local.
Accepted accepted_of_rounded(const Accepted& of_kept, double trace, double lambda_1);

/// The hash of the rows that a stored kernel was made of, 0 where its file does not say.
/// Collective.
std::uint64_t rows_hash(const gram::Source& kernel, const comm::Communicator& comm);

/// The stages of the way that was decided. Collective.
Plan plan(const SpectrumJob& job, const SpectrumWay& way, const gram::Source& kernel,
          const forecast::Sizes& sizes, Index top, Session& session);

/// The problem of an iterative run, and what its accuracy and rounding depend on beside that.
/// Collective.
CheckpointIdentity identity(const SpectrumJob& job, const gram::Source& kernel,
                            const data::Dataset& train, Index n, Index top,
                            const comm::Communicator& comm);
/// What was chosen from the memory that there was, so that a run that goes on chooses the same.
void write_sizes(dist::Hdf5File& file, const SpectrumWay& way);
/// Whether the state in `file` can be gone on from as it stands: pairs that are done are accurate
/// enough, and products with K are those of this run. Otherwise its vectors start a new run.
/// Collective.
bool is_continued(const SpectrumJob& job, const SpectrumWay& way, const gram::Source& kernel,
                  const dist::Hdf5File& file);

}  // namespace mercer::drivers
