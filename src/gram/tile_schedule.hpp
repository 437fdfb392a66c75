#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tile_grid.hpp"

namespace mercer::gram {

/// The tiles of a matrix that is evaluated tile by tile, in Morton's order of (I, J): a run of
/// consecutive tiles is nearly a square, so that few rows are prepared for it. Of a symmetric
/// matrix (`lower`) those of the lower triangle. The same for every number of ranks, grid and block
/// size. A pure value; every function is local.
struct TileList {
  Index rows = 0, cols = 0;
  Index tile = 1;   ///< rows and columns of a tile
  Index strip = 1;  ///< columns of a tile that are evaluated together
  bool lower = true;
  std::vector<Tile> tiles{};

  /// `steps`: those of an entry (Kernel::steps_per_entry()). A tile takes at most about a second
  /// and a strip 0.3 s, where a step takes 5 ns and a tile is larger than 8 x 8; there are at least
  /// 64 tile rows where n > 512, so that the tiles can be shared out evenly, and at most 2048.
  TileList(Index rows, Index cols, bool lower, double steps);

  Index height(const Tile& t) const { return std::min(tile, rows - t.I * tile); }
  Index width(const Tile& t) const { return std::min(tile, cols - t.J * tile); }
  Index entries(const Tile& t) const { return height(t) * width(t); }
  bool diagonal(const Tile& t) const { return lower && t.I == t.J; }
  /// Columns of the strips of a tile. Those of a diagonal tile are narrow, because of the entries
  /// above the diagonal only those are evaluated that share a strip with the diagonal.
  Index strip_of(const Tile& t) const {
    return diagonal(t) ? std::min(strip, std::max<Index>(1, tile / 16)) : strip;
  }
  /// Entries that are evaluated for a tile.
  Index evaluated(const Tile& t) const;
  const Tile& operator[](Index part) const { return tiles[static_cast<std::size_t>(part)]; }
  Index size() const { return std::ssize(tiles); }
};

/// Shares out tiles over ranks, in rounds. Each rank gets consecutive tiles of the list, with the
/// same number of entries to evaluate, up to one tile, in each round. A pure value; local.
class TileSchedule {
 public:
  /// `parts`: ascending numbers of tiles in the list, which is borrowed. A rank's round has at most
  /// `most_entries` stored entries, and its tiles at most `most_rows` rows and columns to prepare,
  /// or it is one tile.
  TileSchedule(const TileList& list, std::vector<Index> parts, int ranks, Index most_rows,
               Index most_entries);

  Index rounds() const { return rounds_; }
  /// The tiles of a rank in a round.
  std::span<const Index> of(int rank, Index round) const;
  /// Entries that a rank evaluates, in all rounds.
  double evaluated(int rank) const;
  /// Rows and columns that a rank prepares, in all rounds.
  double prepared(int rank) const;
  /// The most rows and columns that a rank prepares in a round, and the most entries of a round.
  Index most_rows() const { return most_rows_; }
  Index most_entries() const { return most_entries_; }

 private:
  std::size_t begin(int rank, Index round) const;
  void measure();
  Index rows_of(std::span<const Index> parts) const;

  const TileList& list_;
  std::vector<Index> parts_;
  std::vector<double> before_;  ///< entries to evaluate before each part, and in all
  int ranks_;
  Index rounds_ = 1, most_rows_ = 0, most_entries_ = 0;
};

/// The tile rows (`rows`) or tile columns of some tiles: ascending, each once.
std::vector<Index> touched(const TileList& list, std::span<const Index> parts, bool rows,
                           bool columns);

}  // namespace mercer::gram
