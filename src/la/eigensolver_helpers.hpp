#pragma once

#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "mercer/la/scalapack.hpp"
#include "scalapack_symbols.hpp"

// What the drivers of ScaLAPACK's eigensolvers share.

namespace mercer::la {

inline constexpr int kOne = 1;
inline constexpr double kLargestInt = std::numeric_limits<int>::max();

/// A workspace length as a 32-bit int, or an error that names the smallest number of ranks.
template <class T>
int workspace_length(double needed, Index n, const char* name) {
  if (needed < kLargestInt) return static_cast<int>(needed);
  throw RunError(
      "{}: n = {} needs a workspace of {:.3g} elements a rank, beyond ScaLAPACK's 32-bit lengths: "
      "use at least {} ranks on a square grid",
      routine<T>(name), n, needed, smallest_ranks_for_syevd(n));
}

template <class T>
std::vector<double> widened(const std::vector<T>& w, Index count) {
  return std::vector<double>(w.begin(), w.begin() + count);
}

template <class T>
void check_shapes(const DistMatrix<T>& A, const DistMatrix<T>* V, const char* name) {
  if (A.rows() != A.cols()) throw InputError("{}: the matrix is not square", name);
  if (V != nullptr && (V->rows() != A.rows() || V->cols() != A.cols() || V->nb() != A.nb() ||
                       &V->grid() != &A.grid()))
    throw InputError("{}: the eigenvectors need the matrix's shape and distribution", name);
}

/// The values of rank 0, which every grid has as (0, 0), on all ranks: the idle ones have none, and
/// p?stedc leaves wrong ones outside process (0, 0) where the matrix lies on that process alone.
inline std::vector<double> on_all_ranks(const dist::ProcessGrid& grid, std::vector<double> values,
                                        Index count) {
  values.resize(static_cast<std::size_t>(count));
  grid.all().broadcast(std::span<double>(values), 0);
  return values;
}

}  // namespace mercer::la
