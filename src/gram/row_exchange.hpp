#pragma once

#include <functional>
#include <vector>

#include "mercer/dist/row_block.hpp"
#include "tile_grid.hpp"

namespace mercer::gram {

/// Moves rows of n x b blocks of vectors between their owners (RowPartition) and the ranks that
/// compute with them. A rank stores the rows that it computes with transposed, b x rows(), in
/// ascending order: messages are received into place, since rows of lower ranks come first. Every
/// rank knows the pattern beforehand: only the numbers are sent.
class RowExchange {
 public:
  /// `wanted(rank)`: the rows that a rank computes with, as ascending ranges that do not overlap;
  /// the same function on every rank. Local.
  RowExchange(const comm::Communicator& comm, Index n,
              const std::function<std::vector<Range>(int)>& wanted);

  Index rows() const { return rows_; }  ///< rows that this rank computes with
  Index requests() const {
    return requests_;
  }  ///< rows that this rank owns, counted once for each rank that wants them

  /// W <- the rows of V that this rank wants. V: the rows it owns, x b; W: b x rows(); buffer:
  /// b requests() doubles. Collective.
  void gather(MatrixView<const double> V, double* buffer, MatrixView<double> W) const;
  /// Y <- the sum, in rank order, of the contributions in the ranks' Z to the rows that this rank
  /// owns. Z: b x rows(); buffer: b requests() doubles; Y: the rows it owns, x b. Collective.
  void add(MatrixView<const double> Z, double* buffer, MatrixView<double> Y) const;

 private:
  comm::Communicator comm_;
  struct Piece {
    Range rows;  ///< of the rows that this rank owns, from 0
    bool own;    ///< wanted by this rank itself
  };
  Index rows_ = 0, requests_ = 0;
  Index first_own_ = 0;                     ///< where its own rows begin in W
  std::vector<Piece> pieces_;               ///< in the order of the ranks that want them
  std::vector<Index> outgoing_, incoming_;  ///< rows to and from every rank
};

}  // namespace mercer::gram
