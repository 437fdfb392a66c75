#pragma once

#include <mpi.h>

#include <span>
#include <vector>

#include "mercer/comm/communicator.hpp"
#include "mercer/net/network.hpp"

namespace mercer::train {

/// The sum over the ranks of a gradient, started bucket by bucket while the backward pass that
/// writes it goes on (from the last layer to the first). Open MPI makes no progress on a
/// non-blocking all-reduce by itself: the pass calls watch().poll between its GEMMs. The same bits
/// on every rank.
template <class T>
class GradientSum {
 public:
  struct Options {
    Index bucket = 1 << 20;  ///< elements: layers are gathered up to this before a reduction starts
    bool overlap = true;     ///< false: one blocking all-reduce in finish(), to compare with
  };
  GradientSum(const comm::Communicator& comm, std::span<T> g, const Options& options);

  /// For Evaluator::gradient of the last batch of a step. Local.
  typename net::Evaluator<T>::Watch watch();
  /// Starts what was not started, waits for all. Collective. g then holds the sum.
  void finish();

  double waiting() const { return waiting_; }  ///< seconds spent in finish() since construction
  Index bytes() const { return bytes_; }       ///< handed to MPI since construction

 private:
  void start(Index first, Index count);
  comm::Communicator comm_;
  std::span<T> g_;
  Options options_;
  Index pending_begin_ = 0, pending_end_ = 0;
  std::vector<MPI_Request> requests_;
  double waiting_ = 0;
  Index bytes_ = 0;
};

}  // namespace mercer::train
