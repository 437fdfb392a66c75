#pragma once

#include <vector>

#include "mercer/dist/process_grid.hpp"

namespace mercer::test {

/// Every grid shape that the distributed tests try on `ranks` ranks: 1xP, Px1, the shapes between,
/// and, from two ranks on, shapes that leave ranks idle (1x1; 2x2 on more than 4).
inline std::vector<dist::GridShape> grid_shapes(int ranks) {
  std::vector<dist::GridShape> shapes;
  for (int rows = 1; rows <= ranks; ++rows)
    if (ranks % rows == 0) shapes.push_back({rows, ranks / rows});
  if (ranks > 1) shapes.push_back({1, 1});
  if (ranks > 4) shapes.push_back({2, 2});
  return shapes;
}

/// Sizes that meet every corner of the index arithmetic for block size nb.
inline std::vector<Index> awkward_sizes(Index nb) {
  return {0, 1, nb - 1, nb, nb + 1, 2 * nb, 3 * nb + 1, 7 * nb - 2};
}

}  // namespace mercer::test
