#pragma once

#include <string>
#include <vector>

#include "mercer/jobs/training.hpp"
#include "mercer/plan/stage.hpp"

namespace mercer::jobs {

/// What linear theory and the plan say of a training with an S of k modes.
struct AdvisedTop {
  Index k = 0;          ///< 0: S = I
  double spread = 0;    ///< lambda_max(K_0 S)/lambda_(k+1), at least 1: what S leaves unequal
  double rate = 0;      ///< eta
  Index steps = 0;      ///< to the target
  bool reached = true;  ///< false: not within TrainingOptions::descent.steps
  double seconds_S = 0, seconds_step = 0;  ///< predicted
  double bytes = 0;                        ///< a rank, at the peak
  bool fits = true;                        ///< within Resources::limit()

  double seconds() const { return seconds_S + static_cast<double>(steps) * seconds_step; }
};

struct Advice {
  std::vector<AdvisedTop> tops{};  ///< k ascending
  std::size_t best = 0;    ///< the one of least predicted time that fits and reaches the target
  bool any = false;        ///< whether one does
  Index rows = 0, of = 0;  ///< rows of the linear model, and of the training set

  /// The table, and what it says, one line each. Local.
  std::vector<std::string> lines() const;
};

/// What advise() makes of the options: where they ask for no S, that of the analytic kernel for
/// full batches, of K_0 on batches, as drivers take it. Throws InputError where neither a tolerance
/// nor a loss says what is to be reached, and for momentum, weight decay, blocks, batches with an S
/// on residuals, joint outputs, a refresh and given pairs, which the model does not know. Local.
TrainingOptions advised(TrainingOptions options);

/// The steps that the linear model r_t = (I - eta n K_0 S)^t r_0 ([G] (13), Thm 4.1) needs until
/// |r_t| <= tolerance |r_0|, or to the loss, for k = 0, 10, 20, 50, 100, 200, ... and options.top,
/// with times and memory by plan(): the choice of k that [G] leaves to the practitioner. K_0 is the
/// network's kernel at w_0 on all rows where they, times the outputs for S on the parameters, are
/// at most kPairNumbers; else on as many random rows, for a share of which the model then speaks.
///
/// With an S of K_0 the model is solved in K_0's eigenvectors, exactly for full batches. With S on
/// the parameters the batches of the training are followed one by one, with the order that it will
/// have, where the rows are all; else their mean, 1 - eta B g_i for each mode. With an S of another
/// kernel the steps are taken one by one with K_0.
///
/// Phases: assemble, eigensolve, advise. Memory: advice_plan(). Cost: the eigendecomposition, and
/// for each k at most options.descent.steps products with n^2 numbers.
/// Throws InputError as advised() and as plan(). Collective.
template <class T>
Advice advise(const TrainingOptions& options, const net::Network& network,
              const gram::Source& kernel, const data::Split& sets, std::span<const T> w_0,
              const Resources& resources, const dist::ProcessGrid& grid, Monitor& monitor);

/// Memory and time of advise(), before it allocates anything: N x N matrices K_0 and V, N <=
/// kPairNumbers where options.sample does not say otherwise, and with an S of another kernel as
/// many for that one. `load_seconds`: what the data took. Throws InputError as advise(). Local.
template <class T>
plan::Plan advice_plan(const TrainingOptions& options, const net::Network& network,
                       const data::Split& sets, std::span<const T> w_0, const Resources& resources,
                       double load_seconds = 0);

}  // namespace mercer::jobs
