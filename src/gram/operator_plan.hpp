#pragma once

#include <vector>

#include "mercer/gram/kernel_operator.hpp"
#include "panels.hpp"

namespace mercer::gram {

/// Bytes of an entry of a stored tile.
inline double entry_bytes(Storage storage) {
  return storage == Storage::in_double ? 8 : 4;
}
/// Which of a rank's tiles, column by column, are stored: none, all, or (mixed) as many as fit
/// `tile_bytes`. O(stored tiles), without a list of them. Local.
struct StoredTiles {
  Index count = 0;
  double entries = 0;
  Tile next;  ///< the first that is not; J past the last one where all are
};
StoredTiles stored_tiles(const TileGrid& grid, int rank, Storage storage, double tile_bytes);
/// OperatorPlan::bytes_sent for every rank.
std::vector<double> bytes_sent_by_rank(const TileGrid& grid, const OperatorPlan& plan, Index d,
                                       Index block, int ranks);

}  // namespace mercer::gram
