#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mercer/base/random.hpp"
#include "mercer/dist/row_block.hpp"
#include "mercer/msk/preconditioner.hpp"
#include "mercer/train/parameter_preconditioner.hpp"

namespace mercer::train {

/// Rows that one step can use: this rank's part of n rows (dist::RowPartition), in the precision of
/// training, and the S of their kernel matrix: on residuals (S) or, for Stochastic::parameters, on
/// the parameters (P). One of the two is the identity.
template <class T>
struct RowSet {
  Index n = 0;      ///< over all ranks
  Index first = 0;  ///< global index of the first local row
  Matrix<T> X;      ///< d x m
  Matrix<T> Y;      ///< c x m
  msk::Preconditioner<T> S;
  ParameterPreconditioner<T> P = {};
  /// S acts on the n c residuals of rows and outputs as one vector, entry row c + output: its
  /// vectors are k x (c m). Otherwise on each output by itself.
  bool joint = false;

  Index rows() const { return X.cols(); }
  /// Residuals (c x m, contiguous) as S takes them: c x m, or where joint 1 x (c m). Local.
  template <class U>
  MatrixView<U> for_S(MatrixView<U> R) const {
    return joint ? MatrixView<U>{R.data, 1, R.rows * R.cols, 1} : R;
  }
  Index outputs_of_S() const { return joint ? 1 : Y.rows(); }
};

/// The rows of a data set, with S = I. Local. Throws InputError where X and Y differ in rows.
template <class T>
RowSet<T> row_set(const dist::RowBlock<double>& X, const dist::RowBlock<double>& Y);

/// The substreams of Stream::batches that random_blocks() and sample_rows() draw from; the order of
/// batches takes substream 0.
inline constexpr std::uint32_t kBlocksSubstream = 1, kSampleSubstream = 2;

/// `count` random rows of 0 ... n-1, ascending; and as many others, or all others where they are
/// fewer. The same for every number of ranks. Local, O(n). Pure.
struct RowSample {
  std::vector<Index> rows, others;
};
RowSample sample_rows(Index n, Index count, std::uint64_t seed);

/// order <- a random permutation of 0 ... order.size()-1, by the numbers first, first + 1, ... of
/// `random`. Local, O(n).
void random_order(std::span<Index> order, const Random& random, std::uint64_t first = 0);

/// Random blocks of at most `batch` rows: a random permutation of 0 ... n-1, cut into ceil(n/batch)
/// pieces whose sizes differ by at most one, each sorted; another one for each `epoch`. The same
/// for every number of ranks. Local, O(n log batch). Throws InputError for a batch below 1.
std::vector<std::vector<Index>> random_blocks(Index n, Index batch, std::uint64_t seed,
                                              Index epoch = 0);
/// Rows `wanted` (global indices, the same list on all ranks) of X, redistributed. Collective.
dist::RowBlock<double> select_rows(const dist::RowBlock<double>& X, std::span<const Index> wanted);

}  // namespace mercer::train
