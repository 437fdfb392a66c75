#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "entries.hpp"
#include "mercer/gram/assemble.hpp"
#include "tile_grid.hpp"

namespace mercer::gram {

/// The rows of X behind tile rows and tile columns, prepared for a kernel, one Rows object each.
class Panels {
 public:
  /// Borrows all three.
  Panels(const kernel::Kernel& kernel, const RowBlock<double>& X, const TileGrid& grid)
      : kernel_(kernel), X_(X), grid_(grid), rows_(static_cast<std::size_t>(grid.tiles())) {}

  /// Frees what is not in `tiles` (ascending) and fetches what is missing, tile by tile, so that
  /// message buffers stay small. Collective; the lists may differ from rank to rank.
  void hold(const std::vector<Index>& tiles);
  /// Frees what is not in `tiles` (ascending). Local.
  void keep_only(const std::vector<Index>& tiles);
  const kernel::Rows& operator[](Index T) const { return *rows_[static_cast<std::size_t>(T)]; }
  /// The names in errors of the rows of a tile row or column.
  RowNames names(Index T) const {
    return {[first = grid_.begin(T)](Index i) { return first + i; }};
  }

 private:
  const kernel::Kernel& kernel_;
  const RowBlock<double>& X_;
  const TileGrid& grid_;
  std::vector<std::unique_ptr<kernel::Rows>> rows_;
};

/// out(i, j) = k(x_i, z_j) for all rows of `x` and `z`. A diagonal tile (x and z the same object)
/// is computed once and mirrored: both triangles are equal to the bit. Throws InputError where an
/// entry is not finite; calls give_up_if(interrupted) before every strip of 128 columns, of
/// costly kernels every 0.3 s. Local.
void evaluate(const kernel::Kernel& kernel, const NamedRows& x, const NamedRows& z,
              MatrixView<double> out, const std::function<bool()>& interrupted = {});

/// One step through a rank's tiles: the panels in memory, and the tiles that they serve.
struct Step {
  std::vector<Index> hold;  ///< tile rows and columns, ascending
  std::vector<Tile> tiles;
};

/// Cuts a rank's tiles `visited` (column by column) into steps that hold at most `row_cycles` tile
/// rows and `col_cycles` tile columns. The number of steps is the same on every rank, whatever it
/// visits. Groups of rows are the outer loop, groups of columns the inner one. Local.
std::vector<Step> steps(const TileGrid& grid, const std::vector<Tile>& visited, Index row_cycles,
                        Index col_cycles);
/// Calls f(hold) for each step through a rank's tiles from `first` on, in their order, without a
/// list of the tiles: for plans, also of matrices that nobody could visit. Local.
void for_holds(const TileGrid& grid, int rank, Tile first, Index row_cycles, Index col_cycles,
               const std::function<void(const std::vector<Index>&)>& f);

}  // namespace mercer::gram
