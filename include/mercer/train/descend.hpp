#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "mercer/net/network.hpp"
#include "mercer/train/directions.hpp"
#include "mercer/train/row_set.hpp"

/// Preconditioned gradient descent, [G] Algorithm 1 (arXiv 2307.14531): w <- w - eta J^T S r, with
/// the residual r = f(X; w) - Y and the Jacobian J. Every rank holds all of w and its own rows.
namespace mercer::train {

/// How a step takes S on a batch of rows B; sums over B are not divided by |B|. Whether it is the
/// first or the second the sets decide, by their P or S.
/// parameters: w <- w - eta P J_B^T r_B, S on the parameters (ParameterPreconditioner): random rows
/// of an epoch, no residual of other rows. Right wherever Psi, k p numbers over all ranks, fits.
/// rows: w <- w - eta J_B^T (S r)_B with the S of all rows and the stale residual (its last
/// evaluation) of the rows outside B. The batch's noise in the modes that S damps is not damped:
/// it needs rates far below the automatic one.
/// block: random blocks of rows, each with the S of its own kernel matrix, fixed or drawn anew in
/// each epoch (Hooks::blocks: random block Gauss-Seidel). Where S is to be K^-1 of few rows.
enum class Stochastic { parameters, rows, block };
std::string name(Stochastic stochastic);

/// Where weight decay draws w to: the start w_0 ([G] (11): training ends at kernel ridge regression
/// with gamma = L/n, with S at [G] Lemma B.2; batches near it, until eta falls), or zero ([L] (6):
/// ridge regression too where f is homogeneous of degree 1 in the trained weights, nowhere else).
enum class DecayTo { start, zero };
std::string name(DecayTo decay_to);

struct Options {
  Index steps = 1000;  ///< in all, those before a resumption included
  /// eta; 0: automatic, safety/(lambda_max(J J^T S) + L), measured; on batches with a BatchBound
  /// safety (1 - momentum)/(1/rate(B) + L/b).
  double rate = 0;
  double safety = 1;       ///< of the automatic rate; below 2
  bool safeguard = true;   ///< with the automatic rate: see descend()
  double tolerance = 0;    ///< stop at |r_t| <= tolerance |r_0| (Frobenius); 0: never
  double loss = 0;         ///< stop at mean r^2 <= loss; 0: never
  double max_seconds = 0;  ///< of this call, by the clock of rank 0; 0: no limit
  /// L: w <- w - eta (J^T S r + L (w - w_0)); a step on one of b batches of an epoch takes L/b.
  double weight_decay = 0;
  DecayTo decay_to = DecayTo::start;
  double momentum = 0;  ///< M of the heavy ball: v <- M v - eta (...), w <- w + v
  Index batch = 0;      ///< rows in a step; 0: all
  Stochastic stochastic = Stochastic::parameters;
  Index residual_refresh = 0;  ///< batches: steps between residuals of all rows; 0: an epoch
  Index refresh = 0;           ///< steps after which S is computed again; 0: never
  /// Steps; 0: a schedule, dense at first (200 in 100 000 steps), with batches of whole epochs.
  /// Records within an epoch cost an evaluation of all rows each.
  Index record_every = 0;
  Index checkpoint_every = 0;  ///< steps; 0: only when interrupted or out of time
  bool overlap = true;         ///< all-reduces start during the backward pass
  bool path = false;           ///< record the length of the path of w: one more copy of w
  std::uint64_t seed = 0;      ///< of the batches, and of the start vector for lambda_max

  /// Throws InputError naming the field. Local.
  void validate() const;
  /// Number of records of a run of `steps` steps on n rows, with those of its start and its end.
  /// Local.
  Index records(Index n) const;
  /// Steps in an epoch of n rows. Local.
  Index pieces(Index n) const;
};

/// Measurements at one step, the same on every rank, of the residual of all rows at w. An
/// interrupted run writes no last record.
struct Record {
  Index step = 0;
  double loss = 0;                 ///< mean of r^2 over rows and outputs
  double loss_preconditioned = 0;  ///< 1/2 sum r.(S r) ([G] eq. 9)
  double residual = 0;             ///< |r_t|/|r_0|
  double rate = 0;                 ///< eta
  double distance = 0;             ///< |w_t - w_0|
  double time = 0;                 ///< sum of eta over the steps (batches: times batch/n)
  double path = -1;                ///< sum of |w_j - w_(j-1)|; -1: not measured
  double seconds = 0;              ///< of training, since the start
  double loss_test = -1;           ///< set by Hooks::observe; -1: no test set
  double kernel_change = -1;       ///< |K_t - K_0|/|K_0|, set by Hooks::observe; -1: not measured
  std::vector<double> directions;  ///< |v_i^T r_t|
  /// Of each direction prod (1 - eta n lambda_i s_i) over the steps, by which linear theory
  /// multiplies v_i^T r_0 (batches: on average over them, eta times batch/n). NaN: there is no
  /// prediction, as with momentum or weight decay.
  std::vector<double> decay;
  std::vector<double> predicted;  ///< |v_i^T r_0| |decay|
  // Set by Hooks::observe; empty, or NaN, where not measured.
  std::vector<double> projection{};  ///< of the test residual on functions, c numbers for each
  /// Mean over the test rows of the squared difference of their residual from linear theory.
  double deviation = std::numeric_limits<double>::quiet_NaN();
  /// Of the network's own kernel K_t: see jobs::KernelTrace.
  std::vector<double> tracked{};
};

/// The state of a run between two steps: together with the S of the sets, what a checkpoint holds.
/// Equal to the bit on all ranks, except `residual`, which is by rows. A run that is stopped and
/// resumed from its state equals an undisturbed one to the bit on the same number of ranks.
template <class T>
struct State {
  Index step = 0;
  std::vector<T> w;
  std::vector<T> velocity;          ///< empty without momentum
  double rate = 0;                  ///< eta of the next step
  double bound = 0;                 ///< the automatic rate
  double lambda_max = 0;            ///< of J J^T S when it was last measured; 0: never
  double first_residual = -1;       ///< |r_0|; -1: not evaluated yet
  Index rejected = 0;               ///< steps, or epochs, that the safeguard rejected
  Index s_version = 0;              ///< number of refreshes of S
  std::vector<double> rates;        ///< of each direction: n lambda_i s_i of the present S
  std::vector<double> decay;        ///< of each direction: prod_t (1 - eta_t n lambda_i s_i)
  std::vector<double> start;        ///< of each direction: |v_i^T r| where `decay` was 1
  std::vector<Matrix<T>> residual;  ///< batches of random rows: stale r, one c x m; else none
  std::vector<double> projection;   ///< `rows`: V^T r of the stale r, c x k
  std::vector<T> anchor;            ///< safeguard by epochs: w to return to
  double anchor_value = 0;          ///< objective there (Phi, or with decay Phi + L |w - w_0|^2)
  Index anchor_step = -1;           ///< step at which the safeguard last tested the objective
  Index stalled = 0;                ///< epochs in turn whose objective was far above the least
  std::vector<double> squares;      ///< `block`: |r|^2 and r.(S r) of each set, stale
  double time = 0;                  ///< sum of eta, as in Record
  double path = 0;                  ///< sum of |w_j - w_(j-1)|, with Options::path
  double seconds = 0;               ///< of training so far
  std::vector<Record> history;
};

enum class StopReason { converged, loss_reached, all_steps, out_of_time, interrupted };
std::string name(StopReason stop_reason);

struct Outcome {
  StopReason stop_reason = StopReason::all_steps;
  double seconds_per_step = 0;  ///< median of the last thousand steps, without records and hooks
  double sum_share = 0;         ///< share of a step spent waiting for the gradient's sum
  double bytes_per_step = 0;    ///< handed to MPI by this rank, without records
  /// Products with J J^T S that measured rates; one of a block's rows counts as its share of all.
  double rate_products = 0;
};

/// Callbacks of a run. Each may be empty; all but `interrupted` and `say` are called on all ranks
/// alike and may be collective.
template <class T>
struct Hooks {
  /// Computes the S of a set, which is the one of this number, again at the parameters w: into
  /// set.S or set.P, whichever the set has. Required by Options::refresh.
  std::function<void(RowSet<T>& set, std::size_t number, std::span<const T> w)> preconditioner = {};
  /// `block`: replaces the rows and the S of all sets by those of the epoch, which begins at the
  /// parameters w; the sizes stay. Empty: the blocks are the same in every epoch.
  std::function<void(std::vector<RowSet<T>>& sets, Index epoch, std::span<const T> w)> blocks = {};
  /// Completes a record (test loss, |K_t - K_0|).
  std::function<void(std::span<const T> w, Record&)> observe = {};
  /// Writes a checkpoint: every Options::checkpoint_every steps, and when the run is interrupted or
  /// out of time.
  std::function<void(const State<T>&)> checkpoint = {};
  /// Returns true on any rank to stop the run, on a signal for instance. Must not communicate: the
  /// step's all-reduce makes the ranks agree.
  std::function<bool()> interrupted = {};
  std::function<void(const State<T>&)> progress = {};  ///< before the first step and after each
  std::function<void(const std::string&)> say = {};    ///< one line for the user, on rank 0
};

/// Trains until a stop reason occurs. `state`: for a new run state.w is set and the rest is
/// default; for a resumed run it is the state that was read. One set: full batches, or batches of
/// random rows; several sets: `block`, one set in a step, in a new random order in each epoch. w_0
/// (p entries, the same on every rank): where distances are measured from. `directions` belong to
/// the rows of one set: none with `block`. `memory`: bytes for activations.
///
/// A full-batch step: one forward pass, one all-reduce of k c + 3 numbers (V^T r, |r|^2, the clock,
/// the interruption), and one backward pass with the adjoint S r of the outputs, during which the p
/// numbers of the gradient are all-reduced. After the first step nothing is allocated.
///
/// The automatic rate of full batches is safety/(lambda_max(J J^T S) + L), measured on all rows,
/// and again with each new S; with `block` it is the least over the sets. On batches of random rows
/// it is safety (1 - momentum)/(1/rate(B) + L/b), BatchBound, where that of the set is known; so it
/// is of full batches with S on the parameters. In runs of 20 steps or more `say` warns of a given
/// rate above twice these (of full batches with S on residuals times 1 + momentum).
///
/// Safeguard of full batches without momentum and P, a line search: with Phi = |S^(1/2) r|^2 and g
/// = J^T S r the linear model decreases Phi by 2 eta |g|^2 - eta^2 |S^(1/2) J g|^2, at least by eta
/// |g|^2 (2 - eta lambda_max) (with weight decay: Phi + L |w - w_0|^2, g + L (w - w_0), lambda_max
/// + L). The decrease is sufficient from a tenth of this bound on; otherwise the step is rejected
/// and tried again from the same w and g with half of eta. Below a half eta is halved for the next
/// step, from nine tenths on it grows by a quarter, up to the automatic rate. Without weight decay
/// a step to |r| > 2 |r_0| is rejected too. Differences that rounding can explain count as
/// decreases, and below 1e-8 of the automatic rate nothing is rejected. A rejected step costs one
/// forward pass; measuring lambda_max again would cost some 15 products, each as much as a step.
///
/// Batches of random rows: an epoch is a random permutation of the n rows, cut into ceil(n/batch)
/// batches of nearly equal size, the same for every number of ranks; a rank takes the rows of a
/// batch that it holds. The residual of the other rows is stale; that of all rows is evaluated
/// every `residual_refresh` steps, and for records.
///
/// `parameters`: the sum of the gradient stops half way, where each rank has the sums of its own
/// parts; P is applied there, and the second half sends the result to all ranks: as many bytes as a
/// step without S, and a sum of k numbers.
///
/// `rows`: V^T r is updated with each batch, and evaluated with r on all rows. J_B^T (S r)_B is
/// J^T S r times |B|/n on average, but single batches also move r along the top modes, which S
/// damps, by a noise that lambda_max does not bound.
///
/// Safeguard by epochs, where r of all rows is evaluated, at most once an epoch: with S on
/// residuals an epoch that increased the objective is taken back, otherwise one that brought it
/// above four times its least value; also one with |r| > 2 |r_0| (without weight decay), or |r| >
/// 1000 |r_0| in between. w then returns to the best point, at rest, and eta is halved. A new least
/// value lets eta grow by a tenth, up to the automatic rate; five epochs in turn above 1.5 times it
/// halve it. (`block` needs none: its steps are contractions in w up to that rate; with S on
/// residuals and momentum there is none.) With batches a run that would stop by its stale residual
/// first evaluates that of all rows.
///
/// Blocks that are drawn anew are taken from the second epoch on; r of all rows is evaluated with
/// them, and the rate stays. In a resumed run the sets must hold the rows of epoch state.step/b.
///
/// Throws RunError where the run diverges (r is not finite or grew a thousandfold), saying what to
/// change, or where J J^T S = 0 gives no automatic rate; InputError for bad options and sizes that
/// do not fit. Collective.
template <class T>
Outcome descend(const comm::Communicator& comm, const net::Network& network,
                std::vector<RowSet<T>>& sets, State<T>& state, std::span<const T> w_0,
                const Options& options, const Directions<T>& directions, const Hooks<T>& hooks,
                double memory = 1e9);

}  // namespace mercer::train
