#pragma once

#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mercer/la/scalapack.hpp"
#include "scalapack_symbols.hpp"

// Shared by the wrappers of ScaLAPACK's eigensolvers.

namespace mercer::la {

inline constexpr int kOne = 1;
inline constexpr double kLargestInt = std::numeric_limits<int>::max();

/// A workspace length as a 32-bit int. Throws RunError with the remedy: more ranks, but for p?syevx,
/// whose workspace of n numbers for every eigenvector is that of one rank.
template <class T>
int workspace_length(double needed, Index n, const std::string& name) {
  if (needed < kLargestInt) return static_cast<int>(needed);
  const std::string remedy = name == "syevx" ? std::string("take fewer pairs, or another solver")
                                             : fmt::format("use at least {} ranks on a square grid",
                                                           smallest_ranks_for_syevd(n));
  throw RunError(
      "{}: n = {} needs a workspace of {:.3g} elements a rank, beyond ScaLAPACK's 32-bit lengths: "
      "{}",
      routine<T>(name.c_str()), n, needed, remedy);
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

/// The first `count` values of rank 0, which is process (0, 0) of every grid, on all ranks: idle
/// ranks have none, and p?stedc leaves wrong ones on the other processes where the whole matrix
/// lies on process (0, 0). Collective.
inline std::vector<double> on_all_ranks(const dist::ProcessGrid& grid, std::vector<double> values,
                                        Index count) {
  values.resize(static_cast<std::size_t>(count));
  grid.all().broadcast(std::span<double>(values), 0);
  return values;
}

}  // namespace mercer::la
