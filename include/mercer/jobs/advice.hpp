#pragma once

#include <string>
#include <vector>

#include "mercer/jobs/training.hpp"
#include "mercer/plan/stage.hpp"

namespace mercer::jobs {

/// What linear theory and the plan say of a training with an S of k modes.
struct AdvisedTop {
  Index k = 0;          ///< 0: S = I
  double spread = 0;    ///< lambda_max(K_0 S)/lambda_(k+1), what S leaves unequal; k = 0: 1
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

/// The steps that the network linearised at w_0 needs until |r_t| <= tolerance |r_0|, or to the
/// loss, for k = 0, 10, 20, 50, 100, 200, ... and options.top, at most the rank of the kernel, with
/// times and memory by plan(): the choice of k that [G] leaves to the practitioner. Full batches:
/// r_t = (I - eta J J^T S)^t r_0 ([G] (13), Thm 4.1) by train::linear_steps(), for any S and all
/// outputs. Batches with S on the parameters, or without S: in the eigenvectors of K_0 = J J^T/n,
/// rows and outputs, the batches of the training one by one, in the order that it will have.
///
/// All rows where they, for batches times the outputs, are at most kPairNumbers; else, or where
/// options.sample says so, as many random rows: the model then speaks of a share, and of batches it
/// takes the mean, 1 - eta B g_i a step for each mode.
///
/// Phases: assemble, eigensolve, advise. Memory: advice_plan(). Cost: the eigendecomposition of the
/// kernel of S; for each k linear_steps() and largest_eigenvalue(), or, at most
/// options.descent.steps times, products of a batch's rows with V. Throws InputError as advised()
/// and as plan(). Collective.
template <class T>
Advice advise(const TrainingOptions& options, const net::Network& network,
              const gram::Source& kernel, const data::Split& sets, std::span<const T> w_0,
              const Resources& resources, const dist::ProcessGrid& grid, Monitor& monitor);

/// Memory and time of advise(), before it allocates anything: shares of N x N matrices, N <=
/// kPairNumbers where options.sample does not say otherwise. The time of its steps is a
/// guess, that of k = 0 with options.descent.steps. `load_seconds`: what the data took. Throws
/// InputError as advise(). Local.
template <class T>
plan::Plan advice_plan(const TrainingOptions& options, const net::Network& network,
                       const gram::Source& kernel, const data::Split& sets, std::span<const T> w_0,
                       const Resources& resources, double load_seconds = 0);

}  // namespace mercer::jobs
