#pragma once

#include <span>
#include <vector>

#include "mercer/dist/dist_matrix.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "mercer/spectral/eigenpairs.hpp"

namespace mercer::msk {

/// S of Preconditioner (preconditioner.hpp) on the process grid, where K_g is formed:
/// R + V (c o (V^T R)), c_i = g(lambda_i)/lambda_i - 1. Borrows the eigenvectors: `pairs` must
/// outlive it. Operands are n x m on the grid and block size of V. Collective.
template <class T>
class GridPreconditioner {
 public:
  /// Throws InputError when `spectrum` is not one of these pairs' length.
  GridPreconditioner(const spectral::Eigenpairs<T>& pairs, const ModifiedSpectrum& spectrum);

  /// R <- S R and R <- S^-1 R (c_i replaced by lambda_i/g(lambda_i) - 1; RunError if some g is 0).
  /// 4 n k m flops over the ranks; memory: k x m. Where g is the identity R stays as it is, to the
  /// bit.
  void apply(dist::DistMatrix<T>& R) const;
  void apply_inverse(dist::DistMatrix<T>& R) const;
  /// S as an n x n matrix: for tests and small problems. n^2 k to 2 n^2 k flops.
  dist::DistMatrix<T> dense() const;

 private:
  void add(dist::DistMatrix<T>& R, const std::vector<double>& c) const;
  const spectral::Eigenpairs<T>& pairs_;
  std::vector<double> ratio_;
};

/// A <- A + V diag(c) V^T for the n x n A on V's grid and block size, c of k numbers: by symmetric
/// rank-k updates of the positive and the negative c, in panels of columns of V; both triangles,
/// equal to the bit where A's were. n^2 k flops where c has one sign, up to twice that otherwise.
/// Memory: a panel of at least 512 columns. Collective.
template <class T>
void add_modes(dist::DistMatrix<T>& A, const dist::DistMatrix<T>& V, std::span<const double> c);

/// K_g = K S = K + V diag(g(lambda) - lambda) V^T ([G] Def. 3.1, Thm 3.2), in place of the n x n K
/// (assembled again: the eigensolver destroys it), both triangles. Cost as add_modes. Collective.
template <class T>
void modify(dist::DistMatrix<T>& K, const spectral::Eigenpairs<T>& pairs,
            const ModifiedSpectrum& spectrum);

}  // namespace mercer::msk
