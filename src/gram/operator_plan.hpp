#pragma once

#include <vector>

#include "mercer/gram/kernel_operator.hpp"
#include "panels.hpp"

namespace mercer::gram {

/// Bytes of an entry of a stored tile.
inline double entry_bytes(Storage storage) {
  return storage == Storage::in_double ? 8 : 4;
}
/// How many of a rank's `tiles`, in their order, are stored: none, all, or (mixed) as many as fit
/// `tile_bytes`.
std::size_t tiles_kept(const TileGrid& grid, const std::vector<Tile>& tiles, Storage storage,
                       double tile_bytes);
/// OperatorPlan::bytes_sent for every rank.
std::vector<double> bytes_sent_by_rank(const TileGrid& grid, const OperatorPlan& plan, Index d,
                                       Index block, int ranks);

}  // namespace mercer::gram
