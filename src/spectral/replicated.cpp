#include "mercer/spectral/replicated.hpp"

#include <algorithm>
#include <cmath>

#include "backends.hpp"
#include "mercer/base/error.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/spectral/cost.hpp"

namespace mercer::spectral {
namespace {

constexpr Index kShare = 256;  // least rows and columns of a rank's share

/// The most nearly square grid of at most `ranks` whose shares have at least kShare rows and
/// columns.
dist::GridShape useful_shape(Index m, int ranks) {
  const int widest = static_cast<int>(std::clamp<Index>(m / kShare, 1, ranks));
  const int rows = std::clamp(static_cast<int>(std::sqrt(static_cast<double>(ranks))), 1, widest);
  return {rows, std::min(ranks / rows, widest)};
}

Matrix<double> copy_of(MatrixView<const double> A) {
  Matrix<double> result(A.rows, A.cols);
  for (Index j = 0; j < A.cols; ++j) std::copy_n(A.column(j), A.rows, result.column(j));
  return result;
}

ReplicatedPairs on_rank_0(const comm::Communicator& comm, MatrixView<const double> T) {
  ReplicatedPairs pairs{std::vector<double>(static_cast<std::size_t>(T.rows)), {}};
  comm::together(comm, [&] {
    if (!comm.root()) return;
    pairs.vectors = copy_of(T);
    pairs.values = blas::syevd(pairs.vectors.view());
  });
  comm.broadcast(std::span<double>(pairs.values), 0);
  return pairs;
}

ReplicatedPairs distributed(const comm::Communicator& comm, MatrixView<const double> T,
                            dist::GridShape shape) {
  const Index m = T.rows;
  const dist::ProcessGrid grid(comm, shape);
  const Index nb = recommended_block(m, shape);
  auto A = comm::together(comm, [&] { return dist::DistMatrix<double>(grid, m, m, nb); });
  A.fill([&](Index i, Index j) { return i >= j ? T(i, j) : T(j, i); });
  const Method method = choose(m, m, true, shape, false).method;
  auto lowest = solve_lowest(std::move(A), m, m, true, method, placement(method, m, nb, shape));

  const dist::ProcessGrid one(comm, {1, 1});
  auto V = comm::together(comm, [&] { return dist::DistMatrix<double>(one, m, m, m); });
  dist::copy(lowest.vectors, V);
  ReplicatedPairs pairs{std::move(lowest.values), {}};
  pairs.values.resize(static_cast<std::size_t>(m));
  comm.broadcast(std::span<double>(pairs.values), 0);
  comm::together(comm, [&] {
    if (comm.root()) pairs.vectors = copy_of(V.local());
  });
  return pairs;
}

}  // namespace

int replicated_ranks(Index m, int ranks) {
  const dist::GridShape shape = useful_shape(m, ranks);
  return shape.rows * shape.cols;
}

ReplicatedPairs replicated_eigenpairs(const comm::Communicator& comm, MatrixView<const double> T) {
  comm::together(comm, [&] {
    for (Index j = 0; j < T.cols; ++j)
      for (Index i = 0; i < T.rows; ++i)
        if (!std::isfinite(T(i, j)))
          throw RunError("the matrix of a dense eigenproblem ({} x {}) is not finite", T.rows,
                         T.cols);
  });
  const dist::GridShape shape = useful_shape(T.rows, comm.size());
  return shape == dist::GridShape{1, 1} ? on_rank_0(comm, T) : distributed(comm, T, shape);
}

}  // namespace mercer::spectral
