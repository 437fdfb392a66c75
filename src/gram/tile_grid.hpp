#pragma once

#include <algorithm>
#include <iterator>
#include <vector>

#include "mercer/dist/process_grid.hpp"

namespace mercer::gram {

struct Range {
  Index begin = 0;
  Index end = 0;
  Index size() const { return end - begin; }
};

/// A tile of the lower triangle: tile row I >= tile column J.
struct Tile {
  Index I = 0;
  Index J = 0;
  friend bool operator==(const Tile&, const Tile&) = default;
};

/// The lower triangle of an n x n matrix in square tiles over a process grid. Of every P successive
/// tile rows each of P processes has one, in the folded order 0 1 ... P-1 P-1 ... 1 0 0 1 ...: the
/// plain cycle would give process 0 the longest of every P columns of the triangle, whereas folded
/// the load is balanced after every second cycle. The same for tile columns. A pure value; every
/// function is local.
struct TileGrid {
  Index n = 0;
  Index tile = 1;
  dist::GridShape shape;

  Index tiles() const { return ceil_div(n, tile); }
  Index begin(Index T) const { return T * tile; }
  Index size(Index T) const { return std::min(tile, n - T * tile); }
  /// The tile row (or column) that a process has in the given cycle; may be past the last one.
  static Index nth(Index cycle, int process, int processes) {
    return cycle * processes + (cycle % 2 == 0 ? process : processes - 1 - process);
  }
  int active() const { return shape.rows * shape.cols; }

  /// The tile rows and tile columns of a rank, ascending; empty for ranks outside the grid.
  std::vector<Index> tile_rows(int rank) const { return mine(rank, rank / shape.cols, shape.rows); }
  std::vector<Index> tile_cols(int rank) const { return mine(rank, rank % shape.cols, shape.cols); }
  /// A rank's tiles, column by column.
  std::vector<Tile> tiles_of(int rank) const {
    const auto rows = tile_rows(rank), cols = tile_cols(rank);
    std::vector<Tile> result;
    for (const Index J : cols)
      for (auto I = std::ranges::lower_bound(rows, J); I != rows.end(); ++I)
        result.push_back({*I, J});
    return result;
  }
  /// The tile rows and columns of a rank's tiles: ascending, each once.
  std::vector<Index> touched_by(int rank) const {
    const auto rows = tile_rows(rank), cols = tile_cols(rank);
    std::vector<Index> result;
    if (rows.empty() || cols.empty() || rows.back() < cols.front()) return result;
    std::set_union(std::ranges::lower_bound(rows, cols.front()), rows.end(), cols.begin(),
                   std::ranges::upper_bound(cols, rows.back()), std::back_inserter(result));
    return result;
  }
  std::vector<Range> ranges(const std::vector<Index>& of) const {
    std::vector<Range> result;
    for (const Index T : of) result.push_back({begin(T), begin(T) + size(T)});
    return result;
  }
  /// Entries of a stored tile: of a diagonal one both triangles.
  Index entries(const Tile& t) const { return size(t.I) * size(t.J); }
  /// Entries of a rank's tiles together, without a list of them.
  double entries_of(int rank) const {
    const auto rows = tile_rows(rank), cols = tile_cols(rank);
    double entries = 0, below = 0;  // rows of the tile rows from the diagonal on
    auto J = cols.rbegin();
    for (auto I = rows.rbegin(); J != cols.rend(); ++J) {
      for (; I != rows.rend() && *I >= *J; ++I) below += static_cast<double>(size(*I));
      entries += static_cast<double>(size(*J)) * below;
    }
    return entries;
  }

 private:
  std::vector<Index> mine(int rank, int process, int processes) const {
    std::vector<Index> result;
    if (rank < active())
      for (Index cycle = 0;; ++cycle) {
        const Index T = nth(cycle, process, processes);
        // In the last, incomplete cycle a process may have nothing.
        if (cycle * processes >= tiles()) break;
        if (T < tiles()) result.push_back(T);
      }
    return result;
  }
};

}  // namespace mercer::gram
