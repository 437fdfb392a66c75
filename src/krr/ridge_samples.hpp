#pragma once

#include <memory>
#include <vector>

#include "blocks.hpp"
#include "mercer/krr/ridge_estimates.hpp"

namespace mercer::krr {

/// A system (A + gamma I) X = B, and the score of gamma from its solution.
class RidgeSamples {
 public:
  virtual ~RidgeSamples() = default;
  virtual const gram::Operator& A() const = 0;
  virtual const LowRankPreconditioner& M() const = 0;
  virtual View B() const = 0;
  /// Fills score, error, replicates and solver_error. Collective.
  virtual void judge(const CgResult& solution, RidgeScore& score) const = 0;
};

/// For leave-one-out and generalised cross-validation: B = [Y, Z], Z the probes. `K_g`: the same
/// operator as K where that is a modified kernel, else null.
std::unique_ptr<RidgeSamples> probe_samples(const gram::Operator& K, const ModifiedOperator* K_g,
                                            const LowRankPreconditioner& M,
                                            const RowBlock<double>& Y, RidgeCriterion criterion,
                                            const RidgeEstimateOptions& options);
/// For a holdout split: B = Y on the rows of the fit, zero on the others.
std::unique_ptr<RidgeSamples> holdout_samples(const gram::Operator& K,
                                              const LowRankPreconditioner& M,
                                              const RowBlock<double>& Y,
                                              const RidgeEstimateOptions& options);

/// Jackknife: score and error from log(score) by all samples and by all but one of them. Local.
void jackknife(double all, const std::vector<double>& without, RidgeScore& score);

}  // namespace mercer::krr
