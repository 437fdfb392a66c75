#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mercer/data/dataset.hpp"
#include "mercer/jobs/checkpoints.hpp"
#include "mercer/jobs/products.hpp"
#include "mercer/jobs/resources.hpp"
#include "mercer/jobs/scores.hpp"
#include "mercer/krr/fit.hpp"
#include "mercer/krr/ridge_estimates.hpp"
#include "mercer/msk/eigenspaces.hpp"
#include "mercer/msk/preconditioner.hpp"
#include "mercer/spectral/cost.hpp"

/// Kernel ridge regression with K or with a Modified Spectrum Kernel: options -> plan -> fit. K is
/// assembled for the direct solvers, and known by its matrix-vector products to conjugate
/// gradients.
namespace mercer::jobs {

enum class RidgeSolver { automatic, direct, conjugate_gradients };
enum class Preconditioning { automatic, none, eigenpairs, cholesky };
std::string name(Preconditioning preconditioning);
/// "loo", "gcv" or "holdout".
std::string name(krr::RidgeCriterion criterion);

struct RidgeOptions {
  /// gamma on the scale of K = k/n, or with `relative` multiples of trace(K)/n; one or several.
  std::vector<double> ridges{};
  std::string given{};  ///< ridges as a user wrote them, for messages; empty: as numbers
  bool relative = false;
  std::optional<krr::RidgeCriterion> choice{};  ///< what chooses the ridge; then `ridges` is empty

  Index top = -1;             ///< how many eigenvalues g changes; -1: all
  std::string g{};            ///< msk::SpectrumMap's text; empty: plain ridge regression
  bool transductive = false;  ///< test rows take part in the spectrum: transduce()
  bool single = false;        ///< K of the direct solvers in single precision

  RidgeSolver solver = RidgeSolver::automatic;
  spectral::Method eigensolver = spectral::Method::automatic;  ///< of the direct solver's pairs
  std::string spectrum{};  ///< a file of stored pairs of the same rows and kernel

  // Of conjugate gradients; any of them asks for these.
  gram::Storage storage = gram::Storage::automatic;
  Preconditioning preconditioner = Preconditioning::automatic;
  Index rank = 0;               ///< of the preconditioner; 0: chosen
  double cg_tol = 1e-8;         ///< stop at |Y - (K + gamma I) A| <= cg_tol |Y|, every output
  Index max_iterations = 1000;  ///< a ridge
  CheckpointOptions checkpoints{};
  /// The field that asks for conjugate gradients where none of the above tells; for reasons.
  std::string asked_by{};

  bool modified() const { return !g.empty(); }
  /// All eigenpairs serve any number of ridges; one ridge of the plain kernel costs a Cholesky
  /// factor.
  bool by_eigenpairs() const {
    return choice.has_value() || modified() || !spectrum.empty() || ridges.size() > 1;
  }
  /// What asks for conjugate gradients, "" where nothing does: "`solver` cg", "`ridge` holdout".
  std::string iterative_asked_by() const;
  /// The ridges for a kernel matrix of this trace(K)/n. Throws InputError where ridges that follow
  /// it have no scale: K = 0. Local.
  std::vector<double> gammas(double mean_diagonal) const;
  /// The ridges, or what chooses one. Local.
  std::string as_given() const;

  /// Throws InputError. Local.
  void validate() const;
  void validate(const gram::Source& kernel) const;
  void validate(const data::Split& sets) const;
  /// One line, in the fields' names.
  std::string text() const;
};

/// How the coefficients will be computed: decided before anything is allocated, the same in every
/// run of one job.
struct RidgeStrategy {
  bool iterative = false;
  std::string reason{};                                    ///< what was weighed
  Preconditioning preconditioner = Preconditioning::none;  ///< never automatic
  Index rank = 0;                                          ///< of it, or pairs computed for g
  std::optional<spectral::KrylovRun> run{};                ///< of the pairs that are computed
  double pairs_tolerance = 0;                              ///< of their residuals
  double iterations = 0;                                   ///< a ridge, as expected
  ProductPlan products{};
};

/// Direct up to n = 10 000 where that fits the memory; beyond, what is faster by the reference
/// machine among those that fit. `pairs_stored`: of options.spectrum. `resume`: the checkpoint to
/// go on from, whose rank and sizes are kept; may be null (then local and pure). Throws MemoryError
/// where conjugate gradients are asked for and do not fit.
RidgeStrategy choose(const RidgeOptions& options, const gram::Source& kernel,
                     const gram::Sizes& sizes, const Resources& resources, Index pairs_stored = 0,
                     const io::Hdf5File* resume = nullptr);

/// Iterations to 1e-8 at the relative ridge G with a preconditioner of this rank:
/// 3 sqrt(n/(rank G)). trace(K)/rank bounds the eigenvalues beside a sketch, so that conjugate
/// gradients take at most about 10 sqrt(n/(rank G)); a third of that was seen on kin40k and on all
/// of MNIST, less on easier sets. Plain ones find the largest eigenvalues themselves, as if the
/// rank were 30. Where the ridge is still to be chosen: as for 1e-3. Local, pure.
double expected_iterations(const RidgeOptions& options, Index n, Index rank);

/// What a fit will take.
struct RidgePlan {
  RidgeOptions options{};
  RidgeStrategy strategy{};
  gram::Sizes sizes{};
  Index nb = 0;
  std::uint64_t seed = 0;
  double panel_bytes = 0;         ///< rows of X that predictions and checks hold at a time
  double pairs_limit = 0;         ///< bytes a rank that eigenpairs beyond `top` may take; 0: any
  CheckpointIdentity identity{};  ///< where checkpoints are asked for
  plan::Plan stages;
};
/// For `sets.train`, predictions of `sets.test` rows included. Throws InputError for a k that K
/// does not have, and as choose(). Collective.
RidgePlan plan(const RidgeOptions& options, const gram::Source& kernel, const data::Split& sets,
               const Resources& resources, const comm::Communicator& comm, double load_seconds = 0);

/// One run of conjugate gradients.
struct CgRun {
  Index iterations = 0, products = 0;
  bool converged = true;
  std::string stagnation{};  ///< what to change where it did not converge
};

/// Coefficients, and what was seen on the way.
template <class T>
struct RidgeFit {
  std::string method = "cholesky";  ///< or the eigensolver, or cg
  std::vector<krr::Fit> fits;       ///< one a ridge
  std::size_t best = 0;             ///< of least leave-one-out error where there are several
  std::string edge;         ///< a line where the ridge was looked for and is at the range's end
  std::string edge_side{};  ///< then "lower" or "upper"
  double searched_from = 0, searched_to = 0;  ///< that range; 0: the ridge was given
  /// What leave-one-out, GCV and holdout estimate, for a modified kernel.
  std::string estimates{};
  double mean_diagonal = 0;        ///< trace(K)/n
  double orthogonality = -1;       ///< max |V^T V - I| of the pairs; -1: there were none
  msk::ModifiedSpectrum spectrum;  ///< empty without pairs
  Index top = 0;                   ///< eigenvalues that g acts on: as asked for, or more
  std::optional<spectral::Eigenpairs<T>> pairs{};  ///< of the direct solvers
  /// Of class probabilities (krr::probabilities()), where they can be calibrated, and what to say.
  std::optional<double> temperature{};
  std::string calibration{};

  // Of conjugate gradients.
  std::optional<msk::Preconditioner<double>> S{};  ///< of a modified kernel
  std::vector<CgRun> runs{};                       ///< one a ridge
  bool resumed =
      false;  ///< iterations count those before the resumption, products this run's alone
  std::string preconditioner{}, storage{};  ///< as they say of themselves
  double stored_share = 1;                  ///< of K
  std::vector<krr::RidgeScore> tried{};     ///< where the ridge was chosen
  std::optional<krr::RidgeScore> chosen{};
  double flops = 0;  ///< as counted

  const krr::Fit& best_fit() const { return fits[best]; }
  bool converged() const;
};

/// K -> coefficients, as planned. Direct: one ridge of the plain kernel by Cholesky; one ridge of
/// K_g = K S by the top eigenpairs and Cholesky; several ridges, or one that is to be chosen, from
/// all eigenpairs. Iterative: K by its products -> eigenpairs where g or the preconditioner needs
/// them -> preconditioner -> ridge, where it is to be chosen -> conjugate gradients. T: float where
/// options.single and the strategy is direct. Phases: assemble, eigensolve, precondition, choose,
/// solve. Error with the code `interrupted` where the monitor asks for it and the state is kept.
/// Collective.
template <class T>
RidgeFit<T> fit(const RidgePlan& plan, const gram::Source& kernel, const data::Split& sets,
                const dist::ProcessGrid& grid, Monitor& monitor);

/// |S (Y - K alpha) - gamma alpha|_F / (|Y|_F + trace(K) |alpha|_F) of the best fit with every
/// entry of K evaluated again: alpha = S (K S + gamma I)^-1 Y is its zero. S = I for plain ridge
/// regression. Collective.
template <class T>
double check(const RidgePlan& plan, const RidgeFit<T>& fit, const gram::Source& kernel,
             const data::Dataset& train, const dist::ProcessGrid& grid);
/// What check() may give: rounding, or what the solver and the storage of K leave. Local.
template <class T>
double accepted_error(const RidgePlan& plan, const RidgeFit<T>& fit);

/// The errors of every ridge, on the test rows too where there are such, in one pass over the
/// kernel;
/// `best`: what the best one predicts of them. Phase: predict. Collective.
template <class T>
std::vector<RidgeErrors> errors_along(const RidgePlan& plan, const RidgeFit<T>& fit,
                                      const gram::Source& kernel, const data::Split& sets,
                                      Predictions& best, Monitor& monitor);

/// /ridge, /score/..., /path/... of several ridges, /search/... of a ridge that was chosen by
/// estimates. `errors`: one a ridge. Collective.
template <class T>
void write(io::Hdf5File& file, const RidgeFit<T>& fit, const std::vector<RidgeErrors>& errors,
           const data::Preparation& preparation);

/// Transductive predictions: the test rows take part in the spectrum, so that there is no alpha.
template <class T>
struct Transduction {
  dist::RowBlock<double> values;  ///< m x c, prepared units
  double ridge = 0, residual = 0;
  msk::ModifiedSpectrum spectrum;
};
template <class T>
Transduction<T> transduce(const RidgePlan& plan, const gram::Source& kernel,
                          const data::Split& sets, const dist::ProcessGrid& grid, Monitor& monitor);

}  // namespace mercer::jobs
