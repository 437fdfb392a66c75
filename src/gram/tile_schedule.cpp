#include "tile_schedule.hpp"

#include <cmath>

namespace mercer::gram {
namespace {

/// The bits of x, with a zero behind each.
std::uint64_t spread(Index x) {
  auto bits = static_cast<std::uint64_t>(x);
  bits = (bits | bits << 16) & 0x0000ffff0000ffff;
  bits = (bits | bits << 8) & 0x00ff00ff00ff00ff;
  bits = (bits | bits << 4) & 0x0f0f0f0f0f0f0f0f;
  bits = (bits | bits << 2) & 0x3333333333333333;
  return (bits | bits << 1) & 0x5555555555555555;
}

std::uint64_t morton(const Tile& t) {
  return spread(t.I) << 1 | spread(t.J);
}

}  // namespace

TileList::TileList(Index rows, Index cols, bool lower, double steps)
    : rows(rows), cols(cols), lower(lower) {
  constexpr Index kMost = 512, kLeast = 8, kRows = 64, kMostRows = 2048;
  constexpr double kTileSteps = 2e8, kStripSteps = 6e7;
  const Index larger = std::max(rows, cols);
  const auto affordable = static_cast<Index>(std::sqrt(kTileSteps / steps));
  tile = std::min({kMost, affordable, larger / kRows}) / kLeast * kLeast;
  tile = std::max({tile, kLeast, ceil_div(larger, kMostRows)});
  strip = std::clamp<Index>(static_cast<Index>(kStripSteps / (steps * static_cast<double>(tile))),
                            1, tile);
  for (Index I = 0; I < ceil_div(rows, tile); ++I)
    for (Index J = 0; J < (lower ? I + 1 : ceil_div(cols, tile)); ++J) tiles.push_back({I, J});
  std::ranges::sort(tiles, {}, morton);
}

Index TileList::evaluated(const Tile& t) const {
  if (!diagonal(t)) return entries(t);
  Index sum = 0;
  const Index step = strip_of(t);
  for (Index j = 0; j < width(t); j += step) sum += (height(t) - j) * std::min(step, width(t) - j);
  return sum;
}

std::vector<Index> touched(const TileList& list, std::span<const Index> parts, bool rows,
                           bool columns) {
  std::vector<Index> result;
  for (const Index part : parts) {
    if (rows) result.push_back(list[part].I);
    if (columns) result.push_back(list[part].J);
  }
  std::ranges::sort(result);
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

TileSchedule::TileSchedule(const TileList& list, std::vector<Index> parts, int ranks,
                           Index most_rows, Index most_entries)
    : list_(list), parts_(std::move(parts)), ranks_(ranks) {
  before_.push_back(0);
  for (const Index part : parts_)
    before_.push_back(before_.back() + static_cast<double>(list.evaluated(list[part])));
  const auto most_tiles = [&] {
    std::size_t most = 0;
    for (int rank = 0; rank < ranks_; ++rank)
      for (Index round = 0; round < rounds_; ++round) most = std::max(most, of(rank, round).size());
    return most;
  };
  for (measure(); (most_rows_ > most_rows || most_entries_ > most_entries) && most_tiles() > 1;
       measure())
    rounds_ *= 2;
}

std::size_t TileSchedule::begin(int rank, Index round) const {
  // The first part whose middle lies beyond the border.
  const double share =
      (static_cast<double>(rank) + static_cast<double>(round) / static_cast<double>(rounds_)) /
      static_cast<double>(ranks_);
  const double border = share * before_.back();
  const auto after = std::ranges::lower_bound(before_, border) - before_.begin();
  if (after == 0) return 0;
  const auto part =
      static_cast<std::size_t>(after - 1);  // before_[part] < border <= before_[part + 1]
  return (before_[part] + before_[part + 1]) / 2 >= border ? part : part + 1;
}

std::span<const Index> TileSchedule::of(int rank, Index round) const {
  const bool last = rank + 1 == ranks_ && round + 1 == rounds_;
  const std::size_t first = rank == 0 && round == 0 ? 0 : begin(rank, round);
  const std::size_t end = last                  ? parts_.size()
                          : round + 1 < rounds_ ? begin(rank, round + 1)
                                                : begin(rank + 1, 0);
  return std::span(parts_).subspan(first, end - first);
}

double TileSchedule::evaluated(int rank) const {
  double sum = 0;
  for (Index round = 0; round < rounds_; ++round)
    for (const Index part : of(rank, round))
      sum += static_cast<double>(list_.evaluated(list_[part]));
  return sum;
}

double TileSchedule::prepared(int rank) const {
  double sum = 0;
  for (Index round = 0; round < rounds_; ++round)
    sum += static_cast<double>(rows_of(of(rank, round)));
  return sum;
}

Index TileSchedule::rows_of(std::span<const Index> parts) const {
  const auto count = [&](const std::vector<Index>& tiles, Index n) {
    Index sum = 0;
    for (const Index T : tiles) sum += std::min(list_.tile, n - T * list_.tile);
    return sum;
  };
  if (list_.lower) return count(touched(list_, parts, true, true), list_.rows);
  return count(touched(list_, parts, true, false), list_.rows) +
         count(touched(list_, parts, false, true), list_.cols);
}

void TileSchedule::measure() {
  most_rows_ = most_entries_ = 0;
  for (int rank = 0; rank < ranks_; ++rank)
    for (Index round = 0; round < rounds_; ++round) {
      const auto parts = of(rank, round);
      Index entries = 0;
      for (const Index part : parts) entries += list_.entries(list_[part]);
      most_rows_ = std::max(most_rows_, rows_of(parts));
      most_entries_ = std::max(most_entries_, entries);
    }
}

}  // namespace mercer::gram
