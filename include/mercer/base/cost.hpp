#pragma once

namespace mercer {

/// What a piece of work takes, counted by the room that does it, beside the code that does it. A
/// count is of the slowest rank, and sorted by what limits it: `plan` divides each by a machine's
/// rate (plan/machine.hpp) and adds up. A routine that reaches a share of dgemm's rate counts its
/// flops divided by that share.
struct Cost {
  double bytes = 0;  ///< that a rank holds at its peak, beside the rows of the data
  double flops = 0;  ///< of all ranks together, as they are counted for GFLOP/s

  double gemm = 0, gemm_single = 0;      ///< flops at dgemm's and sgemm's rate
  double skinny = 0, skinny_single = 0;  ///< flops of tall blocks of vectors
  double dots = 0;                       ///< flops of the dot products of kernel entries
  double entries = 0;                    ///< of the kernel, beside their dot products
  double prepared = 0;                   ///< rows that a kernel prepares
  double columns = 0;  ///< entries of K times the columns that they are multiplied with, at least 8
  double passes = 0;   ///< entries of K that are read for a product
  double converted = 0;  ///< of these, kept in single
  double copied = 0;     ///< bytes through memory
  double touched = 0;    ///< bytes of memory that are used for the first time
  double sent = 0;       ///< bytes sent while all ranks send
  double network = 0;    ///< the same, where only a stated network counts: else in the fit
  double summed = 0;     ///< bytes sent in sums over all ranks
  double messages = 0;

  Cost& operator+=(const Cost& other);
  friend Cost operator+(Cost a, const Cost& b) { return a += b; }
  /// `times` the same work, one after the other: bytes stay.
  friend Cost operator*(double times, Cost cost);
};

/// A sum of `bytes` over `ranks` ranks on all of them, by halving and doubling: every rank sends
/// 2 (1 - 1/P) bytes in 2 ceil(log2 P) messages. Local.
Cost sum_cost(double bytes, double ranks);

}  // namespace mercer
