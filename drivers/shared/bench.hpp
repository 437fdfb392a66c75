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

/// Measures this machine's coefficients, or reads them, and predicts time and memory of every
/// method asked for, for lists of n and P, as a table and as rows of the record. argv[0] is the
/// word "plan". Returns the exit code. Collective.
int bench_plan(int argc, char** argv, const comm::Communicator& comm);

/// Products of K with a block of vectors for every way of keeping K, beside dgemm and beside what a
/// tile's parts take alone. argv[0] is the word "operator". Returns the exit code. Collective.
int bench_operator(int argc, char** argv, const comm::Communicator& comm);

/// Iterations and seconds of conjugate gradients on a data set, plain and preconditioned. argv[0]
/// is the word "cg". Returns the exit code. Collective.
int bench_cg(int argc, char** argv, const comm::Communicator& comm);

/// The top k eigenpairs by block Krylov beside the direct solvers, for lists of n and k/n. argv[0]
/// is the word "krylov". Returns the exit code. Collective.
int bench_krylov(int argc, char** argv, const comm::Communicator& comm);

}  // namespace mercer::drivers
