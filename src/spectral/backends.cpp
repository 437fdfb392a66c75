#include "backends.hpp"

#include <algorithm>

#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/la/scalapack.hpp"

namespace mercer::spectral {
namespace {

using dist::DistMatrix;
using dist::GridShape;
using dist::ProcessGrid;

template <class T>
DistMatrix<T> allocate(const ProcessGrid& grid, Index rows, Index cols, Index nb) {
  return comm::together(grid.all(), [&] { return DistMatrix<T>(grid, rows, cols, nb); });
}

/// The first k columns: in a block-cyclic matrix they are at the front of every rank's part. Local
/// except for the allocation.
template <class T>
DistMatrix<T> first_columns(DistMatrix<T>&& V, Index k) {
  if (k == V.cols()) return std::move(V);
  DistMatrix<T> result = allocate<T>(V.grid(), V.rows(), k, V.nb());
  std::copy_n(V.data(), result.local_rows() * result.local_cols(), result.data());
  return result;
}

/// Runs the solver on A's own distribution; the first `k` columns of vectors are returned.
template <class T>
Lowest<T> solve_in_place(DistMatrix<T>&& A, Index count, Index k, bool vectors, Method method) {
  const ProcessGrid& grid = A.grid();
  const Index n = A.rows(), nb = A.nb();
  if (!vectors && method == Method::scalapack)
    return {la::eigenvalues(std::move(A)), DistMatrix<T>(grid, n, 0, nb)};
  if (method == Method::lapack) {
    auto values = comm::together(
        grid.all(), [&] { return grid.active() ? blas::syevd(A.local()) : std::vector<double>(); });
    values.resize(static_cast<std::size_t>(n));
    grid.all().broadcast(std::span<double>(values), 0);
    return {std::move(values), first_columns(std::move(A), vectors ? k : 0)};
  }
  auto V = allocate<T>(grid, n, vectors ? n : 0, nb);
  auto values = [&] {
    if (method == Method::scalapack)
      return takes_syevx(n, count, vectors, grid.rows() * grid.cols())
                 ? la::syevx(std::move(A), 1, count, V)
                 : la::syevd(std::move(A), V);
    const auto stage = method == Method::elpa1 ? la::ElpaStage::one : la::ElpaStage::two;
    return la::elpa(std::move(A), V, vectors ? count : n, stage, vectors);
  }();
  return {std::move(values), first_columns(std::move(V), vectors ? k : 0)};
}

}  // namespace

bool takes_syevx(Index n, Index count, bool vectors, int ranks) {
  return vectors && 8 * count <= n && count * ranks <= n;
}

Placement placement(Method method, Index n, Index nb, GridShape shape) {
  if (n == 0 || method == Method::krylov) return {shape, nb, ""};
  const Index widest = std::max(shape.rows, shape.cols);
  const Index alone = std::min<Index>(64, n);
  if (method == Method::lapack) return {{1, 1}, alone, widest > 1 ? "gathered on one rank" : ""};
  // p?syevd is unsafe with blocks larger than n/(4 q): its workspace query and its small
  // subproblems go wrong. ELPA refuses empty process rows and columns.
  const Index largest =
      method == Method::scalapack ? n / (4 * widest) : (n - 1) / std::max<Index>(1, widest - 1);
  if (widest == 1 || nb <= largest) return {shape, nb, ""};
  const Index safe = n / (4 * widest);
  if (safe >= 8) {
    Index block = 8;
    while (2 * block <= std::min<Index>(64, safe)) block *= 2;
    return {shape, block, fmt::format("redistributed from blocks of {} to {}", nb, block)};
  }
  return {
      {1, 1},
      alone,
      fmt::format("moved to one rank, {} x {} is too wide for n = {}", shape.rows, shape.cols, n)};
}

template <class T>
Lowest<T> solve_lowest(DistMatrix<T>&& A_in, Index count, Index k, bool vectors, Method method,
                       const Placement& place) {
  DistMatrix<T> A = std::move(A_in);
  const ProcessGrid& grid = A.grid();
  const Index n = A.rows(), nb = A.nb();
  if (place.why.empty()) return solve_in_place(std::move(A), count, k, vectors, method);
  const ProcessGrid other(grid.all(), place.shape);
  auto moved = allocate<T>(other, n, n, place.nb);
  dist::copy(A, moved);
  { const DistMatrix<T> freed = std::move(A); }
  auto there = solve_in_place(std::move(moved), count, k, vectors, method);
  auto V = allocate<T>(grid, n, there.vectors.cols(), nb);
  dist::copy(there.vectors, V);
  return {std::move(there.values), std::move(V)};
}

template Lowest<double> solve_lowest(DistMatrix<double>&&, Index, Index, bool, Method,
                                     const Placement&);
template Lowest<float> solve_lowest(DistMatrix<float>&&, Index, Index, bool, Method,
                                    const Placement&);

}  // namespace mercer::spectral
