#pragma once

#include <optional>
#include <string>

#include "mercer/data/dataset.hpp"
#include "mercer/jobs/checkpoints.hpp"
#include "mercer/jobs/products.hpp"
#include "mercer/jobs/resources.hpp"
#include "mercer/spectral/cost.hpp"
#include "mercer/spectral/estimates.hpp"

/// The eigenpairs of a kernel matrix K = (1/n) [k(x_i, x_j)]: options -> plan -> result. K is
/// assembled for the direct solvers, and known by its matrix-vector products to block Krylov.
namespace mercer::jobs {

/// Residuals that block Krylov reaches at best.
inline constexpr double kLeastTolerance = 1e-13;

struct SpectrumOptions {
  Index top = -1;       ///< how many of the largest eigenvalues; -1: all
  bool vectors = true;  ///< false: values only
  bool single = false;  ///< K of the direct solvers and the vectors in single precision
  spectral::Method method = spectral::Method::automatic;
  /// Largest residual |K v - lambda v|/lambda_1 that is accepted; krylov stops there. Empty: 1e-10,
  /// or what rounding leaves in single precision.
  std::optional<double> tolerance{};
  bool exact_residuals = false;  ///< by one more product with K, evaluated again

  // Of block Krylov; any of them asks for it.
  gram::Storage storage = gram::Storage::automatic;
  Index block = 0;      ///< vectors of a product; 0: chosen
  std::string start{};  ///< a file of earlier pairs to start from
  CheckpointOptions checkpoints{};

  /// Stochastic estimates at gamma = *estimates trace(K)/n; empty: none.
  std::optional<double> estimates{};

  /// Throws InputError. Local.
  void validate() const;
  /// The same of what depends on the kernel, and on the number of rows.
  void validate(const gram::Source& kernel) const;
  void validate(Index n) const;
  /// One line, in the fields' names.
  std::string text() const;

  bool iterative_asked() const { return !asked_by().empty() && !direct_asked(); }
  bool direct_asked() const;
  /// The field that asks for a solver, for reasons: "`method` elpa1", "`storage`"; or "".
  std::string asked_by() const;
};

/// How the pairs will be computed: decided before anything is allocated, the same in every run of
/// one job.
struct SpectrumStrategy {
  bool iterative = false;
  std::string reason{};       ///< what was weighed
  spectral::Method direct{};  ///< of the direct solver
  spectral::KrylovRun run{};  ///< sizes of the iterative one
  ProductPlan products{};     ///< and its K
  spectral::EstimateOptions probes{};
};

/// Of k = `top` pairs. Direct solvers below half a second, and where more than a sixth of the pairs
/// are wanted; else what is faster by the reference machine among those that fit. `resume`: the
/// checkpoint to go on from, whose sizes are kept; may be null (then local and pure). Throws
/// MemoryError where the iterative solver is asked for and does not fit. Collective with `resume`.
SpectrumStrategy choose(const SpectrumOptions& options, const gram::Source& kernel,
                        const gram::Sizes& sizes, Index top, const Resources& resources,
                        const io::Hdf5File* resume = nullptr);

/// What a spectrum will take.
struct SpectrumPlan {
  SpectrumOptions options{};
  SpectrumStrategy strategy{};
  Index n = 0, top = 0, nb = 0;
  std::uint64_t seed = 0;
  gram::Sizes sizes{};
  CheckpointIdentity identity{};  ///< where checkpoints are asked for
  plan::Plan stages;
};
/// `rows`: the data set, or an empty one where the kernel is a file's of n rows. `load_seconds`:
/// what reading took. Throws InputError for a k that K does not have, and as choose(). Collective.
SpectrumPlan plan(const SpectrumOptions& options, const gram::Source& kernel,
                  const data::Dataset& rows, const Resources& resources,
                  const comm::Communicator& comm, double load_seconds = 0);

/// What stochastic estimates tell of the whole spectrum.
struct SpectrumEstimates {
  double trace = 0;
  double ridge = 0;  ///< gamma of the two below
  spectral::Estimate dimension, log_determinant;
  spectral::Quadrature density;
};

/// The largest residual that a run accepts, relative to lambda_1, and why it is not the tolerance.
struct Accepted {
  double residual = 0;
  std::string why{};  ///< empty: the tolerance
};

template <class T>
struct Spectrum {
  spectral::Eigenpairs<T> pairs;  ///< on the grid
  /// Of lambda_(k+1), by block Krylov, for SpectrumOptions::start; else empty.
  dist::RowBlock<double> next_vector{};
  std::optional<SpectrumEstimates> estimates{};
  Accepted accepted{};
  bool iterative = false;
  // Of block Krylov.
  Index products = 0, restarts = 0, block = 0, basis = 0;
  std::string storage{};
  double stored_share = 1;
  std::string warning{};  ///< a cluster that k cuts
  double flops = 0;       ///< as counted

  double largest_residual() const;  ///< infinite if one is NaN, -1 where none were measured
  bool good() const;                ///< largest_residual() is accepted, or there is none
};

/// Runs the plan. T: float where options.single. Phases: assemble, estimates, eigensolve, check.
/// Throws as the solvers do; Error with the code `interrupted` where the monitor asks for it and
/// the state is kept. Collective.
template <class T>
Spectrum<T> solve(const SpectrumPlan& plan, const gram::Source& kernel, const data::Dataset& rows,
                  const dist::ProcessGrid& grid, Monitor& monitor);

/// spectral::write() of the pairs, /eigenvector_next, and of estimates /density/node and
/// /density/weight, ascending: tr f(K) is about the sum of weight f(node), the weights adding up to
/// n; /estimates/... with their errors. Collective.
template <class T>
void write(io::Hdf5File& file, const Spectrum<T>& spectrum);

/// The hash of the rows that a stored kernel was made of, 0 where its file does not say.
/// Collective.
std::uint64_t rows_hash(const gram::Source& kernel, const comm::Communicator& comm);

}  // namespace mercer::jobs
