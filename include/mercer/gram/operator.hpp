#pragma once

#include <span>

#include "mercer/dist/row_block.hpp"

namespace mercer::gram {

/// A symmetric n x n matrix K that is known by its products with blocks of vectors. Vectors are
/// kept by rows: rank r holds rows partition().begin(r) ... end(r) - 1 of an n x b block as a
/// column-major matrix of partition().size(r) x b. What iterates (block Krylov, conjugate
/// gradients, stochastic estimates) is written against this interface alone, so that it also runs
/// on a small dense matrix.
class Operator {
 public:
  virtual ~Operator() = default;
  virtual const comm::Communicator& comm() const = 0;
  virtual Index size() const = 0;  ///< n

  /// Y <- K V, this rank's rows of each; V and Y do not overlap. Collective; every rank gives the
  /// same b. The same bits for the same V on the same number of ranks. An operator may keep
  /// workspace between products: one product at a time. Throws Error with the code `interrupted` on
  /// all ranks where one of them gives the product up (OperatorOptions::interrupted); Y is
  /// undefined then.
  virtual void apply(MatrixView<const double> V, MatrixView<double> Y) const = 0;
  /// K_ii of this rank's rows, partition().size(rank) numbers. Collective.
  virtual void diagonal(std::span<double> d) const = 0;
  /// Columns K(:, j) of this rank's rows for the j in `which` (the same list on every rank, any
  /// order, repeats allowed, 0 <= j < n): partition().size(rank) x which.size(). By default
  /// products with unit vectors, 64 at a time. Collective.
  virtual void columns(std::span<const Index> which, MatrixView<double> out) const;

  /// Local.
  dist::RowPartition partition() const { return {size(), comm().size()}; }
  Index local_rows() const { return partition().size(comm().rank()); }
  Index first_row() const { return partition().begin(comm().rank()); }
};

}  // namespace mercer::gram
