#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mercer/dist/row_block.hpp"
#include "mercer/msk/preconditioner.hpp"

namespace mercer::train {

/// The rows that one step can use: this rank's part of n rows (dist::RowPartition), in the
/// precision of training, with the S of their own kernel matrix.
template <class T>
struct RowSet {
  Index n = 0;      ///< over all ranks
  Index first = 0;  ///< global index of the first local row
  Matrix<T> X;      ///< d x m
  Matrix<T> Y;      ///< c x m
  msk::Preconditioner<T> S;

  Index rows() const { return X.cols(); }
};

/// The rows of a data set, S the identity. Local. Throws InputError where X and Y differ in rows.
template <class T>
RowSet<T> row_set(const dist::RowBlock<double>& X, const dist::RowBlock<double>& Y);

/// Substream of Stream::batches that random_blocks() draws from; 0 is free for the order of
/// batches.
inline constexpr std::uint32_t kBlocksSubstream = 1;

/// Fixed random blocks of at most `batch` rows: a random permutation of 0 ... n-1, cut into
/// ceil(n/batch) pieces whose sizes differ by at most one, each sorted. The same for every number
/// of ranks. Local, O(n log batch). Throws InputError for a batch below 1.
std::vector<std::vector<Index>> random_blocks(Index n, Index batch, std::uint64_t seed);
/// Rows `wanted` (alike on all ranks) of X, distributed anew over the ranks. Collective.
dist::RowBlock<double> select_rows(const dist::RowBlock<double>& X, std::span<const Index> wanted);

}  // namespace mercer::train
