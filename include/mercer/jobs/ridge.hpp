#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "mercer/data/dataset.hpp"
#include "mercer/jobs/checkpoints.hpp"
#include "mercer/jobs/pairs.hpp"
#include "mercer/jobs/products.hpp"
#include "mercer/jobs/resources.hpp"
#include "mercer/jobs/scores.hpp"
#include "mercer/krr/fit.hpp"
#include "mercer/krr/learning_curve.hpp"
#include "mercer/krr/ridge_estimates.hpp"
#include "mercer/msk/eigenspaces.hpp"
#include "mercer/msk/preconditioner.hpp"
#include "mercer/spectral/cost.hpp"

/// Kernel ridge regression with K or with a Modified Spectrum Kernel: options -> plan -> fit.
/// Direct solvers take the assembled K, conjugate gradients only its matrix-vector products.
namespace mercer::jobs {

enum class RidgeSolver { automatic, direct, conjugate_gradients };
enum class Preconditioning { automatic, none, eigenpairs, cholesky };
std::string name(Preconditioning preconditioning);
/// "loo", "gcv" or "holdout".
std::string name(krr::RidgeCriterion criterion);

/// Training for a limited time in place of a solution (krr::GradientFlow).
struct TimeOptions {
  /// Times t of gradient flow, or with `eta` numbers T of steps; infinity: ridge regression.
  std::vector<double> times{};
  std::optional<krr::RidgeCriterion> choice{};  ///< chooses the time; `times` is then empty
  /// Learning rate of gradient descent on (1/2) |f - Y|^2, f <- f - eta n K (f - Y): t = eta n T
  /// after T steps; 0: gradient flow.
  double eta = 0;
  bool covariance = false;  ///< of the predictions for the test rows too: covariances()

  bool asked() const { return choice.has_value() || !times.empty(); }
  /// A time that is not limited, with this ridge and the step of n rows. Local.
  krr::GradientFlow flow(double gamma, Index n) const {
    return {.ridge = gamma, .step = eta * static_cast<double>(n)};
  }
  /// flow() for each of `times`. Local.
  std::vector<krr::GradientFlow> flows(double gamma, Index n) const;
};

/// Errors on fewer rows: learning_curve().
struct CurveOptions {
  std::vector<Index> sizes{};  ///< numbers of rows n; empty: no learning curve
  Index subsets = 5;  ///< random subsets of each size that are fitted; 0: none, else 2 or more

  bool asked() const { return !sizes.empty(); }
};

struct RidgeOptions {
  /// gamma on the scale of K = k/n, or with `relative` multiples of trace(K)/n; one or several.
  std::vector<double> ridges{};
  std::string given{};  ///< how a user gave these, for messages; may be empty
  bool relative = false;
  std::optional<krr::RidgeCriterion> choice{};  ///< chooses the ridge; `ridges` is then empty

  /// Takes one ridge, which may be 0, and all eigenpairs, or a `spectrum` of some: then what the
  /// others change is bounded (krr::TopFlow).
  TimeOptions time{};
  CurveOptions curve{};  ///< of the (best) ridge; takes all eigenpairs, and no training times

  Index top = -1;  ///< number of eigenvalues that g acts on; -1: all
  /// Text of a msk::SpectrumMap. Empty: "flat" where `top` is given, else plain ridge regression.
  std::string g{};
  bool transductive = false;  ///< the spectrum is that of training and test rows: transduce()
  bool single = false;        ///< K of the direct solvers in single precision

  RidgeSolver solver = RidgeSolver::automatic;
  /// For pairs of an assembled K, where they are not given. A named one asks for the direct solver.
  spectral::Method eigensolver = spectral::Method::automatic;
  GivenPairs spectrum{};  ///< pairs of the same rows and kernel

  // For conjugate gradients. Setting storage, preconditioner, rank or checkpoints selects them;
  // cg_tol and max_iterations alone do not.
  gram::Storage storage = gram::Storage::automatic;
  Preconditioning preconditioner = Preconditioning::automatic;
  Index rank = 0;               ///< of the preconditioner; 0: chosen
  double cg_tol = 1e-8;         ///< stop at |Y - (K + gamma I) B| <= cg_tol |Y|, every output
  Index max_iterations = 1000;  ///< for each ridge
  CheckpointOptions checkpoints{};
  /// The option by which the caller asks for conjugate gradients, for reasons; may be empty.
  std::string asked_by{};

  bool modified() const { return !g.empty() || top != -1; }
  /// The text of the map in force; "" for plain ridge regression. Local.
  std::string map() const { return g.empty() && modified() ? "flat" : g; }
  /// Whether a direct fit takes eigenpairs, which serve any number of ridges; otherwise (one ridge,
  /// plain kernel) it takes a Cholesky factor.
  bool by_eigenpairs() const { return compares() || modified() || !spectrum.empty(); }
  /// Whether a direct fit takes all eigenpairs: for several ridges, training times, a choice among
  /// either, or a learning curve.
  bool compares() const {
    return choice.has_value() || ridges.size() > 1 || time.asked() || curve.asked();
  }
  /// The field that asks for conjugate gradients, "`solver` cg" or "`choice` holdout" for instance;
  /// "" where none does. Local.
  std::string iterative_asked_by() const;
  /// The ridges gamma, given mean_diagonal = trace(K)/n; empty with `choice`. Throws InputError
  /// where ridges relative to trace(K)/n, or their choice, have no scale because K = 0. Local.
  std::vector<double> gammas(double mean_diagonal) const;
  /// `given`, or the field and its value: "`ridges` 0.1,1", "`choice` loo". Local.
  std::string as_given() const;

  /// Throw InputError for impossible options: in themselves, for this kernel, for these sets; and
  /// for sets without rows, or with training rows that lack targets. Local.
  void validate() const;
  void validate(const gram::Source& kernel) const;
  void validate(const data::Split& sets) const;
};

/// How the coefficients will be computed: decided before anything is allocated, the same in every
/// run of one job.
struct RidgeStrategy {
  bool iterative = false;
  std::string reason{};  ///< why; may be empty
  std::string lacks{};   ///< what conjugate gradients lack where neither way fits the memory
  /// The direct eigensolver, where the direct strategy takes one, and why.
  spectral::Method eigensolver = spectral::Method::automatic;
  std::string eigensolver_reason{};
  Preconditioning preconditioner = Preconditioning::none;  ///< not automatic
  Index rank = 0;   ///< of the preconditioner; 0 where it takes the pairs of g or `spectrum`
  Index pairs = 0;  ///< computed or given, for g or the preconditioner
  std::optional<spectral::KrylovPlan> run{};  ///< of the pairs, where they are computed
  double pairs_tolerance = 0;                 ///< of their residuals
  double iterations = 0;                      ///< expected for each ridge
  ProductPlan products{};
};

/// Conjugate gradients where the options ask for them (iterative_asked_by()). Otherwise a direct
/// solver for a g on all eigenvalues, and up to n = 10 000 where it fits the memory; beyond, of the
/// strategies that fit, the one that is faster on the reference machine. `pairs_stored`: number of
/// pairs in options.spectrum. `resume`: checkpoint to resume from, whose rank and storage are kept;
/// null: none. Local and pure without it, collective with it. Throws MemoryError where conjugate
/// gradients are asked for and do not fit.
RidgeStrategy choose(const RidgeOptions& options, const gram::Source& kernel,
                     const gram::Sizes& sizes, const Resources& resources, Index pairs_stored = 0,
                     const io::Hdf5File* resume = nullptr);

/// Expected iterations of conjugate gradients to a residual of 1e-8, at the relative ridge G and
/// with a preconditioner of this rank: 3 sqrt(n/(rank G)); times log(cg_tol)/log(1e-8) for another
/// tolerance, and at most max_iterations. The eigenvalues that a sketch leaves are at most
/// trace(K)/rank, so that conjugate gradients take at most about 10 sqrt(n/(rank G)) iterations; a
/// third of that was observed on kin40k and on all of MNIST, less on easier sets. Without a
/// preconditioner (rank 0) they find the largest eigenvalues themselves, as if the rank were 30. G
/// is the smallest of the relative ridges, n gamma for other ridges (as if k(x, x) were 1), 1e-3
/// where the ridge is still to be chosen. Local, pure.
double expected_iterations(const RidgeOptions& options, Index n, Index rank);

/// The plan of a fit.
struct RidgePlan {
  RidgeOptions options{};
  gram::Source kernel{};  ///< as given; where it is stored, its files are verified
  /// Lines for the user on what the files of a stored kernel leave unverified.
  std::vector<std::string> notes{};
  RidgeStrategy strategy{};
  gram::Sizes sizes{};
  std::uint64_t rows_hash = 0;  ///< data::Dataset::hash of the training rows
  Index nb = 0;
  std::uint64_t seed = 0;
  double panel_bytes = 0;  ///< bytes a rank for panels of rows, in predictions and checks
  /// Bytes a rank that a direct fit with more pairs than `top` may take; 0: no limit.
  double pairs_limit = 0;
  CheckpointIdentity identity{};  ///< where checkpoints are asked for
  plan::Plan stages;
  /// Whether K and its eigenpairs are in single precision: conjugate gradients compute in double.
  bool single() const { return options.single && !strategy.iterative; }
};
/// Plans the fit to `sets.train` and the predictions of `sets.test`. `load_seconds`: what reading
/// took. Throws InputError as the three validate(), for files of a stored kernel that are not of
/// these rows (Source::verify(), verify_cross()), for a `top` beyond the stored pairs and for a
/// checkpoint of another problem; MemoryError as choose(). Collective.
RidgePlan plan(const RidgeOptions& options, const gram::Source& kernel, const data::Split& sets,
               const Resources& resources, const comm::Communicator& comm, double load_seconds = 0);

/// One run of conjugate gradients.
struct CgRun {
  Index iterations = 0, products = 0;
  bool converged = true;
  std::string stagnation{};  ///< why it did not converge and what to change; else empty
};

/// Coefficients, and how they were computed.
struct RidgeFit {
  std::string method = "cholesky";  ///< or the eigensolver's name, or "cg"
  std::vector<krr::Fit> fits;       ///< one for each ridge, or training time
  /// Index of the fit with the least leave-one-out error (krr::best_ridge() or
  /// krr::RidgeEstimates::best()); 0 where there is one fit, or no such error.
  std::size_t best = 0;
  /// A line where the chosen ridge, or time, is at the end of the range searched.
  std::string edge;
  std::string edge_side{};                    ///< then "lower" or "upper"
  double searched_from = 0, searched_to = 0;  ///< that range; 0: the ridge or time was given
  double step = 0;                            ///< eta n of gradient descent, of training times
  /// Where training times are from fewer than n pairs, the largest of their residuals, relative to
  /// lambda_1; 0 otherwise.
  double pairs_residual = 0;
  bool best_by_gcv = false;  ///< `best` is by GCV, because there are no leave-one-out errors
  double holdout_rmse = -1;  ///< of the chosen training time, in prepared units; -1: none
  /// For a modified kernel, or training times, what leave-one-out, GCV and holdout estimate, in
  /// words.
  std::string estimates{};
  double mean_diagonal = 0;        ///< trace(K)/n
  double orthogonality = -1;       ///< max |V^T V - I| of the pairs; -1: not known
  msk::ModifiedSpectrum spectrum;  ///< empty without pairs
  Index top = 0;                   ///< number of eigenvalues that g acts on: `top`, or more
  /// Pairs of the direct solvers, in the precision of the plan: one of these, or none.
  std::optional<spectral::Eigenpairs<double>> pairs{};
  std::optional<spectral::Eigenpairs<float>> pairs_single{};
  /// Temperature of class probabilities (krr::probabilities()), where they can be calibrated, and a
  /// line about the calibration.
  std::optional<double> temperature{};
  std::string calibration{};

  // For conjugate gradients.
  std::optional<msk::Preconditioner<double>> S{};  ///< of a modified kernel
  std::vector<CgRun> runs{};                       ///< one for each ridge
  /// The run was resumed: iterations include those before, products are those of this run alone.
  bool resumed = false;
  std::string preconditioner{}, storage{};  ///< their text() and name()
  double stored_share = 1;                  ///< of K's entries
  std::vector<krr::RidgeScore> tried{};     ///< ridges with estimated scores, where there are any
  std::optional<krr::RidgeScore> chosen{};  ///< of the chosen ridge, where one was chosen
  double flops = 0;                         ///< as counted, without predictions

  const krr::Fit& best_fit() const { return fits[best]; }
  bool converged() const;
};

/// Computes the coefficients as planned. Direct: one ridge of the plain kernel by Cholesky; one
/// ridge of K_g = K S by the top eigenpairs and Cholesky; several ridges, or a choice of the ridge,
/// from all eigenpairs, as training times, which also take fewer of a `spectrum`; K in double or,
/// with options.single, in single precision. Iterative: K as an operator -> eigenpairs where g or the preconditioner needs them ->
/// preconditioner -> choice of the ridge -> conjugate gradients. Phases: prepare, assemble, load,
/// eigensolve, precondition, choose, solve. Throws InputError for a transductive plan or other
/// training rows; MemoryError where the plan exceeds its limit (Plan::require_memory()); Error with
/// the code `interrupted`, after writing a checkpoint, where the monitor asks for it; otherwise as
/// the solvers. Collective.
RidgeFit fit(const RidgePlan& plan, const data::Split& sets, const dist::ProcessGrid& grid,
             Monitor& monitor);

/// How well the best fit solves its equations.
struct RidgeCheck {
  /// |S (Y - K alpha) - gamma alpha|_F / (|Y|_F + trace(K) |alpha|_F), 0 for the exact alpha =
  /// S (K S + gamma I)^-1 Y; S = I for plain ridge regression. Of a training time |F - K alpha|_F,
  /// F from the pairs, over the same. Without the denominator where Y = 0.
  double error = 0;
  double tolerance = 0;  ///< by rounding, the solver's tolerance, and the storage of K

  bool good() const { return error <= tolerance; }
};
/// Computes every entry of K again. Phase: check. Collective.
RidgeCheck check(const RidgePlan& plan, const RidgeFit& fit, const data::Dataset& train,
                 const dist::ProcessGrid& grid, Monitor& monitor);

/// Errors along the path of ridges.
struct PathErrors {
  std::vector<RidgeErrors> errors;  ///< one for each ridge, or training time
  Predictions best;                 ///< of the best fit for the test rows; empty without these
  /// Of training times: predictions for the training rows and, where there are any, the test rows,
  /// in the targets' own units, one for each time.
  std::vector<dist::RowBlock<double>> train{}, test{};
  double flops = 0;  ///< of the predictions
};
/// The errors for every ridge or training time; where there are test rows, on them too, by one pass
/// over the kernel.
/// Phase: predict. Throws InputError as gram::apply_cross(). Collective.
PathErrors errors_along(const RidgePlan& plan, const RidgeFit& fit, const data::Split& sets,
                        Monitor& monitor);

/// Covariances between the predictions of networks of infinite width for the test rows, after each
/// training time; in prepared units, the same for every output. Of an NTK: over the initialisations
/// of networks that are trained in all layers; of an NNGP kernel: with the readout alone trained,
/// at t = infinity those of the Gaussian process.
struct Covariances {
  bool trained = false;                             ///< of an NTK
  std::vector<dist::RowBlock<double>> values{};     ///< m x m each
  std::vector<std::array<double, 3>> deviations{};  ///< the least, mean and largest of the rows
};
/// krr::TrainedCovariance or krr::readout_covariance() of the fit's pairs. Phase: covariance.
/// Throws InputError where the plan has none or is of other rows. Collective.
Covariances covariances(const RidgePlan& plan, const RidgeFit& fit, const data::Split& sets,
                        const dist::ProcessGrid& grid, Monitor& monitor);
/// Writes /at_time/ntk_cov or /at_time/nngp_cov, times x m x m. Collective.
void write(io::Hdf5File& file, const Covariances& covariances);

/// The test error against the number of rows n, predicted from the spectrum of all n_0 training
/// rows and measured by fits to random subsets. Errors are means over rows of |f - y|^2, summed
/// over outputs, in prepared units, with the noise of the targets.
struct LearningCurve {
  /// Ridges and predictions (krr::predicted_error()), one for each of CurveOptions::sizes. The
  /// ridge is that of the best fit; where ridges are relative to trace(K)/n, with the n of the
  /// subset: the ridge of the kernel that is not divided by n is then the same for all n.
  std::vector<krr::CurvePoint> points{};
  /// Predictions from leave-one-out errors in place of the GCV score. Where they differ from
  /// those, some rows have far more influence than others (inputs of large norm, for instance),
  /// which the theory does not know.
  std::vector<double> leave_one_out{};
  /// The mean over the subsets, and its standard error; empty where there are no subsets.
  std::vector<double> measured{}, measured_error{};
  Index subsets = 0;
  bool on_test_rows = false;  ///< measured on the test rows; else on the rows that a subset leaves
  bool same_ridge = true;     ///< the same gamma for all n
  double flops = 0;           ///< of both, as counted
};
/// Predicted: O(n_0^2 (c + 1)) flops for each n. Measured: subsets are drawn by the seed, the same
/// for every number of ranks and whatever other sizes are asked for. Each is fitted as fit() would
/// fit it with one ridge: K of its rows is assembled anew, and g acts on its own spectrum. (The
/// prediction has g on the spectrum of all rows: a map of the operator's eigenvalues, which a
/// subset knows where `top` is far below n.) Memory: the fit to a subset, beside the pairs of
/// `fit`. Phases: curve, measure. Throws InputError where the plan has none or is of other
/// rows; otherwise as fit(). Collective.
LearningCurve learning_curve(const RidgePlan& plan, const RidgeFit& fit, const data::Split& sets,
                             const dist::ProcessGrid& grid, Monitor& monitor);
/// Writes /learning_curve/{n, ridge, kappa, freedom, freedom_square, bias_and_noise, predicted,
/// predicted_loo, measured, measured_error}. Collective.
void write(io::Hdf5File& file, const LearningCurve& curve, const data::Preparation& preparation);

/// Writes /score/... of the best fit, /path/... of several ridges, /at_time/... of training times
/// (t, scores, and predictions `train` and `test`, times by rows by outputs), and /search/... of
/// estimated scores. InputError unless there is an error for each fit. What predicts new rows is
/// the model (model_of(), model.hpp), which is written beside these, before or after. Collective.
void write(io::Hdf5File& file, const RidgeFit& fit, const PathErrors& along,
           const data::Preparation& preparation);

/// Transductive predictions: the spectrum is that of training and test rows, so that there is no
/// alpha for other rows.
struct Transduction {
  dist::RowBlock<double> values;  ///< m x c, prepared units
  double ridge = 0, residual = 0;
  double tolerance = 0;  ///< of the residual: 1e-8, in single precision 1e-3
  msk::ModifiedSpectrum spectrum;

  bool good() const { return residual <= tolerance; }
};
/// Transductive predictions as planned (krr::Transductive), in double or, with options.single, in
/// single precision. Phases: prepare, eigensolve, solve. Throws InputError unless the plan is
/// transductive and of these training rows, MemoryError as fit(). Collective.
Transduction transduce(const RidgePlan& plan, const data::Split& sets,
                       const dist::ProcessGrid& grid, Monitor& monitor);

}  // namespace mercer::jobs
