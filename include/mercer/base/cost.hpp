#pragma once

namespace mercer {

/// What a piece of work takes, stated by the room that does it, beside its code. Counts are those
/// of the slowest rank, one for each rate of a machine (plan/machine.hpp): `plan` divides them by
/// the rates and adds up. A routine that reaches only a share of dgemm's rate counts its flops
/// divided by that share.
struct Cost {
  double bytes = 0;  ///< that a rank holds at its peak, without the rows of the data
  double flops = 0;  ///< of all ranks together, for GFLOP/s; no time is derived from them

  double gemm = 0, gemm_single = 0;      ///< flops at dgemm's and sgemm's rate
  double skinny = 0, skinny_single = 0;  ///< flops of GEMMs with tall blocks of vectors
  double dots = 0;                       ///< flops of the dot products of kernel entries
  double entries = 0;                    ///< kernel entries, without their dot products
  double prepared = 0;                   ///< rows that a kernel prepares
  double columns = 0;  ///< entries of K times the columns that they are multiplied with, at least 8
  double passes = 0;   ///< entries of K that are read for a matrix-vector product
  double converted = 0;  ///< those of `passes` that are kept in single precision
  double copied = 0;     ///< bytes that copies in memory read and write
  double touched = 0;    ///< bytes of memory that are used for the first time
  double sent = 0;       ///< bytes sent while all ranks send
  double network = 0;    ///< the same, but counted for a stated network only: fitted times have it
  double summed = 0;     ///< bytes sent in sums over all ranks
  double messages = 0;

  /// One after the other: counts add up, `bytes` is the larger of the two.
  Cost& operator+=(const Cost& other);
  friend Cost operator+(Cost a, const Cost& b) { return a += b; }
  /// The same work `times` times: counts multiply, `bytes` stays.
  friend Cost operator*(double times, Cost cost);
};

/// An all-reduce of `bytes` over P = `ranks` ranks by recursive halving and doubling: every rank
/// sends 2 (1 - 1/P) `bytes` in 2 ceil(log2 P) messages. Local.
Cost sum_cost(double bytes, double ranks);

}  // namespace mercer
