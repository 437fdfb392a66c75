#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "mercer/net/network.hpp"
#include "mercer/train/directions.hpp"
#include "mercer/train/row_set.hpp"

/// Preconditioned gradient descent, [G] Algorithm 1 (arXiv 2307.14531): w <- w - eta J^T S r, r =
/// f(X; w) - Y. Every rank holds the whole w and its rows.
namespace mercer::train {

/// rows: a batch of rows of S r, with r of the other rows as last seen. Right when S couples all
/// rows and k is small: V^T r is kept up to date in O(k |batch|). block: fixed random blocks of
/// rows, each with the S of its own kernel block. Right when S of all rows is too large, or K^-1 is
/// meant. One step of either: eta J_B^T (S r)_B as it stands, divided by nothing.
enum class Stochastic { rows, block };

struct Options {
  Index steps = 1000;
  double rate = 0;          ///< eta; 0: safety/lambda_max(J J^T S), measured
  double safety = 1;        ///< of the automatic rate; below 2
  bool safeguard = true;    ///< with the automatic rate and no momentum; not for `block`
  double tolerance = 0;     ///< stop at |r_t| <= tolerance |r_0| (Frobenius); 0: never
  double loss = 0;          ///< stop at mean r^2 <= loss; 0: never
  double max_seconds = 0;   ///< of this call, by the clock of rank 0; 0: no limit
  double weight_decay = 0;  ///< L: eta (J^T S r + L w)
  double momentum = 0;      ///< M of the heavy ball: v <- M v - eta (J^T S r + L w), w <- w + v
  Index batch = 0;          ///< rows a step; 0: all
  Stochastic stochastic = Stochastic::rows;
  Index residual_refresh = 0;  ///< `rows`: r of all rows every so many steps; 0: every epoch
  Index refresh = 0;           ///< S anew every so many steps; 0: never
  Index record_every = 0;      ///< 0: a schedule, dense at first: at most about 200 records
  Index checkpoint_every = 0;  ///< 0: only when interrupted
  bool overlap = true;         ///< all-reduces start during the backward pass
  std::uint64_t seed = 0;      ///< of the batches

  /// Throws InputError naming the option. Local.
  void validate() const;
};

/// What was measured at one step, the same on every rank. In the stochastic forms by r as last
/// seen, but for a run's last record: there r of all rows is computed (not when interrupted).
struct Record {
  Index step = 0;
  double loss = 0;                 ///< mean of r^2 over rows and outputs
  double loss_preconditioned = 0;  ///< 1/2 sum r.(S r) ([G] eq. 9)
  double residual = 0;             ///< |r_t|/|r_0|
  double rate = 0;                 ///< eta
  double distance = 0;             ///< |w_t - w_0|
  double seconds = 0;              ///< of training, since the start
  double loss_test = -1;           ///< where a test set was given
  double kernel_change = -1;       ///< |K_t - K_0|/|K_0| where asked for
  std::vector<double> directions;  ///< |v_i^T r_t|
  /// |v_i^T (I - eta n K S)^t r_0| (`rows`: its mean over the batches, eta times batch/n); momentum
  /// and weight decay are not in it.
  std::vector<double> predicted;
};

/// All that a run is between two steps: what a checkpoint holds, with S of the sets. Everything is
/// equal to the bit on all ranks but `residual`, which is by rows. A run that is stopped and goes
/// on from its state is equal to the bit to an undisturbed one on the same number of ranks.
template <class T>
struct State {
  Index step = 0;
  std::vector<T> w;
  std::vector<T> velocity;          ///< empty without momentum
  double rate = 0;                  ///< eta of the next step
  double bound = 0;                 ///< the automatic rate: safety/lambda_max
  double lambda_max = 0;            ///< of J J^T S when it was last measured; 0: never
  double first_residual = -1;       ///< |r_0|
  Index rejected = 0;               ///< tries that the safeguard took back
  Index s_version = 0;              ///< how often S was made anew
  std::vector<double> decay;        ///< of the traced directions: prod_t (1 - eta_t n lambda_i s_i)
  std::vector<double> start;        ///< of the traced directions: |v_i^T r_0|
  std::vector<Matrix<T>> residual;  ///< `rows`: r as last seen, one c x m; else none
  std::vector<double> projection;   ///< `rows`: V^T r as last seen, c x k
  std::vector<T> anchor;            ///< `rows`, safeguard: w that an epoch is taken back to
  double anchor_value = 0;          ///< what the steps decrease, there
  Index anchor_step = -1;           ///< when an epoch was last judged
  std::vector<double> squares;      ///< `block`: |r|^2 and r.(S r) of each set as last seen
  double seconds = 0;               ///< of training so far
  std::vector<Record> history;
};

enum class StopReason { converged, loss_reached, all_steps, out_of_time, interrupted };
std::string name(StopReason stop_reason);

struct Outcome {
  StopReason stop_reason = StopReason::all_steps;
  double seconds_per_step = 0;  ///< median of the last thousand; records and hooks apart
  double sum_share = 0;         ///< of a step, waiting for the gradient's sum
  double bytes_per_step = 0;    ///< handed to MPI by this rank; records apart
};

/// What a run calls. Each may be empty; all but `interrupted` and `say` are called on every rank
/// alike and may be collective.
template <class T>
struct Hooks {
  /// S of set `set` at the parameters w (Options::refresh).
  std::function<msk::Preconditioner<T>(std::size_t set, std::span<const T> w)> preconditioner = {};
  /// Completes a record (test loss, |K_t - K_0|).
  std::function<void(std::span<const T> w, Record&)> observe = {};
  /// Every Options::checkpoint_every steps, and when the run was interrupted or out of time.
  std::function<void(const State<T>&)> checkpoint = {};
  /// A signal has come: local, any rank; agreed upon with the step's sum.
  std::function<bool()> interrupted = {};
  std::function<void(const State<T>&)> progress = {};  ///< after each step
  std::function<void(const std::string&)> say = {};    ///< one line, on rank 0
};

/// Runs from `state` (state.w set; the rest as default for a new run, as read for a resumed one)
/// to the end. One set: full batches, or `rows`; several: `block`, one set a step, in an order
/// that is drawn anew each epoch. w_0 (p entries, the same on every rank) is what distances are
/// measured from. `directions` belong to the rows of one set: none with `block`.
///
/// A full-batch step: one forward pass, one all-reduce of k c + 3 numbers (V^T r, |r|^2, the
/// clock, signals), one backward pass seeded with S r, during which the p numbers of the gradient
/// are all-reduced. Nothing is allocated in a step.
///
/// The automatic rate is measured on all rows; with `block` it is the least over the sets. Measured
/// anew with each new S. A given rate is compared with 2/lambda_max from a few products and `say`
/// warns of one beyond it.
///
/// Safeguard: with Phi = |S^(1/2) r|^2 the linear model decreases Phi by 2 eta |g|^2 - eta^2
/// |S^(1/2) J g|^2, g = J^T S r, at least eta |g|^2 (2 - eta lambda_max) (with weight decay: Phi +
/// L |w|^2, g + L w, lambda_max + L). A step that reaches less than half of that halves eta; one
/// that reaches less than a tenth is taken back first, and tried again from the same w and g; one
/// that reaches nine tenths lets eta grow by a quarter, up to the bound. Without weight decay, one
/// after which |r| > 2 |r_0| is taken back too. Differences that rounding can make count as
/// reached. A try that is taken back costs a forward pass, which is why lambda_max is not measured
/// again (some 15 products, each as much as a step): the tries find the rate sooner.
///
/// `rows`: epoch e is a random permutation of the n rows, cut into ceil(n/batch) pieces of nearly
/// equal size, the same for every number of ranks; a rank takes the rows of a piece that it holds.
/// r of the others is as last seen, V^T r is kept up to date, and both are computed from all rows
/// every `residual_refresh` steps. J_B^T (S r)_B is J^T S r in the mean, but single batches move r
/// along the top modes that S holds down, by a noise that lambda_max does not know of. The
/// safeguard therefore compares Phi each time that r of all rows is computed: where it grew, or |r|
/// is beyond 2 |r_0| then or a thousandfold in between, w goes back to where it was the last time
/// and eta is halved; else eta grows by a tenth, up to the bound. (`block` needs none: its steps
/// are contractions in w up to the bound.) Both stochastic forms stop by the residual as last seen
/// after it was confirmed on all rows.
///
/// Throws RunError where the run diverges (r is not finite or grew a thousandfold), saying what to
/// change; nothing is written then. Throws InputError where sizes do not fit. Collective.
template <class T>
Outcome descend(const comm::Communicator& comm, const net::Network& network,
                std::vector<RowSet<T>>& sets, State<T>& state, std::span<const T> w_0,
                const Options& options, const Directions<T>& directions, const Hooks<T>& hooks,
                double memory = 1e9);

/// Bytes that descend() holds at its peak on a rank of `rows` rows (of the largest set) and
/// `all_rows` over the ranks, S of k modes: the evaluator, the gradient and its sum, what the
/// safeguard and momentum keep of w, the residuals, buffers of a batch, and what lambda_max is
/// measured with; not the sets, w and w_0. For the memory plan. Local, pure.
template <class T>
double descend_bytes(const net::Network& network, Index rows, Index all_rows, Index k,
                     const Options& options, double memory = 1e9);

}  // namespace mercer::train
