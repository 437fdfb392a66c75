#pragma once

#include <memory>
#include <vector>

#include "entries.hpp"
#include "mercer/gram/assemble.hpp"
#include "tile_grid.hpp"

namespace mercer::gram {

/// The rows of X behind tile rows and columns, prepared for a kernel, one Rows object a tile.
class Panels {
 public:
  /// Borrows all three.
  Panels(const kernel::Kernel& kernel, const RowBlock<double>& X, const TileGrid& grid)
      : kernel_(kernel), X_(X), grid_(grid), rows_(static_cast<std::size_t>(grid.tiles())) {}

  /// Drops what is not in `tiles` (ascending) and fetches what is missing, tile by tile, so that
  /// the copies under way stay small. Collective; the lists may differ from rank to rank.
  void hold(const std::vector<Index>& tiles);
  /// Drops what is not in `tiles`. Local.
  void keep_only(const std::vector<Index>& tiles);
  const kernel::Rows& operator[](Index T) const { return *rows_[static_cast<std::size_t>(T)]; }
  /// What errors call the rows of a tile row or column.
  RowNames names(Index T) const {
    return {[first = grid_.begin(T)](Index i) { return first + i; }};
  }

 private:
  const kernel::Kernel& kernel_;
  const RowBlock<double>& X_;
  const TileGrid& grid_;
  std::vector<std::unique_ptr<kernel::Rows>> rows_;
};

/// out(i, j) = k(x_i, z_j) for rows I of `x` and J of `z`, both triangles of a diagonal tile (x =
/// z) equal to the bit and computed once. Throws InputError where an entry is not finite, and, in
/// between strips of 128 columns, as give_up_if(interrupted). Local.
void evaluate(const kernel::Kernel& kernel, const NamedRows& x, const NamedRows& z,
              MatrixView<double> out, const std::function<bool()>& interrupted = {});

/// What is held and visited together while a rank goes through its tiles.
struct Step {
  std::vector<Index> hold;  ///< tile rows and columns, ascending
  std::vector<Tile> tiles;
};

/// Cuts the way through a rank's tiles `visited` (column by column) into steps that hold at most
/// `row_cycles` tile rows and `col_cycles` tile columns: as many steps on every rank, whatever it
/// visits. Row groups outside, column groups inside. Local.
std::vector<Step> steps(const TileGrid& grid, const std::vector<Tile>& visited, Index row_cycles,
                        Index col_cycles);

}  // namespace mercer::gram
