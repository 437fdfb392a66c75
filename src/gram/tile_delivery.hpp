#pragma once

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "mercer/dist/dist_matrix.hpp"
#include "tile_schedule.hpp"

namespace mercer::gram {

/// Sends evaluated tiles to the ranks that their entries lie on.
template <class T>
class TileDelivery {
 public:
  /// Borrows its arguments.
  TileDelivery(const TileList& list, dist::DistMatrix<T>& K) : list_(list), K_(K) {}

  /// `parts[r]`: the tiles of rank r; `values`: those of this rank, column-major, one behind the
  /// other. Blocks above the diagonal of a lower triangle are left out. Collective. Memory:
  /// `values` twice.
  void send(const std::vector<std::vector<Index>>& parts, std::span<const T> values) {
    const auto& comm = K_.grid().all();
    const auto& mine = parts[static_cast<std::size_t>(comm.rank())];
    std::vector<Index> counts(static_cast<std::size_t>(comm.size()), 0);
    for (const Index part : mine)
      blocks(list_[part], [&](int owner, const Piece& p) {
        counts[static_cast<std::size_t>(owner)] += p.height * p.width;
      });
    std::vector<Index> next(counts.size(), 0);
    std::exclusive_scan(counts.begin(), counts.end(), next.begin(), Index{0});
    RawVector<T> packed(
        static_cast<std::size_t>(std::accumulate(counts.begin(), counts.end(), Index{0})));
    const T* tile = values.data();
    for (const Index part : mine) {
      const Tile& t = list_[part];
      blocks(t, [&](int owner, const Piece& p) {
        Index& to = next[static_cast<std::size_t>(owner)];
        const T* from =
            tile + (p.row - t.I * list_.tile) + (p.column - t.J * list_.tile) * list_.height(t);
        for (Index j = 0; j < p.width; ++j, to += p.height)
          std::copy_n(from + j * list_.height(t), p.height, packed.data() + to);
      });
      tile += list_.entries(t);
    }
    const auto received = comm.template all_to_all<T>(std::span<const T>(packed), counts);
    unpack(parts, received.data());
  }

 private:
  /// A tile's part of a block of K; row and column are global.
  struct Piece {
    Index row, column, height, width;
  };

  /// f(rank that has it, piece) for each block of K that a tile has entries of.
  template <class F>
  void blocks(const Tile& t, F&& f) const {
    const Index nb = K_.nb();
    const Index i0 = t.I * list_.tile, i1 = i0 + list_.height(t);
    const Index j0 = t.J * list_.tile, j1 = j0 + list_.width(t);
    for (Index J = j0 / nb; J * nb < j1; ++J)
      for (Index I = std::max(i0 / nb, list_.lower ? J : 0); I * nb < i1; ++I) {
        const Index row = std::max(i0, I * nb), column = std::max(j0, J * nb);
        const auto owner = K_.grid().rank_at(static_cast<int>(I % K_.grid().rows()),
                                             static_cast<int>(J % K_.grid().cols()));
        f(owner, Piece{row, column, std::min(i1, (I + 1) * nb) - row,
                       std::min(j1, (J + 1) * nb) - column});
      }
  }
  void unpack(const std::vector<std::vector<Index>>& parts, const T* arrived) {
    const int me = K_.grid().all().rank();
    for (const auto& of_rank : parts)
      for (const Index part : of_rank)
        blocks(list_[part], [&](int owner, const Piece& p) {
          if (owner != me) return;
          const Index i = K_.row_map().local(GlobalIndex{p.row}).value;
          const Index j = K_.col_map().local(GlobalIndex{p.column}).value;
          for (Index c = 0; c < p.width; ++c, arrived += p.height)
            std::copy_n(arrived, p.height, K_.data() + i + (j + c) * K_.ld());
        });
  }

  const TileList& list_;
  dist::DistMatrix<T>& K_;
};

}  // namespace mercer::gram
