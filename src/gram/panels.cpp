#include "panels.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <span>

#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"

namespace mercer::gram {

void Panels::keep_only(const std::vector<Index>& tiles) {
  for (Index T = 0; T < grid_.tiles(); ++T)
    if (!std::ranges::binary_search(tiles, T)) rows_[static_cast<std::size_t>(T)].reset();
}

void Panels::hold(const std::vector<Index>& tiles) {
  keep_only(tiles);
  std::vector<Index> missing;
  for (const Index T : tiles)
    if (!rows_[static_cast<std::size_t>(T)]) missing.push_back(T);
  const auto& comm = X_.comm();
  const Index mine = std::ssize(missing), rounds = comm.all_reduce(mine, comm::Op::max);
  // Each rank begins at another place of its list, so that not all ask the same owner at once.
  const Index first = mine * comm.rank() / comm.size();
  for (Index round = 0; round < rounds; ++round) {
    const Index T = round < mine ? missing[static_cast<std::size_t>((first + round) % mine)] : -1;
    std::vector<Index> wanted(static_cast<std::size_t>(T < 0 ? 0 : grid_.size(T)));
    if (T >= 0) std::iota(wanted.begin(), wanted.end(), grid_.begin(T));
    Matrix<double> x = dist::fetch_rows<double>(X_, wanted);
    comm::together(comm, [&] {
      if (T >= 0) rows_[static_cast<std::size_t>(T)] = prepare(kernel_, std::move(x), names(T));
    });
  }
}

void evaluate(const kernel::Kernel& kernel, const NamedRows& x, const NamedRows& z,
              MatrixView<double> out, const std::function<bool()>& interrupted) {
  const Index n = out.rows, narrow = columns_at_once(kernel, n, 128);
  if (&x.rows != &z.rows) {
    const Index strip = columns_at_once(kernel, n, interrupted ? narrow : out.cols);
    for (Index j = 0; j < out.cols; j += strip) {
      give_up_if(interrupted);
      evaluate_tile(kernel, x, 0, z, j, out.block(0, j, n, std::min(strip, out.cols - j)));
    }
    return;
  }
  for (Index j = 0; j < n; j += narrow) {
    give_up_if(interrupted);
    const Index w = std::min(narrow, n - j);
    evaluate_tile(kernel, x, j, x, j, out.block(j, j, n - j, w));
    for (Index c = j; c < j + w; ++c)
      for (Index r = c + 1; r < n; ++r) out(c, r) = out(r, c);
  }
}

std::vector<Step> steps(const TileGrid& grid, const std::vector<Tile>& visited, Index row_cycles,
                        Index col_cycles) {
  // Cycles begin at multiples of the process count, folded or not: all ranks cut at the same tiles.
  const Index rows_a_step = row_cycles * grid.shape.rows,
              cols_a_step = col_cycles * grid.shape.cols;
  std::vector<Step> result;
  std::vector<std::size_t> first;  // step of each group of rows
  for (Index top = 0; top < grid.tiles(); top += rows_a_step) {
    first.push_back(result.size());
    const Index columns = std::min(grid.tiles(), top + rows_a_step);
    result.resize(result.size() + static_cast<std::size_t>(ceil_div(columns, cols_a_step)));
  }
  first.push_back(result.size());
  std::vector<bool> visits(static_cast<std::size_t>(grid.tiles()), false);  // a tile row
  for (const Tile& t : visited) {
    visits[static_cast<std::size_t>(t.I)] = true;
    Step& step = result[first[static_cast<std::size_t>(t.I / rows_a_step)] +
                        static_cast<std::size_t>(t.J / cols_a_step)];
    if (step.hold.empty() || step.hold.back() != t.J) step.hold.push_back(t.J);  // ascending
    step.tiles.push_back(t);
  }
  for (std::size_t group = 0; group + 1 < first.size(); ++group) {
    std::vector<Index> rows;  // held for the whole group
    const Index top = static_cast<Index>(group) * rows_a_step;
    for (Index I = top; I < std::min(grid.tiles(), top + rows_a_step); ++I)
      if (visits[static_cast<std::size_t>(I)]) rows.push_back(I);
    for (std::size_t s = first[group]; s < first[group + 1]; ++s) {
      std::vector<Index> hold;
      std::ranges::set_union(rows, result[s].hold, std::back_inserter(hold));
      result[s].hold = std::move(hold);
    }
  }
  return result;
}

void for_holds(const TileGrid& grid, int rank, Tile first, Index row_cycles, Index col_cycles,
               const std::function<void(const std::vector<Index>&)>& f) {
  const auto rows = grid.tile_rows(rank), cols = grid.tile_cols(rank);
  const auto within = [](const std::vector<Index>& of, Index begin, Index end) {
    return std::span<const Index>(std::ranges::lower_bound(of, begin),
                                  std::ranges::lower_bound(of, end));
  };
  // Whether the rank has a tile of row I, or of column J down to the row `last`, from `first` on.
  const auto visits_row = [&](Index I) {
    const auto J = std::ranges::upper_bound(cols, I);
    if (J == cols.begin()) return false;
    return *std::prev(J) > first.J || (*std::prev(J) == first.J && I >= first.I);
  };
  const auto visits_column = [&](Index J, Index last) {
    return last >= J && (J > first.J || (J == first.J && last >= first.I));
  };
  const Index rows_a_step = row_cycles * grid.shape.rows,
              cols_a_step = col_cycles * grid.shape.cols;
  for (Index top = 0; top < grid.tiles(); top += rows_a_step) {
    std::vector<Index> held;
    const auto group = within(rows, top, top + rows_a_step);
    std::ranges::copy_if(group, std::back_inserter(held), visits_row);
    const Index last = group.empty() ? -1 : group.back();
    for (Index left = 0; left < std::min(grid.tiles(), top + rows_a_step); left += cols_a_step) {
      std::vector<Index> columns, hold;
      std::ranges::copy_if(within(cols, left, left + cols_a_step), std::back_inserter(columns),
                           [&](Index J) { return visits_column(J, last); });
      std::ranges::set_union(held, columns, std::back_inserter(hold));
      f(hold);
    }
  }
}

}  // namespace mercer::gram
