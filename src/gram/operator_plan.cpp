#include "operator_plan.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "mercer/base/memory.hpp"
#include "products.hpp"

namespace mercer::gram {
namespace {

// A tile stays in the second-level cache from its computation to its products.
constexpr Index kTile = 504;
constexpr double kCopiesUnderWay = 3;  // of a tile's rows of X, in message buffers

Index choose_tile(Index n, dist::GridShape shape) {
  // The folded order balances the load over whole double cycles of both grid dimensions.
  const Index even = 2 * std::lcm<Index>(shape.rows, shape.cols);
  const Index cycles = std::max<Index>(1, ceil_div(n, even * kTile));
  const Index rows = ceil_div(std::max<Index>(24, ceil_div(n, even * cycles)), 6) * 6;
  return rows % 32 == 0 ? rows + 6 : rows;  // so that columns do not map to the same cache sets
}

/// Each count on the rank that has most of it.
struct Load {
  double entries = 0, total_entries = 0;  ///< of the triangle; the latter over all ranks
  double touched = 0;                     ///< rows of V and X that a rank computes with
  double requested = 0;                   ///< own rows, once for each rank that computes with them
};

/// Calls f(owner, count) for each owner of a tile's rows.
template <class F>
void for_owners(const TileGrid& grid, const dist::RowPartition& rows, Index T, F&& f) {
  const Index end = grid.begin(T) + grid.size(T);
  for (Index i = grid.begin(T); i < end;) {
    const int owner = rows.owner(i);
    const Index next = std::min(end, rows.end(owner));
    f(owner, static_cast<double>(next - i));
    i = next;
  }
}

Load load(const TileGrid& grid, int ranks) {
  Load most;
  const dist::RowPartition rows{grid.n, ranks};
  std::vector<double> requested(static_cast<std::size_t>(ranks), 0.0);
  for (int r = 0; r < grid.active(); ++r) {
    const double entries = grid.entries_of(r);
    double touched = 0;
    for (const Index T : grid.touched_by(r)) {
      touched += static_cast<double>(grid.size(T));
      for_owners(grid, rows, T, [&](int owner, double count) {
        requested[static_cast<std::size_t>(owner)] += count;
      });
    }
    most.total_entries += entries;
    most.entries = std::max(most.entries, entries);
    most.touched = std::max(most.touched, touched);
  }
  most.requested = *std::ranges::max_element(requested);
  return most;
}

/// Decides the storage, and divides the memory.
class Planner {
 public:
  Planner(const kernel::Kernel& kernel, Index d, Index block, const TileGrid& grid, int ranks,
          const OperatorOptions& options)
      : grid_(grid), limit_(options.memory_bytes), most_(load(grid, ranks)) {
    const double tile = static_cast<double>(std::min(grid.tile, grid.n));
    plan_.tile = grid.tile;
    plan_.scratch_bytes = 8 * tile * (tile + kPiece) + static_cast<double>(kernel.scratch_bytes());
    plan_.vector_bytes = 8 * static_cast<double>(block) * (2 * most_.touched + most_.requested);
    row_bytes_ = static_cast<double>(kernel.bytes_per_row(d));
    under_way_ = kCopiesUnderWay * 8 * tile * static_cast<double>(d);
    all_panels_ = most_.touched * row_bytes_ + under_way_;
    least_panels_ = std::min(all_panels_, 2 * tile * row_bytes_ + under_way_);
  }

  OperatorPlan plan(Storage asked) {
    Storage storage = asked;
    if (asked == Storage::automatic) {
      // Smaller panels would be fetched too often.
      const double panels = std::max(least_panels_, std::min(all_panels_, limit_ / 8));
      storage = fits(Storage::in_double, panels)   ? Storage::in_double
                : fits(Storage::in_single, panels) ? Storage::in_single
                                                   : Storage::mixed;
    }
    if (!fits(storage, least_panels_)) refuse(asked, storage);
    plan_.storage = storage;
    const bool keeps_all = storage == Storage::in_double || storage == Storage::in_single;
    const double tiles = keeps_all ? most_.entries * entry_bytes(storage) : 0;
    const double room = limit_ - tiles - plan_.scratch_bytes - (keeps_all ? 0 : plan_.vector_bytes);
    if (storage != Storage::mixed)
      set_panels(room);
    else  // a stored tile saves more time than a panel of the same size, unless panels get small
      set_panels(all_panels_ <= room / 2 ? all_panels_ : std::max(least_panels_, room / 4));
    plan_.tile_bytes = tiles;
    plan_.stored_share = keeps_all ? 1 : 0;
    if (storage == Storage::mixed) keep_some(room - plan_.panel_bytes);
    return plan_;
  }

 private:
  bool fits(Storage storage, double panels) const { return takes(storage, panels) <= limit_; }
  double takes(Storage storage, double panels) const {
    if (storage == Storage::in_double || storage == Storage::in_single)
      return most_.entries * entry_bytes(storage) + plan_.scratch_bytes +
             std::max(plan_.vector_bytes, panels);
    return plan_.scratch_bytes + plan_.vector_bytes + panels;
  }

  [[noreturn]] void refuse(Storage asked, Storage storage) const {
    const auto text = [&](Storage s) { return format_bytes(takes(s, least_panels_)); };
    const std::string least = text(Storage::none);
    if (asked == storage && storage != Storage::none && storage != Storage::mixed) {
      std::string smaller;  // of what fits
      if (storage == Storage::in_double && fits(Storage::in_single, least_panels_))
        smaller += fmt::format("single ({}), ", text(Storage::in_single));
      if (fits(Storage::none, least_panels_))
        smaller += fmt::format("mixed or none (from {})", least);
      throw MemoryError(
          "K of n = {} kept in {} takes {} a rank, the limit is {}: give a larger limit or more "
          "ranks{}{}",
          grid_.n, name(storage), text(storage), format_bytes(limit_),
          smaller.empty() ? "" : ", or `storage` ", smaller);
    }
    throw MemoryError(
        "products with K of n = {} take at least {} a rank (vectors {}, panels and a tile {}), the "
        "limit is {}: give a larger limit, more ranks, or fewer vectors at a time",
        grid_.n, least, format_bytes(plan_.vector_bytes),
        format_bytes(least_panels_ + plan_.scratch_bytes), format_bytes(limit_));
  }

  /// Chooses panels of at most `bytes`.
  void set_panels(double bytes) {
    plan_.row_cycles = std::max<Index>(1, ceil_div(grid_.tiles(), grid_.shape.rows));
    plan_.col_cycles = std::max<Index>(1, ceil_div(grid_.tiles(), grid_.shape.cols));
    plan_.panels_kept = all_panels_ <= bytes;
    plan_.panel_bytes = all_panels_;
    if (plan_.panels_kept) return;
    // A group of tile rows is fetched once, the tile columns once for each group of rows.
    const double tile = static_cast<double>(grid_.tile) * row_bytes_;
    const Index held = std::max<Index>(2, static_cast<Index>((bytes - under_way_) / tile));
    plan_.col_cycles = std::min(plan_.col_cycles, std::max<Index>(1, held / 4));
    plan_.row_cycles = std::min(plan_.row_cycles, held - plan_.col_cycles);
    plan_.panel_bytes =
        static_cast<double>(plan_.col_cycles + plan_.row_cycles) * tile + under_way_;
  }

  void keep_some(double bytes) {
    double kept = 0;
    plan_.tile_bytes = 0;
    for (int r = 0; r < grid_.active(); ++r) {
      const double entries = stored_tiles(grid_, r, Storage::mixed, bytes).entries;
      kept += entries;
      plan_.tile_bytes = std::max(plan_.tile_bytes, entries * entry_bytes(Storage::mixed));
    }
    plan_.stored_share = most_.total_entries > 0 ? kept / most_.total_entries : 1;
    if (plan_.stored_share == 0) plan_.storage = Storage::none;
  }

  const TileGrid& grid_;
  double limit_;
  Load most_;
  OperatorPlan plan_;
  double row_bytes_, under_way_, all_panels_, least_panels_;
};

}  // namespace

StoredTiles stored_tiles(const TileGrid& grid, int rank, Storage storage, double tile_bytes) {
  StoredTiles stored{.next = {grid.tiles(), grid.tiles()}};
  const auto rows = grid.tile_rows(rank);
  for (const Index J : grid.tile_cols(rank))
    for (auto I = std::ranges::lower_bound(rows, J); I != rows.end(); ++I) {
      const Tile tile{*I, J};
      const double entries = stored.entries + static_cast<double>(grid.entries(tile));
      if (storage == Storage::none ||
          (storage == Storage::mixed && entries * entry_bytes(storage) > tile_bytes)) {
        stored.next = tile;
        return stored;
      }
      stored.entries = entries;
      ++stored.count;
    }
  return stored;
}

std::vector<double> bytes_sent_by_rank(const TileGrid& grid, const OperatorPlan& plan, Index d,
                                       Index block, int ranks) {
  std::vector<double> sent(static_cast<std::size_t>(ranks), 0.0);
  const dist::RowPartition rows{grid.n, ranks};
  const auto moved = [&](int rank, Index T, double from_owner, double to_owner) {
    for_owners(grid, rows, T, [&](int owner, double count) {
      if (owner == rank) return;
      sent[static_cast<std::size_t>(owner)] += count * from_owner;
      sent[static_cast<std::size_t>(rank)] += count * to_owner;
    });
  };
  const double vector = 8 * static_cast<double>(block);
  const double input = 8 * static_cast<double>(d);
  for (int r = 0; r < grid.active(); ++r) {
    for (const Index T : grid.touched_by(r)) moved(r, T, vector, vector);
    if (plan.panels_kept || plan.stored_share == 1) continue;
    std::vector<Index> held;
    const Tile first = stored_tiles(grid, r, plan.storage, plan.tile_bytes).next;
    for_holds(grid, r, first, plan.row_cycles, plan.col_cycles, [&](const auto& hold) {
      std::vector<Index> missing;
      std::ranges::set_difference(hold, held, std::back_inserter(missing));
      for (const Index T : missing) moved(r, T, input, sizeof(Index));
      held = hold;
    });
  }
  return sent;
}

double OperatorPlan::bytes() const {
  const bool keeps_all = storage == Storage::in_double || storage == Storage::in_single;
  return tile_bytes + scratch_bytes +
         (keeps_all ? std::max(panel_bytes, vector_bytes) : panel_bytes + vector_bytes);
}

OperatorPlan plan_operator(const kernel::Kernel& kernel, Index n, Index d, Index block,
                           dist::GridShape shape, const OperatorOptions& options, int ranks) {
  if (ranks == 0) ranks = shape.rows * shape.cols;
  const TileGrid grid{n, options.tile > 0 ? options.tile : choose_tile(n, shape), shape};
  auto plan = Planner(kernel, d, block, grid, ranks, options).plan(options.storage);
  const auto most_sent = [&](Index vectors) {
    return std::ranges::max(bytes_sent_by_rank(grid, plan, d, vectors, ranks));
  };
  plan.bytes_sent = most_sent(block);
  if (!plan.panels_kept && plan.stored_share < 1) plan.panel_bytes_sent = most_sent(0);
  return plan;
}

std::string name(Storage storage) {
  switch (storage) {
    case Storage::in_double:
      return "double";
    case Storage::in_single:
      return "single";
    case Storage::none:
      return "none";
    case Storage::mixed:
      return "mixed";
    default:
      return "auto";
  }
}

Storage parse_storage(std::string_view text) {
  for (const Storage s :
       {Storage::automatic, Storage::in_double, Storage::in_single, Storage::none, Storage::mixed})
    if (text == name(s)) return s;
  throw InputError("`storage` \"{}\": give auto, double, single, none or mixed", text);
}

}  // namespace mercer::gram
