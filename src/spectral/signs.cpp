#include "mercer/spectral/signs.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace mercer::spectral {
namespace {

/// How near to the largest modulus an entry counts as one of the largest, relative: far above the
/// differences between solvers, so that they all select the same entries.
constexpr double kNear = 1e-3;

/// `row_of(i)`: the global index of local row i, increasing with i. `ranks`: the communicator over
/// which the rows of these columns are distributed.
template <class T, class Rows>
void fix_signs_of(const comm::Communicator& ranks, MatrixView<T> V, Rows&& row_of) {
  std::vector<double> largest(static_cast<std::size_t>(V.cols), 0.0);
  for (Index j = 0; j < V.cols; ++j)
    for (Index i = 0; i < V.rows; ++i)
      largest[static_cast<std::size_t>(j)] =
          std::max(largest[static_cast<std::size_t>(j)], std::abs(static_cast<double>(V(i, j))));
  ranks.all_reduce(std::span<double>(largest), comm::Op::max);

  // The lowest row with its sign: 2 row, + 1 where the entry is negative.
  std::vector<std::int64_t> first(largest.size(), std::numeric_limits<std::int64_t>::max());
  for (Index j = 0; j < V.cols; ++j) {
    const double least = (1 - kNear) * largest[static_cast<std::size_t>(j)];
    Index i = 0;
    while (i < V.rows && !(std::abs(static_cast<double>(V(i, j))) >= least)) ++i;
    if (i < V.rows) first[static_cast<std::size_t>(j)] = 2 * row_of(i) + (V(i, j) < 0 ? 1 : 0);
  }
  ranks.all_reduce(std::span<std::int64_t>(first), comm::Op::min);

  for (Index j = 0; j < V.cols; ++j) {
    const auto key = first[static_cast<std::size_t>(j)];
    if (key == std::numeric_limits<std::int64_t>::max() || key % 2 == 0) continue;
    for (Index i = 0; i < V.rows; ++i) V(i, j) = -V(i, j);
  }
}

}  // namespace

template <class T>
void fix_signs(dist::DistMatrix<T>& V) {
  if (!V.grid().active()) return;
  fix_signs_of(V.grid().col_comm(), V.local(),
               [&](Index i) { return V.row_map().global({i}).value; });
}

void fix_signs(const comm::Communicator& comm, Index first_row, MatrixView<double> V) {
  fix_signs_of(comm, V, [&](Index i) { return first_row + i; });
}

template void fix_signs(dist::DistMatrix<double>&);
template void fix_signs(dist::DistMatrix<float>&);

}  // namespace mercer::spectral
