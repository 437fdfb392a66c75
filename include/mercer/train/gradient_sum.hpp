#pragma once

#include <span>

#include "mercer/comm/started_sums.hpp"
#include "mercer/net/network.hpp"

namespace mercer::train {

/// The sum over the ranks of a gradient, in place, started bucket by bucket while the backward pass
/// that writes it goes on (from the last layer to the first); the pass drives it on by watch().poll
/// between its GEMMs (comm::StartedSums). The same bits on every rank and, for a given number of
/// ranks, in every run.
///
/// All ranks start the same reductions in the same order, because Evaluator::gradient announces the
/// same ranges in the same order on every rank, whatever its number of rows, none included.
template <class T>
class GradientSum {
 public:
  struct Options {
    Index bucket = 1 << 18;  ///< elements (up to 2^27): layers are gathered up to it, or cut to it
    bool overlap = true;     ///< false: one blocking all-reduce in finish(), to compare with
  };
  /// For the gradient g (p entries, the same p on every rank), which must outlive this. One object
  /// serves all steps; the first one allocates about p elements (on two ranks half of that). Local.
  /// Throws InputError for a bucket that is not possible.
  GradientSum(const comm::Communicator& comm, std::span<T> g, const Options& options);
  GradientSum(const GradientSum&) = delete;
  GradientSum& operator=(const GradientSum&) = delete;

  /// For Evaluator::gradient of the last batch of a step: refers to this object. Both calls are
  /// empty without overlap and on one rank. Local.
  typename net::Evaluator<T>::Watch watch();
  /// Starts what was not started, waits for all. Collective. g then holds the sum. Throws RunError
  /// (on all ranks) where the pass announced some entries of g, but not each of them once.
  void finish();

  double waiting() const { return waiting_; }  ///< seconds spent in finish() since construction
  Index bytes() const { return bytes_; }       ///< handed to MPI since construction

 private:
  bool overlaps() const { return options_.overlap && comm_.size() > 1; }
  void announced(Index first, Index count);
  void start_pending();

  comm::Communicator comm_;
  std::span<T> g_;
  Options options_;
  Index pending_begin_ = 0, pending_end_ = 0;  ///< announced, not yet started
  Index started_ = 0;                          ///< entries of this step
  comm::StartedSums<T> sums_;
  double waiting_ = 0;
  Index bytes_ = 0;
};

}  // namespace mercer::train
