#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mercer/dist/row_block.hpp"
#include "mercer/msk/preconditioner.hpp"

namespace mercer::train {

/// Rows that one step can use: this rank's part of n rows (dist::RowPartition), in the precision of
/// training, and the S of their kernel matrix.
template <class T>
struct RowSet {
  Index n = 0;      ///< over all ranks
  Index first = 0;  ///< global index of the first local row
  Matrix<T> X;      ///< d x m
  Matrix<T> Y;      ///< c x m
  msk::Preconditioner<T> S;

  Index rows() const { return X.cols(); }
};

/// The rows of a data set, with S = I. Local. Throws InputError where X and Y differ in rows.
template <class T>
RowSet<T> row_set(const dist::RowBlock<double>& X, const dist::RowBlock<double>& Y);

/// The substream of Stream::batches that random_blocks() draws from; the order of batches takes
/// substream 0.
inline constexpr std::uint32_t kBlocksSubstream = 1;

/// Fixed random blocks of at most `batch` rows: a random permutation of 0 ... n-1, cut into
/// ceil(n/batch) pieces whose sizes differ by at most one, each sorted. The same for every number
/// of ranks. Local, O(n log batch). Throws InputError for a batch below 1.
std::vector<std::vector<Index>> random_blocks(Index n, Index batch, std::uint64_t seed);
/// Rows `wanted` (global indices, the same list on all ranks) of X, redistributed. Collective.
dist::RowBlock<double> select_rows(const dist::RowBlock<double>& X, std::span<const Index> wanted);

}  // namespace mercer::train
