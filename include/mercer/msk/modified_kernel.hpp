#pragma once

#include <span>
#include <vector>

#include "mercer/dist/dist_matrix.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "mercer/spectral/eigenpairs.hpp"

namespace mercer::msk {

/// The S of Preconditioner (preconditioner.hpp, [G] eq. 14) for matrices on the process grid:
/// S R = R + V (c o (V^T R)), c_i = g(lambda_i)/lambda_i - 1. Borrows the eigenvectors: `pairs`
/// must outlive it. Operands are n x m on the grid and block size of V. All calls are collective.
template <class T>
class GridPreconditioner {
 public:
  /// Throws InputError where `spectrum` does not have as many values as there are pairs.
  GridPreconditioner(const spectral::Eigenpairs<T>& pairs, const ModifiedSpectrum& spectrum);

  /// R <- S R and R <- S^-1 R (c_i replaced by lambda_i/g(lambda_i) - 1; RunError if some g is 0).
  /// 4 n k m flops over the ranks; memory: k x m. Where g is the identity, R is not touched.
  void apply(dist::DistMatrix<T>& R) const;
  void apply_inverse(dist::DistMatrix<T>& R) const;
  /// R <- R S for R m x n. 4 n k m flops over the ranks; memory: m x k. Where g is the identity, R is
  /// not touched.
  void apply_right(dist::DistMatrix<T>& R) const;
  /// S as an n x n matrix: for tests and small problems. n^2 k to 2 n^2 k flops.
  dist::DistMatrix<T> dense() const;

 private:
  void add(dist::DistMatrix<T>& R, const std::vector<double>& c) const;
  const spectral::Eigenpairs<T>& pairs_;
  std::vector<double> ratio_;
};

/// A <- A + V diag(c) V^T for the n x n symmetric A on V's grid and block size, V n x k, c of k
/// numbers. Symmetric rank-k updates of A's lower triangle, one for the positive and one for the
/// negative c of each panel of columns of V; the upper triangle is then its mirror, to the bit.
/// c = 0 leaves A as it is. n^2 k flops where c has one sign, up to twice that otherwise. Memory: a
/// panel of V, 512 columns rounded up to a multiple of nb x process columns. Collective.
template <class T>
void add_modes(dist::DistMatrix<T>& A, const dist::DistMatrix<T>& V, std::span<const double> c);

/// K <- K_g = K S = K + V diag(g(lambda) - lambda) V^T ([G] Def. 3.1, Thm 3.2). K is n x n, both
/// triangles, assembled again because the eigensolver destroyed it. Cost as add_modes(). Throws
/// InputError where `spectrum` does not have as many values as there are pairs. Collective.
template <class T>
void modify(dist::DistMatrix<T>& K, const spectral::Eigenpairs<T>& pairs,
            const ModifiedSpectrum& spectrum);

}  // namespace mercer::msk
