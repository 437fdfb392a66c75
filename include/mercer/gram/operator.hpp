#pragma once

#include <span>

#include "mercer/dist/row_block.hpp"

namespace mercer::gram {

/// A symmetric n x n matrix K of which only products with blocks of vectors are available. Vectors
/// are distributed by rows: rank r holds rows partition().begin(r) ... end(r) - 1 of an n x b block
/// as a column-major matrix of partition().size(r) x b. Iterative methods (block Krylov, conjugate
/// gradients, stochastic estimates) use this interface only, so that they also run on a small dense
/// matrix.
class Operator {
 public:
  virtual ~Operator() = default;
  virtual const comm::Communicator& comm() const = 0;
  virtual Index size() const = 0;  ///< n

  /// Y <- K V, this rank's rows of each; V and Y must not overlap. Collective; every rank passes
  /// the same number of columns b. The same V on the same number of ranks gives the same bits. Not
  /// reentrant: an operator may keep workspace between products. Throws Error with the code
  /// `interrupted` on all ranks if one of them gives the product up (OperatorOptions::interrupted);
  /// then Y is undefined.
  virtual void apply(MatrixView<const double> V, MatrixView<double> Y) const = 0;
  /// K_ii of this rank's rows, partition().size(rank) numbers. Collective.
  virtual void diagonal(std::span<double> d) const = 0;
  /// out <- this rank's rows of the columns K(:, j) for the j in `which` (the same list on every
  /// rank, any order, repeats allowed, 0 <= j < n): partition().size(rank) x which.size(). The
  /// default multiplies unit vectors, 64 at a time. Collective.
  virtual void columns(std::span<const Index> which, MatrixView<double> out) const;

  /// Local.
  dist::RowPartition partition() const { return {size(), comm().size()}; }
  Index local_rows() const { return partition().size(comm().rank()); }
  Index first_row() const { return partition().begin(comm().rank()); }
};

}  // namespace mercer::gram
