#pragma once

#include <mpi.h>

#include <span>
#include <vector>

#include "mercer/base/matrix.hpp"
#include "mercer/comm/communicator.hpp"

namespace mercer::comm {

/// Sums over the ranks that go on while the ranks compute: all_reduce(values, Op::sum), started,
/// driven on by test(), ended by wait(). Each rank sums one part of the values, in a fixed order,
/// and sends it to the others: 2 n (P - 1)/P elements a rank, the same bits on every rank, and for
/// a given P the same bits in every run. (Open MPI's MPI_Iallreduce in place is a binomial tree: up
/// to 2 n log2 P elements, summed on one rank.) Progress is made in these calls only. Counted in
/// bytes_sent() as all_reduce is. T = double, float.
template <class T>
class StartedSums {
 public:
  explicit StartedSums(const Communicator& comm) : comm_(comm) {}
  /// Waits for what is open: collective then.
  ~StartedSums();
  StartedSums(const StartedSums&) = delete;
  StartedSums& operator=(const StartedSums&) = delete;

  /// Starts a sum of at most 2^30 bytes, in the same order and of the same size on every rank.
  /// Nobody may touch `values` until wait(). Memory: about as much as `values`, kept for the sums
  /// that come after the next wait(), so that steps that are alike allocate in the first one only.
  void start(std::span<T> values);
  /// Drives on what is open. Local.
  void test();
  /// Ends all that was started. Collective.
  void wait();

 private:
  struct Sum {
    std::span<T> values;
    RawVector<T> received;  ///< this rank's part as the other ranks have it
    std::vector<MPI_Request> requests;
    bool spreading = false;  ///< the parts are summed, and on their way to all
  };
  std::span<T> part(const Sum& sum, int rank) const;
  int tag(const Sum& sum) const;
  void spread(Sum& sum);

  Communicator comm_;
  std::vector<Sum> sums_;
  std::size_t open_ = 0;  ///< sums_[0, open_) are under way
};

}  // namespace mercer::comm
