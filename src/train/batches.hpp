#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "mercer/base/timer.hpp"
#include "mercer/comm/communicator.hpp"
#include "mercer/train/descend.hpp"

namespace mercer::train {

/// What is known of r after an all-reduce, the same on every rank.
struct Totals {
  double square = 0;    ///< |r|^2 of all rows; stochastic: as last seen
  double weighted = 0;  ///< r.(S r) of the same
  double seconds = 0;   ///< of this call, by the clock of rank 0
  bool interrupted = false;
  bool exact = true;  ///< r of all rows is that at w
};

/// What a run has beside its state; borrowed.
template <class T>
struct Run {
  const comm::Communicator& comm;
  const net::Network& network;
  net::Evaluator<T>& evaluator;  ///< for all rows of the largest set
  double memory;                 ///< for activations
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

/// P = V^T r, c x k, summed over the ranks together with |r|^2, the clock and the signals: the one
/// all-reduce of k c + 3 numbers.
class SmallSum {
 public:
  void reserve(Index outputs, Index k) {
    values_.resize(static_cast<std::size_t>(outputs * k + 3));
  }
  MatrixView<double> P(Index outputs, Index k) {
    return {values_.data(), outputs, k, outputs > 0 ? outputs : 1};
  }
  /// Of this rank's P and |r|^2. Collective; `weighted` is left to the caller.
  template <class T>
  Totals reduce(const Run<T>& run, Index k, double square);

 private:
  std::vector<double> values_;
};

/// The rows that each step uses, and r on them. After evaluate(), X() and seed() are what the
/// backward pass of evaluator() takes, which has kept its activations. All calls that compute r are
/// collective; none allocates but prepare().
template <class T>
class Batches {
 public:
  explicit Batches(Run<T>& run) : run_(run) {}
  virtual ~Batches() = default;

  /// Makes room for the S that the sets have now.
  virtual void prepare() = 0;
  /// r of the rows of step state.step, at state.w. To call it again changes nothing.
  virtual Totals evaluate() = 0;
  /// r of all rows at state.w, leaving the state alone; evaluate() is needed before a step.
  virtual Totals evaluate_all() = 0;
  /// What evaluate_all() found becomes "as last seen".
  virtual void keep_all() {}

  virtual net::Evaluator<T>& evaluator() { return run_.evaluator; }
  virtual MatrixView<const T> X() const = 0;
  /// S r on the rows of X(), in the place of r.
  virtual MatrixView<const T> seed() = 0;
  /// r of all rows as evaluate() or evaluate_all() left it, for directions; empty for `block`.
  virtual MatrixView<const T> residual() const = 0;
  /// Steps an epoch: 1 for full batches.
  virtual Index pieces() const = 0;

 protected:
  /// R = f(X; w) - Y for this rank's rows.
  void forward(MatrixView<const T> X, MatrixView<const T> Y, MatrixView<T> R);
  Run<T>& run_;
};

/// Full batches for one set without Options::batch, or one that holds all rows; `rows` for one set
/// with it; `block` for several sets.
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
