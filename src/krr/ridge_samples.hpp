#pragma once

#include <memory>
#include <vector>

#include "blocks.hpp"
#include "mercer/krr/ridge_estimates.hpp"

namespace mercer::krr {

/// A system (A + gamma I) X = B and how its solution scores the ridge.
class RidgeSamples {
 public:
  virtual ~RidgeSamples() = default;
  virtual const gram::Operator& A() const = 0;
  virtual const LowRankPreconditioner& M() const = 0;
  virtual View B() const = 0;
  /// Fills score, error, replicates and solver_error. Collective.
  virtual void judge(const CgResult& solution, RidgeScore& score) const = 0;
};

/// Leave-one-out and generalised cross-validation: B = [Y, Z]. `K_g`: K, where it is a modified
/// kernel; else null.
std::unique_ptr<RidgeSamples> probe_samples(const gram::Operator& K, const ModifiedOperator* K_g,
                                            const LowRankPreconditioner& M,
                                            const RowBlock<double>& Y, RidgeCriterion criterion,
                                            const RidgeEstimateOptions& options);
/// A holdout split: B = Y on the rows kept, zero on the others.
std::unique_ptr<RidgeSamples> holdout_samples(const gram::Operator& K,
                                              const LowRankPreconditioner& M,
                                              const RowBlock<double>& Y,
                                              const RidgeEstimateOptions& options);

/// Score and error from log(score) of all samples and of all but one each. Local.
void jackknife(double all, const std::vector<double>& without, RidgeScore& score);

}  // namespace mercer::krr
