#pragma once

#include "shared/ridge_fit.hpp"

namespace mercer::drivers {

/// How the coefficients will be computed: decided before anything is allocated, the same in every
/// run of one job.
struct RidgeWay {
  bool iterative = false;
  std::string reason;                     ///< what was weighed
  std::string preconditioner = "none";    ///< none, eigenpairs or cholesky
  Index rank = 0;                         ///< of it, or pairs computed for g
  std::optional<forecast::Krylov> run{};  ///< of the pairs that are computed
  double pairs_tolerance = 0;             ///< of their residuals
  double iterations = 0;                  ///< a ridge, as expected by the plan
  ProductPlan products{};
};

/// `resume`: the checkpoint to go on from, whose sizes are kept; may be null. Collective. Throws
/// MemoryError where conjugate gradients are asked for and do not fit.
RidgeWay decide(const RidgeJob& job, const gram::Source& kernel, const forecast::Sizes& sizes,
                const Session& session, const dist::Hdf5File* resume);
/// Its stages but for reading and predictions.
void plan(Plan& plan, const RidgeJob& job, const RidgeWay& way, const forecast::Sizes& sizes,
          const Machine& machine);

/// The problem of an iterative run, and what its accuracy and rounding depend on beside that.
/// Collective.
CheckpointIdentity identity(const RidgeJob& job, const gram::Source& kernel,
                            const data::Dataset& train, const comm::Communicator& comm);

/// K by its products -> eigenpairs where g or the preconditioner needs them -> preconditioner ->
/// ridge, where it is to be chosen -> coefficients by conjugate gradients. Borrows its arguments.
/// Collective.
class IterativeFitting {
 public:
  IterativeFitting(const RidgeJob& job, const RidgeWay& way, const gram::Source& kernel,
                   const data::Dataset& train, Index nb, Checkpoints& checkpoints,
                   Session& session);
  ~IterativeFitting();

  Solution<double> solve();

 private:
  Index n() const { return train_.rows(); }
  /// The top `k` pairs to `tolerance`, from those of an earlier call where there was one.
  spectral::TopPairs pairs(const gram::Operator& K, Index k, double tolerance,
                           const spectral::TopPairs* before);
  spectral::TopPairs stored_pairs();
  void take_resumed_ridges();
  /// Pairs, and where K is modified g on them.
  void take_pairs(const gram::Operator& K, Solution<double>& solution);
  krr::LowRankPreconditioner preconditioner(const gram::Operator& A,
                                            const msk::ModifiedSpectrum& spectrum);
  krr::RidgeEstimates estimates(const gram::Operator& K, const krr::ModifiedOperator* K_g,
                                const krr::LowRankPreconditioner& M, krr::RidgeCriterion criterion,
                                const krr::RidgeEstimateOptions& options);
  void choose(const gram::Operator& K, const krr::ModifiedOperator* K_g,
              const krr::LowRankPreconditioner& M, Solution<double>& solution);
  void compare(const gram::Operator& K, const krr::ModifiedOperator* K_g,
               const krr::LowRankPreconditioner& M, Solution<double>& solution);
  void fit(const gram::Operator& K, const krr::ModifiedOperator* K_g,
           const krr::LowRankPreconditioner& M, Solution<double>& solution);

  const RidgeJob& job_;
  const RidgeWay& way_;
  const gram::Source& kernel_;
  const data::Dataset& train_;
  Checkpoints& checkpoints_;
  Session& session_;
  Index nb_;
  spectral::TopPairs pairs_;
  std::vector<double> gammas_;
  struct Resumed;
  std::unique_ptr<Resumed> resumed_;
};

}  // namespace mercer::drivers
