#pragma once

#include <mpi.h>

#include <span>
#include <vector>

#include "mercer/base/matrix.hpp"
#include "mercer/comm/communicator.hpp"

namespace mercer::comm {

/// Non-blocking sums over the ranks: all_reduce(values, Op::sum), begun by start(), advanced by
/// test(), completed by wait(), while the ranks compute in between. Each rank sums one part of the
/// n values, in a fixed order, and sends it to the others: 2 n (P - 1)/P elements sent by a rank,
/// the same bits on every rank, and for a given P the same bits in every run. (Open MPI's
/// MPI_Iallreduce in place is a binomial tree: up to 2 n log2 P elements, summed on one rank.)
/// Only these calls make progress. bytes_sent() counts n elements, as for all_reduce(). T = double,
/// float.
///
/// Spread::later: test() does not start the second round. Between sum_parts() and wait() each rank
/// may change the sums of its own part, part_of(); wait() sends them to the others as they are then.
enum class Spread { at_once, later };

/// First index and number of the part of n values that `rank` of `ranks` sums. Pure.
struct Part {
  Index begin = 0, count = 0;
};
constexpr Part part_of(Index n, int rank, int ranks) {
  const Index begin = n * rank / ranks;
  return {begin, n * (rank + 1) / ranks - begin};
}

template <class T>
class StartedSums {
 public:
  explicit StartedSums(const Communicator& comm, Spread spread = Spread::at_once)
      : comm_(comm), spread_(spread) {}
  /// wait(), where sums are open: then collective.
  ~StartedSums();
  StartedSums(const StartedSums&) = delete;
  StartedSums& operator=(const StartedSums&) = delete;

  /// Starts a sum of at most 2^30 bytes (more aborts the run). Collective: the ranks start the same
  /// sizes in the same order. `values` must stay in place untouched until wait() returns. Memory:
  /// as much as `values`, kept for the sums after the next wait(), so that repeated steps allocate
  /// in the first one only.
  void start(std::span<T> values);
  /// Advances the open sums without waiting. Local.
  void test();
  /// Completes the first round: this rank's part of each open sum then holds the sum. Collective.
  void sum_parts();
  /// Completes all open sums. Collective.
  void wait();

 private:
  struct Sum {
    std::span<T> values;
    RawVector<T> received;  ///< this rank's part as the other ranks have it
    std::vector<MPI_Request> requests;
    bool summed = false;     ///< the first round is complete
    bool spreading = false;  ///< second round: the summed parts are on their way to all
  };
  std::span<T> part(const Sum& sum, int rank) const;
  int tag(const Sum& sum) const;
  void add_received(Sum& sum);
  void spread(Sum& sum);

  Communicator comm_;
  Spread spread_;
  std::vector<Sum> sums_;
  std::size_t open_ = 0;  ///< sums_[0, open_) are under way
};

}  // namespace mercer::comm
