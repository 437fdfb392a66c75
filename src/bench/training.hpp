#pragma once

#include <algorithm>
#include <vector>

#include "bench/bench.hpp"
#include "mercer/base/random.hpp"
#include "mercer/train/descend.hpp"

/// The parts of bench::training(), and what they share.
namespace mercer::bench {

/// Steps of a run, 5 to 100: about 5e10 flops of a rank, so that small networks are timed well too.
inline Index steps_of(double flops) {
  return std::clamp<Index>(static_cast<Index>(5e10 / flops), 5, 100);
}

/// This rank's columns of a Gaussian matrix, the same for every number of ranks.
template <class T>
Matrix<T> gaussian(const dist::RowPartition& partition, int rank, Index height, Stream stream,
                   double scale) {
  Matrix<T> A(height, partition.size(rank));
  const Random random(0, stream);
  for (Index j = 0; j < A.cols(); ++j)
    for (Index i = 0; i < height; ++i)
      A(i, j) = static_cast<T>(scale * random.normal(static_cast<std::uint64_t>(
                                           (partition.begin(rank) + j) * height + i)));
  return A;
}

/// n random rows, with S = I.
template <class T>
std::vector<train::RowSet<T>> random_rows(const comm::Communicator& comm,
                                          const net::Network& network, Index n) {
  const dist::RowPartition partition{n, comm.size()};
  std::vector<train::RowSet<T>> rows(1);
  rows[0].n = n;
  rows[0].first = partition.begin(comm.rank());
  rows[0].X = gaussian<T>(partition, comm.rank(), network.inputs(), Stream::data_inputs, 1);
  rows[0].Y = gaussian<T>(partition, comm.rank(), network.outputs(), Stream::data_targets, 1);
  return rows;
}

/// Steps that do not change the network noticeably.
inline train::Options timed_steps(Index steps) {
  train::Options options;
  options.steps = options.record_every = steps;
  options.rate = 1e-12;
  options.safeguard = false;
  return options;
}

/// A full-batch step of n rows with and without S of `top` modes: a row of training().
template <class T>
double step_bytes(const Bench& bench, const net::Network& network, Index n, Index top);
template <class T>
Json training_step(const Bench& bench, const net::Network& network, Index n, Index top);

/// A step on `batch` rows with S of k modes on the parameters: a row of training().
template <class T>
double parameter_step_bytes(const Bench& bench, const net::Network& network, Index batch, Index k);
template <class T>
Json parameter_step(const Bench& bench, const net::Network& network, Index batch, Index k);

}  // namespace mercer::bench
