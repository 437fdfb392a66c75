#pragma once

#include "mercer/gram/assemble.hpp"
#include "tile_schedule.hpp"

namespace mercer::gram {

/// The tiles of k(z_i, x_j), m x n. Local.
TileList tiles_of(const kernel::Kernel& kernel, Index m, Index n, bool lower);

/// K(i, j) = scale k(z_i, x_j) by tiles, see assemble(): all entries, or where `lower` those of the
/// lower triangle, and others in the blocks on the diagonal. Collective.
template <class T>
void fill_by_tiles(const kernel::Kernel& kernel, const RowBlock<double>& Z,
                   const RowBlock<double>& X, DistMatrix<T>& K, double scale, bool lower,
                   const Options& options);

/// Bytes of a prepared row of d inputs, and of its copy in messages. Local.
double bytes_per_row(const kernel::Kernel& kernel, Index d);

}  // namespace mercer::gram
