#pragma once

#include <functional>
#include <vector>

#include "mercer/dist/row_block.hpp"
#include "tile_grid.hpp"

namespace mercer::gram {

/// Moves rows of n x b blocks of vectors between their owners (RowPartition) and the ranks that
/// compute with them. What a rank computes with is kept transposed, b x rows(), a row of the block
/// contiguous, its rows ascending: so it is received into place, since the rows of the lower ranks
/// come first. The pattern is known beforehand on every rank: nothing but the numbers is sent.
class RowExchange {
 public:
  /// `wanted(rank)`: the rows that a rank computes with, as ascending ranges that do not overlap;
  /// the same function on every rank. Local.
  RowExchange(const comm::Communicator& comm, Index n,
              const std::function<std::vector<Range>(int)>& wanted);

  Index rows() const { return rows_; }  ///< that this rank computes with
  Index requests() const {
    return requests_;
  }  ///< its own rows, once for each rank that wants them

  /// W <- the wanted rows of V. V: this rank's rows x b; W: b x rows(); buffer: b requests()
  /// doubles. Collective.
  void gather(MatrixView<const double> V, double* buffer, MatrixView<double> W) const;
  /// Y <- the sum of what the ranks have in Z for this rank's rows, added in rank order. Z: b x
  /// rows(); Y: this rank's rows x b. Collective.
  void add(MatrixView<const double> Z, double* buffer, MatrixView<double> Y) const;

 private:
  comm::Communicator comm_;
  struct Piece {
    Range rows;  ///< of this rank's rows, from 0
    bool own;    ///< wanted here
  };
  Index rows_ = 0, requests_ = 0;
  Index first_own_ = 0;                     ///< where its own rows begin in W
  std::vector<Piece> pieces_;               ///< in the order of the ranks that want them
  std::vector<Index> outgoing_, incoming_;  ///< rows to and from every rank
};

}  // namespace mercer::gram
