#pragma once

#include <memory>
#include <optional>
#include <string>

#include "mercer/data/dataset.hpp"
#include "mercer/jobs/checkpoints.hpp"
#include "mercer/jobs/products.hpp"
#include "mercer/jobs/resources.hpp"
#include "mercer/msk/leverage.hpp"
#include "mercer/spectral/cost.hpp"
#include "mercer/spectral/diagnostics.hpp"
#include "mercer/spectral/eigenfunctions.hpp"
#include "mercer/spectral/estimates.hpp"
#include "mercer/spectral/stored.hpp"

/// The eigenpairs of a kernel matrix K = (1/n) [k(x_i, x_j)]: options -> plan -> result. Direct
/// solvers take the assembled K, block Krylov only its matrix-vector products.
namespace mercer::jobs {

/// The smallest tolerance that block Krylov reaches.
inline constexpr double kLeastTolerance = 1e-13;

struct KnownPairs;  // pairs.hpp

/// Ridge leverage scores and statistical dimensions (msk/leverage.hpp): exact from all n pairs,
/// otherwise from the top ones and probes.
struct LeverageOptions {
  std::vector<double> ridges{};  ///< gamma, or with `relative` multiples of trace(K)/n
  bool relative = false;
  Index probes = 32;  ///< where not all pairs are there

  bool asked() const { return !ridges.empty(); }
  /// Throws InputError, naming `leverage`, `leverage_relative` or `probes`. Local.
  void validate() const;
};

struct SpectrumOptions {
  Index top = -1;       ///< number of eigenpairs, the largest ones; -1: all
  bool vectors = true;  ///< false: values only
  bool single = false;  ///< K of the direct solvers and the vectors in single precision
  spectral::Method method = spectral::Method::automatic;
  /// Largest residual |K v - lambda v|/lambda_1 that is accepted; krylov iterates to half of it.
  /// Empty: 1e-10, or more where rounding in single precision leaves more.
  std::optional<double> tolerance{};
  bool exact_residuals = false;  ///< by one more product with K, whose entries are computed again

  // For block Krylov. Each of them asks for it.
  gram::Storage storage = gram::Storage::automatic;
  Index block = 0;      ///< vectors in a product; 0: chosen
  std::string start{};  ///< file of earlier pairs to start from, of any kernel and at most n rows
  std::shared_ptr<const KnownPairs> start_pairs{};  ///< or such pairs in memory (pairs.hpp)
  CheckpointOptions checkpoints{};

  /// Stochastic estimates at gamma = *estimates trace(K)/n; empty: none.
  std::optional<double> estimates{};

  LeverageOptions leverage{};  ///< takes eigenvectors

  Index eval_rows = 0;  ///< new rows for which evaluate() is planned; 0: none
  Index aligned = 0;    ///< columns of targets for which diagnose() is planned; 0: none

  /// Throw InputError for impossible options: in themselves, for this kernel, for n rows. Local.
  void validate() const;
  void validate(const gram::Source& kernel) const;
  void validate(Index n) const;

  bool starts() const { return !start.empty() || start_pairs != nullptr; }  ///< from earlier pairs
  bool iterative_asked() const { return !asked_by().empty() && !direct_asked(); }
  bool direct_asked() const;
  /// The field that asks for a solver, for reasons: "`method` elpa1", "`storage`"; or "".
  std::string asked_by() const;
};

/// How the pairs will be computed: decided before anything is allocated, the same in every run of
/// one job.
struct SpectrumStrategy {
  bool iterative = false;
  std::string reason{};        ///< why
  std::string lacks{};         ///< what block Krylov lacks where neither way fits the memory
  spectral::Method direct{};   ///< the direct solver
  spectral::KrylovPlan run{};  ///< sizes of block Krylov
  ProductPlan products{};      ///< K for block Krylov
  spectral::EstimateOptions probes{};
};

/// Chooses the strategy for k = `top` pairs. Unless the options ask for a solver, a direct solver
/// is taken for a tolerance below kLeastTolerance; if it fits the memory, also where it takes at
/// most half a second, or more than a sixth of all pairs is wanted. Otherwise, of the solvers that
/// fit, the one that is faster on the reference machine. `resume`: checkpoint to resume from, whose
/// sizes and storage are kept; null: none. Local and pure without it, collective with it. Throws
/// MemoryError where the iterative solver is asked for and does not fit.
SpectrumStrategy choose(const SpectrumOptions& options, const gram::Source& kernel,
                        const gram::Sizes& sizes, Index top, const Resources& resources,
                        const io::Hdf5File* resume = nullptr);

/// The plan of a spectrum.
struct SpectrumPlan {
  SpectrumOptions options{};
  /// Lines for the user on what the file of a stored kernel leaves unverified.
  std::vector<std::string> notes{};
  SpectrumStrategy strategy{};
  Index n = 0, top = 0, nb = 0;
  std::uint64_t seed = 0;
  gram::Sizes sizes{};
  std::string kernel{};           ///< its text
  std::uint64_t rows_hash = 0;    ///< data::Dataset::hash
  double check_flops = 0;         ///< of exact residuals
  CheckpointIdentity identity{};  ///< where checkpoints are asked for
  plan::Plan stages;
};
/// `rows`: the data set; may be empty where K is read from a file. `load_seconds`: what reading
/// took. Throws InputError as the three validate(), for the file of a stored kernel that is not of
/// these rows (Source::verify()) and for a checkpoint of another problem; MemoryError as choose().
/// Collective.
SpectrumPlan plan(const SpectrumOptions& options, const gram::Source& kernel,
                  const data::Dataset& rows, const Resources& resources,
                  const comm::Communicator& comm, double load_seconds = 0);

/// Estimates of the whole spectrum by probes; where all eigenvalues are known, dimension and
/// log_determinant are exact sums over them, with error 0.
struct SpectrumEstimates {
  double trace = 0;  ///< exact
  double ridge = 0;  ///< the gamma of dimension and log_determinant
  spectral::Estimate dimension, log_determinant;
  spectral::Quadrature density;
};

/// The largest residual that a run accepts, relative to lambda_1, and why it exceeds the tolerance.
struct Accepted {
  double residual = 0;
  std::string why{};  ///< empty: it is the tolerance
};

template <class T>
struct Spectrum {
  spectral::Eigenpairs<T> pairs;  ///< on the grid
  spectral::Expected of{};        ///< what they belong to: kernel, n, hash of the rows
  /// The eigenvector of lambda_(k+1), for SpectrumOptions::start of later runs; block Krylov only.
  dist::RowBlock<double> next_vector{};
  std::optional<SpectrumEstimates> estimates{};
  std::optional<msk::LeverageScores> leverage{};
  Accepted accepted{};
  bool iterative = false;
  // For block Krylov.
  Index products = 0, restarts = 0, block = 0, basis = 0;
  std::string storage{};
  double stored_share = 1;
  std::string warning{};  ///< where k cuts a cluster of eigenvalues
  /// As counted: of K, the k pairs that were computed, the estimates and exact residuals.
  double flops = 0;

  double largest_residual() const;  ///< infinite if one is NaN; -1 where none was measured
  bool good() const;                ///< largest_residual() is accepted, or none was measured
};

/// Computes the spectrum as planned. T is float where options.single is set, else double. Phases:
/// prepare, assemble, estimates, eigensolve, leverage, check. Throws MemoryError where the plan
/// exceeds its limit (Plan::require_memory()); otherwise as the solvers; Error with the code
/// `interrupted`, after writing a checkpoint, where the monitor asks for it. Collective.
template <class T>
Spectrum<T> solve(const SpectrumPlan& plan, const gram::Source& kernel, const data::Dataset& rows,
                  const dist::ProcessGrid& grid, Monitor& monitor);

/// Writes the pairs and what they belong to (spectral::write()), so that jobs take the file as
/// their `spectrum` or `start`, and /eigenvector_next; of estimates /density/node (ascending) and
/// /density/weight, for which tr f(K) is about the sum of weight f(node) and the weights add up to
/// n, and /estimates/... with their errors; of leverage scores /leverage/... Collective.
template <class T>
void write(io::Hdf5File& file, const Spectrum<T>& spectrum);
/// Writes /leverage/ridges, /leverage/scores (n x ridges), /leverage/statistical_dimension and,
/// where they are not exact, /leverage/errors and /leverage/statistical_dimension_error.
/// Collective.
void write(io::Hdf5File& file, const msk::LeverageScores& leverage);

/// Of the scores at one of the ridges; the mean is s_gamma/n.
struct LeverageSummary {
  double least = 0, mean = 0, greatest = 0;
  double largest_error = 0;  ///< of one score; 0: exact
};
/// Collective.
LeverageSummary summary(const msk::LeverageScores& leverage, std::size_t ridge);

/// Writes a table i, eigenvalue, relative (lambda_i/lambda_1), residual (empty for values only) as
/// CSV. `values` and `residuals` as in Eigenpairs. Throws RunError where it cannot be written.
/// Collective.
void write_csv(const comm::Communicator& comm, const std::string& path,
               const std::vector<double>& values, const std::vector<double>& residuals);

/// The eigenfunctions of a spectrum's pairs on new rows (spectral::eigenfunctions()).
struct Evaluation {
  dist::RowBlock<double> values;  ///< m x k
  std::vector<spectral::Space> spaces{};
  /// Of the values, and what it says of each space; not of a single row.
  std::optional<spectral::FunctionGram> gram{};
  /// Of spaces whose eigenvalues n rows tell apart: relative gaps above 4 n^-1/2. Standard errors
  /// are by the sampling of the m new rows and, (m/n)^1/2 times that, of the n rows of K, with 1/n
  /// an entry for the second order of the latter (a constant function has no variance).
  std::vector<spectral::SpaceCheck> checks{};
  bool cut = false;  ///< the last of these goes on beyond the pairs: it is not judged
  /// The largest deviation or mixing, in its standard errors.
  double standard_errors = 0;
  double flops = 0;
};
/// `rows`: those of the spectrum; `eval`: the new ones, prepared as these. Eigenvalues that differ
/// by no more than 4 residuals, or rounding, are one space. Phase: evaluate. Throws InputError as
/// spectral::eigenfunctions(), and for rows that are not the spectrum's. Collective.
template <class T>
Evaluation evaluate(const SpectrumPlan& plan, const Spectrum<T>& spectrum,
                    const gram::Source& kernel, const data::Dataset& rows,
                    const data::Dataset& eval, const dist::ProcessGrid& grid, Monitor& monitor);
/// Writes /eval/eigenfunctions, /eval/space (of each function the number of its space), /eval/rows,
/// and where they are known /eval/gram and /eval/gram_error. Collective.
void write(io::Hdf5File& file, const Evaluation& evaluation, const data::Dataset& eval);

struct DiagnosticsOptions {
  /// Of the effective rank, relative to lambda_1^(1/2); empty: powers of ten.
  std::vector<double> thresholds{};
  double reduction = 10;  ///< of a residual, for the steps of descent; above 1
  /// Throws InputError, naming `diagnostics`. Local.
  void validate() const;
};
/// What a spectrum says of learning with it (spectral/diagnostics.hpp).
struct Diagnostics {
  double resolution = 0;  ///< error of the eigenvalues, relative to lambda_1
  spectral::Condition condition{};
  double trace = 0;     ///< of K, exact
  double in_pairs = 0;  ///< the part of it that the k eigenvalues are
  std::vector<spectral::EffectiveRank> ranks{};
  std::optional<spectral::Decay> decay{};
  std::string no_decay{};  ///< why there is none
  std::vector<spectral::Space> spaces{};
  double rate = 0;              ///< eta = 1/(n lambda_1), half the bound at which descent diverges
  double reduction = 0;         ///< by which `steps` reduce
  std::vector<double> steps{};  ///< k, infinite where lambda_i is no larger than its error
  std::optional<spectral::Alignment> alignment{};
  std::string no_alignment{};  ///< why there is none
};
/// Eigenvalues are known to n eps of the vectors' precision or the largest residual, whichever is
/// more; those that differ by no more than 4 residuals, or rounding, are one space. Alignment is
/// with the targets of `rows`, the spectrum's, as they were prepared; without vectors, or targets
/// for every row, there is none. Cost: spectral::align(). Phase: diagnostics. Collective.
template <class T>
Diagnostics diagnose(const Spectrum<T>& spectrum, const data::Dataset& rows,
                     const DiagnosticsOptions& options, Monitor& monitor);
/// Writes /diagnostics/... (drivers/FILES.md). Collective.
void write(io::Hdf5File& file, const Diagnostics& diagnostics);

/// The hash of `rows`; where there are none, that of the rows that a stored kernel was computed
/// from: 0 where its file does not have it. Collective.
std::uint64_t rows_hash(const gram::Source& kernel, const data::Dataset& rows,
                        const comm::Communicator& comm);

}  // namespace mercer::jobs
