#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "mercer/base/timer.hpp"
#include "mercer/comm/communicator.hpp"
#include "mercer/train/descend.hpp"

namespace mercer::train {

/// Sums over all ranks after an evaluation of r, the same on every rank.
struct Totals {
  double square = 0;    ///< |r|^2 of all rows; with batches of the stale r
  double weighted = 0;  ///< r.(S r) of the same r
  double seconds = 0;   ///< of this call, by the clock of rank 0
  bool interrupted = false;
  bool exact = true;  ///< r of all rows was evaluated at w
};

/// What a run needs beside its state; borrowed.
template <class T>
struct Run {
  const comm::Communicator& comm;
  const net::Network& network;
  net::Evaluator<T>& evaluator;  ///< for the rows of the largest set
  double memory;                 ///< bytes for activations
  std::vector<RowSet<T>>& sets;
  State<T>& state;
  const Options& options;
  const Hooks<T>& hooks;
  Timer clock = {};

  Index outputs() const { return sets[0].Y.rows(); }
  Index n() const {
    Index sum = 0;
    for (const auto& set : sets) sum += set.n;
    return sum;
  }
};

/// P = V^T r, c x k, summed over the ranks together with |r|^2, the clock and the interruption: the
/// all-reduce of k c + 3 numbers of a step.
class SmallSum {
 public:
  void reserve(Index outputs, Index k) {
    values_.resize(static_cast<std::size_t>(outputs * k + 3));
  }
  MatrixView<double> P(Index outputs, Index k) {
    return {values_.data(), outputs, k, outputs > 0 ? outputs : 1};
  }
  /// Sums this rank's P, of so many numbers, and `square` = |r|^2 over the ranks. Collective.
  /// `weighted` is set to |r|^2; the caller adds S's part.
  template <class T>
  Totals reduce(const Run<T>& run, Index numbers, double square);

 private:
  std::vector<double> values_;
};

/// The rows that each step uses, and r on them. After evaluate(), X() and seed() are the arguments
/// of the backward pass of evaluator(), which has kept its activations. All calls that compute r
/// are collective; after the first step only prepare() allocates.
template <class T>
class Batches {
 public:
  explicit Batches(Run<T>& run) : run_(run) {}
  virtual ~Batches() = default;

  /// Allocates buffers for the S that the sets have now.
  virtual void prepare() = 0;
  /// Evaluates r at state.w on the rows of step state.step. A second call changes nothing.
  virtual Totals evaluate() = 0;
  /// Evaluates r of all rows at state.w, without changing the state. A step needs evaluate() after
  /// it.
  virtual Totals evaluate_all() = 0;
  /// The residual found by evaluate_all() becomes the stale residual of later steps.
  virtual void keep_all() {}

  virtual net::Evaluator<T>& evaluator() { return run_.evaluator; }
  virtual MatrixView<const T> X() const = 0;
  /// The adjoint of the outputs, S r on the rows of X(); overwrites r.
  virtual MatrixView<const T> seed() = 0;
  /// r of all rows after evaluate() (stale outside the batch) or evaluate_all(), for directions;
  /// empty for `block`.
  virtual MatrixView<const T> residual() const = 0;
  /// Steps in an epoch: 1 for full batches.
  virtual Index pieces() const = 0;

 protected:
  /// R = f(X; w) - Y for this rank's rows.
  void forward(MatrixView<const T> X, MatrixView<const T> Y, MatrixView<T> R);
  Run<T>& run_;
};

/// `block` for several sets. For one set full batches, where Options::batch is 0 or at least n or
/// stochastic is `block`; otherwise `rows`.
template <class T>
std::unique_ptr<Batches<T>> make_batches(Run<T>& run);

/// A random permutation of 0 ... size-1 for each epoch, the same for every number of ranks.
class EpochOrder {
 public:
  EpochOrder(Index size, std::uint64_t seed)
      : seed_(seed), order_(static_cast<std::size_t>(size)) {}
  const std::vector<Index>& of(Index epoch);

 private:
  std::uint64_t seed_;
  Index epoch_ = -1;
  std::vector<Index> order_;
};

}  // namespace mercer::train
