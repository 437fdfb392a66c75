#pragma once

#include <span>

#include "mercer/comm/started_sums.hpp"
#include "mercer/net/network.hpp"

namespace mercer::train {

/// The sum of a gradient over the ranks, in place. It is started bucket by bucket during the
/// backward pass, which completes the gradient from the last layer to the first and lets the sums
/// progress by calling watch().poll between its GEMMs (comm::StartedSums). The same bits on every
/// rank and, for a given number of ranks, in every run.
///
/// All ranks start the same reductions in the same order, because Evaluator::gradient() announces
/// the same ranges in the same order on every rank, also on one without rows.
template <class T>
class GradientSum {
 public:
  struct Options {
    Index bucket = 1 << 18;  ///< elements, up to 2^27: layers are joined or cut to this size
    bool overlap = true;     ///< false: one blocking all-reduce in finish(), for comparison
  };
  /// For the gradient g (p entries, the same p on every rank), which must outlive this object. One
  /// object serves all steps; the first step allocates about p elements (on two ranks half of
  /// that). Local. Throws InputError for a bucket outside 1 ... 2^27.
  GradientSum(const comm::Communicator& comm, std::span<T> g, const Options& options);
  GradientSum(const GradientSum&) = delete;
  GradientSum& operator=(const GradientSum&) = delete;

  /// Callbacks for Evaluator::gradient(), which refer to this object; both are empty without
  /// overlap and on one rank. Local.
  typename net::Evaluator<T>::Watch watch();
  /// Starts the remaining sums and waits for all; g then holds the sum. Collective. Throws
  /// RunError, on all ranks, where the number of announced entries of g is neither 0 nor p.
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
  Index started_ = 0;                          ///< entries whose sum was started in this step
  comm::StartedSums<T> sums_;
  double waiting_ = 0;
  Index bytes_ = 0;
};

}  // namespace mercer::train
