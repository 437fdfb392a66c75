#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mercer/data/dataset.hpp"
#include "mercer/jobs/pairs.hpp"
#include "mercer/jobs/scores.hpp"
#include "mercer/jobs/training_traces.hpp"
#include "mercer/msk/eigenspaces.hpp"
#include "mercer/train/checkpoint.hpp"
#include "mercer/train/descend.hpp"

/// Training of a wide network by preconditioned gradient descent, [G] Algorithm 1 (arXiv
/// 2307.14531): options -> plan -> run. The top pairs for S come from an assembled K or from
/// matrix-vector products alone, as the plan says; the steps do not need K.
namespace mercer::jobs {

/// The kernel of S: none (S = I, gradient descent), the kernel that plan() is given (the analytic
/// one of the network's architecture, say), or the network's own tangent kernel.
enum class Precondition { none, kernel, empirical };
std::string name(Precondition precondition);

/// Rows and outputs, s c, of which the pairs of K_0 are computed for S on the parameters, and
/// lambda_1 and beta for the rate of plain batches, unless the options say otherwise: all where
/// there are no more.
inline constexpr Index kPairNumbers = 4096, kRateNumbers = 2048;

struct TrainingOptions {
  Precondition precondition = Precondition::none;
  /// Number of eigenvalues that g acts on; -1: all, or all given pairs. With S on the parameters of
  /// K_0 = J J^T/n, which has n c eigenvalues.
  Index top = -1;
  std::string g = "flat";                                 ///< text of a msk::SpectrumMap
  spectral::Method method = spectral::Method::automatic;  ///< for the pairs
  gram::Storage storage = gram::Storage::automatic;       ///< of K in products
  GivenPairs spectrum{};                                  ///< pairs of the same rows and kernel
  bool new_blocks = false;  ///< `block`: blocks drawn anew in each epoch, each with a new S
  /// S of all outputs together: of the (n c) x (n c) kernel of rows and outputs, with
  /// Precondition::empirical and full batches. Otherwise S is that of the trace kernel (the mean
  /// over the outputs), on each output by itself. (S on the parameters is always of all outputs.)
  bool joint_outputs = false;
  /// S on the parameters: random rows of which the pairs of K_0 are computed; 0: chosen, as many as
  /// have kPairNumbers outputs.
  Index sample = 0;

  /// Numbers i, from 1, of eigenvectors v_i along which the residual is recorded.
  std::vector<Index> directions{};
  bool default_directions = false;  ///< with S and no directions: 1 ... 8, 16, 32, ... up to `top`
  bool trace_kernel = false;        ///< |K_t - K_0|/|K_0| at each record; assembles K_t each time
  /// Eigenfunctions along which the residual of the test rows is recorded: spaces of pairs, first
  /// from 0, ascending and disjoint; neighbours of equal eigenvalues become one space. Their
  /// eigenvectors become directions.
  std::vector<spectral::Space> eigenfunctions{};
  Track track{};                   ///< of K_t and w at each record
  bool operator_spectrum = false;  ///< lambda_max and lambda_min of K_0 S; assembles K_0

  train::Options descent{};  ///< its seed is that of Resources
  std::string checkpoint{};  ///< path; empty: no checkpoints
  bool resume = false;       ///< continue from the checkpoint

  bool preconditioned() const { return precondition != Precondition::none; }
  /// Whether steps take blocks of rows, each with an S of its own.
  bool blocks() const {
    return descent.batch > 0 && descent.stochastic == train::Stochastic::block;
  }
  /// Whether S acts on the parameters (train::ParameterPreconditioner).
  bool on_parameters() const {
    return preconditioned() && descent.batch > 0 &&
           descent.stochastic == train::Stochastic::parameters;
  }
  /// Whether steps are plain ones on batches of random rows, with the rate of train::BatchBound.
  bool plain_batches() const { return !preconditioned() && descent.batch > 0 && !blocks(); }
  /// Throws InputError for impossible options; without S also for `top`, `g` and `spectrum`, which
  /// would have no effect. Local.
  void validate() const;
  /// Validates the options for n training rows, and returns them with the default directions filled
  /// in, and with `top` where it is that of the `given` pairs (spectrum.count()). Throws
  /// InputError. Local.
  TrainingOptions validated(Index n, Index given = 0) const;
  /// Whether K of the training rows or its pairs are computed, operator_spectrum apart. Local.
  bool computes_kernel() const {
    return trace_kernel || track.of_kernel() || plain_batches() ||
           ((preconditioned() || traced() > 0) && spectrum.empty());
  }
  /// The last pair that directions and eigenfunctions need; 0: none. Local.
  Index traced() const;
  /// S in one line, for reports.
  std::string text() const;

 private:
  void validate_on_parameters() const;
  void validate_joint() const;
  void validate_traces() const;
};

/// Flops of the parts of a training, of all ranks together. A run counts each as often as it was
/// done.
struct TrainingFlops {
  double pairs = 0;         ///< K and the pairs for one S, all rows' or a block's
  double once = 0;          ///< of what is done once: the spectrum of K_0 S
  double change = 0;        ///< of assembling the network's own K_t once (trace_kernel, track)
  double step = 0;          ///< train::step_cost()
  double rate_product = 0;  ///< train::rate_cost() of all rows
};

/// The plan of a training.
struct TrainingPlan {
  TrainingOptions options{};                    ///< TrainingOptions::validated()
  gram::Source kernel{};                        ///< training_kernel()
  std::string network{};                        ///< its text
  std::uint64_t rows_hash = 0, start_hash = 0;  ///< of the training rows (Dataset::hash), of w_0
  /// Lines for the user on what the file of a stored kernel leaves unverified.
  std::vector<std::string> notes{};
  SpectrumStrategy pairs{};  ///< for the pairs of S, or of the directions alone
  bool solves = false;       ///< pairs are computed
  /// Rows of which the pairs of K_0 are computed for S on the parameters, or lambda_1 and beta for
  /// the rate of plain batches.
  Index sample = 0;
  /// Whether the kernel is the network's own, or its limit: only then linear theory predicts
  /// residuals and rates.
  bool tangent = false;
  Index nb = 0;        ///< block size for the kernel matrix of one S
  Index nb_asked = 0;  ///< Resources::nb; 0: chosen
  std::uint64_t seed = 0;
  bool single = false;          ///< T is float
  double activation_bytes = 0;  ///< a rank
  TrainingFlops flops{};
  io::Identity identity{}, settings{};
  std::vector<std::string> of_rounding{};
  plan::Plan stages;
};
/// `kernel`: of S and the directions; with Precondition::empirical the network's own at w_0 takes
/// its place. `w_0`: initial parameters. T: precision of the network; K and its pairs are in
/// double. `load_seconds`: what reading took. Throws InputError for impossible options, where
/// network, w_0 and rows do not fit together, for the file of a stored kernel that is not of these
/// rows (Source::verify()), and for too few pairs in options.spectrum; MemoryError as choose() for
/// spectra. Collective.
template <class T>
TrainingPlan plan(const TrainingOptions& options, const net::Network& network,
                  const gram::Source& kernel, const data::Split& sets, std::span<const T> w_0,
                  const Resources& resources, const comm::Communicator& comm,
                  double load_seconds = 0);

/// The kernel whose K gives S and the directions: `kernel`, or with Precondition::empirical the
/// tangent kernel of the network at w (for S on the parameters that of rows and outputs,
/// net::Outputs::full). plan() calls it; for those who need it before. `kernel` may be that tangent
/// kernel already. Borrows nothing. Local. Memory: w in double.
template <class T>
gram::Source training_kernel(const TrainingOptions& options, const gram::Source& kernel,
                             const net::Network& network, std::span<const T> w);

/// Columns of the rows that training_kernel() takes: the inputs, or with rows of rows and outputs
/// (net::seeded_rows()) the inputs and outputs. Local.
Index kernel_columns(const TrainingOptions& options, const net::Network& network);

/// lambda_max and lambda_min of K_0 S.
struct Extremes {
  double smallest = 0, largest = 0;
};

template <class T>
struct Training {
  train::Outcome outcome{};
  train::State<T> state{};
  Index first_step = 0;  ///< 0, or the step of the checkpoint
  Index rows = 0;        ///< n of the training set
  /// The rate 2/(n (lambda_max + lambda_min)) of K S ([G] Thm 4.1), divided by s in J J^T = s n K
  /// (s is the width in the standard parametrisation, else 1), the smallest over the sets:
  /// bound_from with the largest lambda_min that the known eigenvalues allow, bound_to with the
  /// least. 0: eigenvalues are not known.
  double bound_from = 0, bound_to = 0;
  /// beta and lambda of the last S on the parameters, or of batches without S; else unknown.
  train::BatchBound batch_bound{};
  std::optional<Extremes> operator_spectrum{};
  std::vector<Index> directions{};  ///< that were recorded: those asked for, and of eigenfunctions
  std::optional<FunctionTrace> functions{};   ///< with TrainingOptions::eigenfunctions
  std::optional<KernelStart> kernel_start{};  ///< with Track::kernel or Track::minimum
  double flops = 0;  ///< of the steps, rates and pairs of this call, as they were done
};

/// Trains from w_0 (p entries, the same on every rank) as planned. Phases: prepare, load, assemble,
/// eigensolve, psi, train. Asks the monitor's interrupted() at each step, and then throws Error
/// with the code `interrupted`, after writing a checkpoint where one was asked for (RunError where
/// that fails). Throws MemoryError where the plan exceeds its limit (Plan::require_memory()),
/// InputError where network, w_0, rows or T are not those of the plan; otherwise as
/// train::descend() and the eigensolvers. Collective.
template <class T>
Training<T> train(const TrainingPlan& plan, const net::Network& network, const data::Split& sets,
                  std::vector<T> w_0, const dist::ProcessGrid& grid, Monitor& monitor);

/// The bound of [I] (1) for a training with Track::minimum. Local.
template <class T>
LossBound loss_bound(const TrainingPlan& plan, const Training<T>& training);

/// Where the rate came from, and beside it that of [G] Theorem 4.1, in one line. Local.
template <class T>
std::string rate_text(const TrainingPlan& plan, const Training<T>& training);

/// Whether w is the same on every rank, to the bit, and how much the residual |r| at the final w,
/// computed again in double, differs from the last recorded one.
struct TrainingCheck {
  bool equal = false;
  double error = 0;      ///< the difference of the two |r|, over |r_0|
  double tolerance = 0;  ///< of `error`: 1e-12, for a network in single precision 1e-4

  bool good() const { return equal && error <= tolerance; }
};
/// Phase: check. Collective.
template <class T>
TrainingCheck check(const Training<T>& training, const net::Network& network,
                    const data::Dataset& train, Monitor& monitor);

/// Writes /steps, /loss_train, ..., one entry for each record. Collective.
void write_history(io::Hdf5File& file, const comm::Communicator& comm,
                   const std::vector<train::Record>& history, std::span<const Index> directions);

/// Writes a training as mercer-train does: the attributes `n` and `data_hash` of the training rows,
/// `network` and `precondition`, the records (write_history()), what was tracked as /track/..., the
/// projections on eigenfunctions as /eigenfunctions/..., the final parameters (net::write()),
/// the preparation (data::write()), and where `predictions` of sets.test are given, their errors as
/// /score (write_errors()) and themselves (write_predictions()). Collective.
template <class T>
void write(io::Hdf5File& file, const TrainingPlan& plan, const Training<T>& training,
           const net::Network& network, const data::Split& sets,
           const Predictions& predictions = {});

/// Writes the records as a CSV table: step, loss_train, residual (|r_t|/|r_0|), loss_test (empty
/// without a test set), rate, distance, seconds; and where they were asked for, time (sum of eta),
/// what was tracked under the names of /track, and for the space of eigenfunctions that begins with
/// I projection_I, predicted_I, deviation_I and bound_I, then whole and whole_bound (see
/// Projections). Collective.
template <class T>
void write_csv(const comm::Communicator& comm, const std::string& path, const TrainingPlan& plan,
               const Training<T>& training);

}  // namespace mercer::jobs
