#pragma once

#include <span>
#include <vector>

#include "mercer/gram/source.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "mercer/spectral/krylov.hpp"

/// Eigenfunctions of the integral operator (T f)(z) = E_x k(z, x) f(x) of the distribution that the
/// rows are drawn from, by the Nystrom extension of the eigenvectors of K = k/n ([B] 2.3).
namespace mercer::spectral {

using dist::RowBlock;

/// Values of all pairs' functions for the rows Z (m x d),
///     phi_i(z) = (1/(sqrt(n) lambda_i)) sum_j k(z, x_j) V_ji,
/// m x k by rows as Z. On a training row this is sqrt(n) V_ji; over new rows they are orthonormal,
/// (1/m) sum phi_i phi_j = delta_ij, up to the sampling of both sets. For equal eigenvalues they
/// are the basis of their space that the solver happened to choose. k(Z, X), m n/P entries a rank,
/// is never stored: cost and memory of gram::apply_cross() for k columns, and V by rows.
/// Collective. Throws InputError as gram::apply_cross(), for pairs without vectors, and for an
/// eigenvalue that is no larger than its error, n eps lambda_1 and twice the residual: give fewer
/// pairs.
template <class T>
RowBlock<double> eigenfunctions(const gram::Source& kernel, const RowBlock<double>& Z,
                                const RowBlock<double>& X, const Eigenpairs<T>& pairs,
                                const gram::Options& options = {});

/// The same for the pairs `which` (from 1) alone, of pairs by rows as X. Collective. Throws
/// InputError as above, and for a number beyond the pairs.
RowBlock<double> eigenfunctions(const gram::Source& kernel, const RowBlock<double>& Z,
                                const RowBlock<double>& X, const TopPairs& pairs,
                                std::span<const Index> which, const gram::Options& options = {});

/// Eigenvalues i = first ... first + size - 1 that count as equal.
struct Space {
  Index first = 0, size = 1;
};
/// The eigenvalues of the pairs as spaces: neighbours that differ by no more than `resolution`
/// lambda_1 are in one. Local.
std::vector<Space> spaces(std::span<const double> values, double resolution);

/// The Gram matrix G = (1/m) Phi^T Phi of functions, which is the identity where they are
/// orthonormal, and the standard error of every entry by the sampling of the rows, from the
/// variance of phi_i phi_j over them. k x k on the grid.
struct FunctionGram {
  dist::DistMatrix<double> G, error;
};
/// Phi: m x k by rows over the grid's all() ranks. 4 m k^2 flops; memory: two m x k matrices on the
/// grid and the result. Collective. Throws InputError for less than two rows.
FunctionGram gram_of_functions(const RowBlock<double>& Phi, const dist::ProcessGrid& grid,
                               Index nb);

/// How far the functions of a space are from orthonormal, in numbers that do not depend on its
/// basis; each with its standard error by sampling, under which an exact space would have about
/// that much.
struct SpaceCheck {
  Space space{};
  double square = 0;                          ///< mean of phi^2: tr(G_CC)/size
  double deviation = 0, deviation_error = 0;  ///< |G_CC - I|_F
  double mixing = 0, mixing_error = 0;        ///< |G_CD|_F with all other functions
};
/// One for each space. Collective.
std::vector<SpaceCheck> check_spaces(const FunctionGram& gram, std::span<const Space> spaces);

}  // namespace mercer::spectral
