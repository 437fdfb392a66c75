#include "mercer/spectral/eigenfunctions.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mercer/base/error.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/la/scalapack.hpp"

namespace mercer::spectral {

using dist::DistMatrix;

namespace {

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

/// Throws InputError unless lambda_(i+1) of K, n x n, is larger than its error.
void require_eigenvalue(const std::vector<double>& values, const std::vector<double>& residuals,
                        Index n, Index i, double epsilon, const char* field) {
  if (i >= std::ssize(values))
    throw InputError("eigenfunction {}: there are {} eigenpairs", i + 1, values.size());
  const double residual = at(i) < residuals.size() ? residuals[at(i)] : 0;
  const double error = std::max(epsilon * static_cast<double>(n), 2 * residual) * values.front();
  if (!(values[at(i)] > error))
    throw InputError(
        "eigenfunction {}: lambda_{} = {:.2g} is no larger than its error, {:.2g}: give `{}` {}",
        i + 1, i + 1, values[at(i)], error, field, i > 0 ? fmt::format("up to {}", i) : "none");
}

template <class T>
void require_eigenvalues(const Eigenpairs<T>& pairs) {
  if (pairs.vectors.cols() < pairs.k() || pairs.k() == 0)
    throw InputError("eigenfunctions need eigenvectors, and these pairs have none");
  for (Index i = 0; i < pairs.k(); ++i)
    require_eigenvalue(pairs.values, pairs.residuals, pairs.n(), i,
                       std::numeric_limits<T>::epsilon(), "top");
}

/// The eigenvectors by rows, in double.
template <class T>
RowBlock<double> by_rows(const DistMatrix<T>& V, Index k, const comm::Communicator& comm) {
  RowBlock<T> rows(comm, V.rows(), V.cols());
  dist::copy(V, rows);
  RowBlock<double> result(comm, V.rows(), k);
  for (Index i = 0; i < result.local_rows(); ++i)
    std::copy_n(rows.row(i).begin(), k, result.row(i).begin());
  return result;
}

}  // namespace

RowBlock<double> eigenfunctions(const gram::Source& kernel, const RowBlock<double>& Z,
                                const RowBlock<double>& X, const TopPairs& pairs,
                                std::span<const Index> which, const gram::Options& options) {
  RowBlock<double> V(X.comm(), X.rows(), std::ssize(which));
  for (Index j = 0; j < V.cols(); ++j) {
    const Index i = which[at(j)] - 1;
    require_eigenvalue(pairs.values, pairs.residuals, pairs.n, i,
                       std::numeric_limits<double>::epsilon(), "eigenfunctions");
    for (Index row = 0; row < V.local_rows(); ++row) V.row(row)[at(j)] = pairs.vectors(row, i);
  }
  auto phi = gram::apply_cross(kernel, Z, X, V, options);
  const double root = std::sqrt(static_cast<double>(pairs.n));
  for (Index row = 0; row < phi.local_rows(); ++row)
    for (Index j = 0; j < phi.cols(); ++j)
      phi.row(row)[at(j)] *= root / pairs.values[at(which[at(j)] - 1)];
  return phi;
}

template <class T>
RowBlock<double> eigenfunctions(const gram::Source& kernel, const RowBlock<double>& Z,
                                const RowBlock<double>& X, const Eigenpairs<T>& pairs,
                                const gram::Options& options) {
  require_eigenvalues(pairs);
  const Index k = pairs.k();
  auto phi = gram::apply_cross(kernel, Z, X, by_rows(pairs.vectors, k, X.comm()), options);
  const double root = std::sqrt(static_cast<double>(pairs.n()));
  for (Index i = 0; i < phi.local_rows(); ++i)
    for (Index j = 0; j < k; ++j) phi.row(i)[at(j)] *= root / pairs.values[at(j)];
  return phi;
}

std::vector<Space> spaces(std::span<const double> values, double resolution) {
  std::vector<Space> all;
  for (Index i = 0; i < std::ssize(values); ++i) {
    const bool equal = i > 0 && values[at(i - 1)] - values[at(i)] <= resolution * values.front();
    if (equal)
      ++all.back().size;
    else
      all.push_back({.first = i});
  }
  return all;
}

FunctionGram gram_of_functions(const RowBlock<double>& Phi, const dist::ProcessGrid& grid,
                               Index nb) {
  const Index m = Phi.rows(), k = Phi.cols();
  if (m < 2)
    throw InputError("the Gram matrix of functions needs at least 2 rows, there are {}", m);
  DistMatrix<double> A(grid, m, k, nb), G(grid, k, k, nb), error(grid, k, k, nb);
  dist::copy(Phi, A);
  const double mean = 1 / static_cast<double>(m);
  la::gemm<double>(blas::Trans::yes, blas::Trans::no, mean, A, A, 0.0, G);
  for (Index j = 0; j < A.local_cols(); ++j)
    for (Index i = 0; i < A.local_rows(); ++i) A.local()(i, j) *= A.local()(i, j);
  la::gemm<double>(blas::Trans::yes, blas::Trans::no, mean, A, A, 0.0, error);
  for (Index j = 0; j < G.local_cols(); ++j)
    for (Index i = 0; i < G.local_rows(); ++i) {
      const double g = G.local()(i, j), square = error.local()(i, j);
      error.local()(i, j) = std::sqrt(std::max(0.0, square - g * g) / static_cast<double>(m - 1));
    }
  return {std::move(G), std::move(error)};
}

std::vector<SpaceCheck> check_spaces(const FunctionGram& gram, std::span<const Space> spaces) {
  const auto& G = gram.G;
  std::vector<std::size_t> of;  // the space of each function
  for (std::size_t s = 0; s < spaces.size(); ++s) of.insert(of.end(), at(spaces[s].size), s);
  if (std::ssize(of) != G.cols())
    throw InputError("spaces of {} functions for a Gram matrix of {}", of.size(), G.cols());
  constexpr std::size_t kSums = 5;  // trace, and squares: within, their errors, across, theirs
  std::vector<double> sums(kSums * spaces.size(), 0.0);
  for (Index j = 0; j < G.local_cols(); ++j)
    for (Index i = 0; i < G.local_rows(); ++i) {
      const Index row = G.row_map().global({i}).value, column = G.col_map().global({j}).value;
      double* const sum = sums.data() + kSums * of[at(row)];
      const double g = G.local()(i, j), error = gram.error.local()(i, j);
      const bool within = of[at(row)] == of[at(column)];
      if (row == column) sum[0] += g;
      sum[within ? 1 : 3] += std::pow(g - (row == column ? 1 : 0), 2);
      sum[within ? 2 : 4] += error * error;
    }
  G.grid().all().all_reduce(std::span<double>(sums), comm::Op::sum);
  std::vector<SpaceCheck> checks;
  for (std::size_t s = 0; s < spaces.size(); ++s) {
    const double* const sum = sums.data() + kSums * s;
    checks.push_back({.space = spaces[s],
                      .square = sum[0] / static_cast<double>(spaces[s].size),
                      .deviation = std::sqrt(sum[1]),
                      .deviation_error = std::sqrt(sum[2]),
                      .mixing = std::sqrt(sum[3]),
                      .mixing_error = std::sqrt(sum[4])});
  }
  return checks;
}

template RowBlock<double> eigenfunctions(const gram::Source&, const RowBlock<double>&,
                                         const RowBlock<double>&, const Eigenpairs<double>&,
                                         const gram::Options&);
template RowBlock<double> eigenfunctions(const gram::Source&, const RowBlock<double>&,
                                         const RowBlock<double>&, const Eigenpairs<float>&,
                                         const gram::Options&);

}  // namespace mercer::spectral
