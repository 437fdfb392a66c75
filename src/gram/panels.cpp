#include "panels.hpp"

#include <algorithm>
#include <numeric>

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
  constexpr Index kStrip = 128;
  const Index n = out.rows;
  if (&x.rows != &z.rows) {
    const Index strip = interrupted ? kStrip : out.cols;
    for (Index j = 0; j < out.cols; j += strip) {
      give_up_if(interrupted);
      evaluate_tile(kernel, x, 0, z, j, out.block(0, j, n, std::min(strip, out.cols - j)));
    }
    return;
  }
  for (Index j = 0; j < n; j += kStrip) {
    give_up_if(interrupted);
    const Index w = std::min(kStrip, n - j);
    evaluate_tile(kernel, x, j, x, j, out.block(j, j, n - j, w));
    for (Index c = j; c < j + w; ++c)
      for (Index r = c + 1; r < n; ++r) out(c, r) = out(r, c);
  }
}

std::vector<Step> steps(const TileGrid& grid, const std::vector<Tile>& visited, Index row_cycles,
                        Index col_cycles) {
  const Index rows_a_step = row_cycles * grid.shape.rows,
              cols_a_step = col_cycles * grid.shape.cols;
  std::vector<Step> result;
  for (Index top = 0; top < grid.tiles(); top += rows_a_step)
    for (Index left = 0; left < std::min(grid.tiles(), top + rows_a_step); left += cols_a_step) {
      // Cycles begin at multiples of the process count, folded or not: all ranks cut at the same
      // tiles.
      Step& step = result.emplace_back();
      std::vector<Index>& hold = step.hold;
      for (const Tile& t : visited)
        if (t.I >= top && t.I < top + rows_a_step) {
          hold.push_back(t.I);  // for the whole group of rows
          if (t.J >= left && t.J < left + cols_a_step) {
            hold.push_back(t.J);
            step.tiles.push_back(t);
          }
        }
      std::ranges::sort(hold);
      hold.erase(std::unique(hold.begin(), hold.end()), hold.end());
    }
  return result;
}

}  // namespace mercer::gram
