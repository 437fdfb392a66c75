#pragma once

#include <functional>
#include <string>
#include <vector>

#include "shared/session.hpp"

namespace mercer::drivers {

/// What mercer-bench is asked for.
struct BenchJob {
  CommonOptions common;
  Index n = 8192, d = 784;
  int repeat = 5;
  std::string sizes = "2000,5000", fractions = "1,0.25,0.0333333";
  Index top = 200;
  bool given_n = false;
  std::vector<std::string> networks;  ///< train: architecture texts; empty: the two usual ones
};

double median(std::vector<double> values);
/// Seconds of `body` on the slowest rank, all ranks starting together. Collective.
double seconds(const comm::Communicator& comm, const std::function<void()>& body);
/// ?gemm's rate with every rank busy, in flops a second of one rank: the ceiling. Collective.
template <class T>
double gemm_peak(const comm::Communicator& comm);

/// A full-batch step of plain gradient descent, with S of job.top modes, and without overlap of the
/// gradient's sum, beside ?gemm's peak. Returns the exit code.
int bench_train(const BenchJob& job, Session& session);

}  // namespace mercer::drivers
