#pragma once

#include <span>
#include <vector>

#include "mercer/comm/started_sums.hpp"
#include "mercer/net/network.hpp"

namespace mercer::train {

/// Cuts the ranges that a backward pass announces, one after the other, into buckets: neighbours
/// are joined until they have `size` entries, and cut into pieces of at most that. No bucket
/// reaches across the entry `seam`. Local.
class GradientBuckets {
 public:
  GradientBuckets(Index size, Index seam) : size_(size), seam_(seam) {}

  /// Adds a range; calls start(begin, end) for each bucket that is complete.
  template <class Start>
  void add(Index first, Index count, Start&& start) {
    const bool before = first + count == begin_ && begin_ != seam_;
    const bool after = first == end_ && end_ != seam_;
    if (begin_ == end_ || !(before || after)) {
      flush(start);
      begin_ = first;
      end_ = first + count;
    } else if (before) {
      begin_ = first;
    } else {
      end_ = first + count;
    }
    if (end_ - begin_ >= size_) flush(start);
  }
  /// The same for what is left.
  template <class Start>
  void flush(Start&& start) {
    const Index count = end_ - begin_, pieces = ceil_div(count, size_);
    for (Index i = 0; i < pieces; ++i)
      start(begin_ + count * i / pieces, begin_ + count * (i + 1) / pieces);
    begin_ = end_ = 0;
  }

  bool empty() const { return begin_ == end_; }  ///< nothing is left to flush

 private:
  Index size_, seam_;
  Index begin_ = 0, end_ = 0;  ///< added, not yet started
};

/// The parts of the gradient that rank `rank` of `ranks` sums (GradientSum with in_halves), in the
/// order of the buckets: about p/ranks entries in all. For an antisymmetric network the parts in
/// the second copy come first, and are those in the first copy moved by parameters_of_copy(). Pure.
std::vector<comm::Part> own_parts(const net::Network& network, int rank, int ranks, Index bucket);

/// The sum of a gradient over the ranks, in place. It is started bucket by bucket during the
/// backward pass, which completes the gradient from the last layer to the first and lets the sums
/// progress by calling watch().poll between its GEMMs (comm::StartedSums). The same bits on every
/// rank and, for a given number of ranks, in every run.
///
/// All ranks start the same reductions in the same order, because Evaluator::gradient() announces
/// the same ranges in the same order on every rank, also on one without rows.
///
/// In two halves, for a preconditioner of the gradient: after reduce() each rank holds the sums of
/// its parts of g, own_parts(), which it may change; gather() sends them to the others. Together
/// they send as much as finish() alone.
template <class T>
class GradientSum {
 public:
  struct Options {
    Index bucket = 1 << 18;  ///< elements, up to 2^27: layers are joined or cut to this size
    bool overlap = true;     ///< false: nothing is started before finish() or reduce()
    /// Not null: reduce() and gather() in place of finish(). The network whose gradient it is.
    const net::Network* in_halves = nullptr;
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
  /// The two halves of finish(), with Options::in_halves. Collective. Throw as finish().
  void reduce();
  void gather();

  double waiting() const { return waiting_; }  ///< seconds spent in finish() since construction
  Index bytes() const { return bytes_; }       ///< handed to MPI since construction

 private:
  bool overlaps() const { return options_.overlap && comm_.size() > 1; }
  void announced(Index first, Index count);
  void start(Index begin, Index end);
  void check_started(Index started) const;

  comm::Communicator comm_;
  std::span<T> g_;
  Options options_;
  GradientBuckets buckets_;
  Index started_ = 0;  ///< entries whose sum was started in this step
  comm::StartedSums<T> sums_;
  double waiting_ = 0;
  Index bytes_ = 0;
};

}  // namespace mercer::train
