#pragma once

#include <algorithm>
#include <span>
#include <utility>

#include "mercer/base/matrix.hpp"
#include "mercer/comm/communicator.hpp"

namespace mercer::dist {

/// Rows 0 ... n-1 in contiguous blocks over `nprocs` ranks. The sizes differ by at most one, the
/// larger blocks come first; ranks beyond n own no rows. A pure value.
struct RowPartition {
  Index n = 0;
  int nprocs = 1;

  constexpr Index begin(int rank) const {
    return rank * (n / nprocs) + std::min<Index>(rank, n % nprocs);
  }
  constexpr Index end(int rank) const { return begin(rank + 1); }
  constexpr Index size(int rank) const { return end(rank) - begin(rank); }
  constexpr int owner(Index i) const {
    const Index q = n / nprocs, r = n % nprocs;
    if (i < r * (q + 1)) return static_cast<int>(i / (q + 1));
    return static_cast<int>(r + (i - r * (q + 1)) / q);
  }
  friend constexpr bool operator==(const RowPartition&, const RowPartition&) = default;
};

/// An n x m matrix by contiguous rows over the ranks of a communicator (RowPartition): how data
/// sets, targets, predictions and coefficients are kept. The local part is row-major (a row of the
/// matrix is contiguous): transposed() is the same memory as a column-major m x local_rows()
/// matrix. Move-only; copy() is explicit. Every member function is local.
template <class T>
class RowBlock {
 public:
  RowBlock() : comm_(MPI_COMM_NULL) {}
  RowBlock(const comm::Communicator& comm, Index rows, Index cols)
      : comm_(comm), partition_{rows, comm.size()}, local_(cols, partition_.size(comm.rank())) {}
  RowBlock(RowBlock&&) noexcept = default;
  RowBlock& operator=(RowBlock&&) noexcept = default;
  RowBlock copy() const {
    RowBlock result(comm_, rows(), cols());
    result.local_ = local_.copy();
    return result;
  }

  const comm::Communicator& comm() const { return comm_; }
  const RowPartition& partition() const { return partition_; }
  Index rows() const { return partition_.n; }
  Index cols() const { return local_.rows(); }
  Index first_row() const { return partition_.begin(comm_.rank()); }
  Index local_rows() const { return local_.cols(); }
  /// Row first_row() + i, `cols()` contiguous elements.
  std::span<T> row(Index i) { return {local_.column(i), static_cast<std::size_t>(cols())}; }
  std::span<const T> row(Index i) const {
    return {local_.column(i), static_cast<std::size_t>(cols())};
  }
  /// cols() x local_rows(); column j is local row j.
  MatrixView<T> transposed() { return local_.view(); }
  MatrixView<const T> transposed() const { return local_.view(); }
  /// Moves the matrix of transposed() out.
  Matrix<T> release() && { return std::move(local_); }
  std::span<T> values() { return {local_.data(), static_cast<std::size_t>(local_.size())}; }
  std::span<const T> values() const {
    return {local_.data(), static_cast<std::size_t>(local_.size())};
  }

 private:
  comm::Communicator comm_;
  RowPartition partition_;
  Matrix<T> local_;
};

}  // namespace mercer::dist
