#pragma once

#include <span>
#include <string>
#include <vector>

#include "mercer/blas/blas.hpp"
#include "mercer/dist/dist_matrix.hpp"

/// ScaLAPACK and PBLAS on Mercer's distributed matrices. Unless it says local, a call is collective
/// over the grid's all() ranks (idle ranks return at once, or take part in the agreement on
/// errors). T = double or float. All operands of a call must be on one grid with one block size and
/// have matching shapes: InputError otherwise. A routine that fails: RunError with its name and
/// INFO, on all ranks. An argument that ScaLAPACK rejects reaches Mercer's own pxerbla, which ends
/// the run (ScaLAPACK's prints a line and continues with wrong results).
namespace mercer::la {

using blas::Trans;
using dist::DistMatrix;

/// ScaLAPACK's version as pkg-config gave it when Mercer was configured: the library itself has no
/// call for it. Local.
std::string scalapack_version();

/// C <- alpha op(A) op(B) + beta C (p?gemm); 2 m n k flops.
template <class T>
void gemm(Trans ta, Trans tb, T alpha, const DistMatrix<T>& A, const DistMatrix<T>& B, T beta,
          DistMatrix<T>& C);
/// C <- alpha A A^T + beta C, lower triangle (p?syrk); n^2 k flops.
template <class T>
void syrk_lower(T alpha, const DistMatrix<T>& A, T beta, DistMatrix<T>& C);
/// C <- alpha A B + beta C, A symmetric with both triangles stored (p?symm on the lower one).
template <class T>
void symm(T alpha, const DistMatrix<T>& A, const DistMatrix<T>& B, T beta, DistMatrix<T>& C);

/// A(:, j) <- scale[j] A(:, j); `scale` has one entry for each global column. Local.
template <class T>
void scale_columns(DistMatrix<T>& A, std::span<const double> scale);
/// A(i, i) += shift. Local.
template <class T>
void shift_diagonal(DistMatrix<T>& A, double shift);
/// sum_i A(i, i), summed in double; the same bits on every rank.
template <class T>
double trace(const DistMatrix<T>& A);
/// sqrt(sum A_ij^2), summed in double; the same bits on every rank.
template <class T>
double frobenius_norm(const DistMatrix<T>& A);
/// The dot products sum_i A_ij B_ij of the columns j, summed in double, on all ranks (B = A: the
/// squared norms).
template <class T>
std::vector<double> column_dots(const DistMatrix<T>& A, const DistMatrix<T>& B);

/// Cholesky factor L (lower triangle, in place) of a symmetric positive definite A: A = L L^T
/// (p?potrf); n^3/3 flops. Returns 0, or the order of the leading minor that is not positive
/// definite; then A is undefined, and the caller chooses the message.
template <class T>
Index cholesky(DistMatrix<T>& A);
/// B <- A^-1 B with the factor L of cholesky(), B n x c (p?potrs); 2 n^2 c flops.
template <class T>
void cholesky_solve(const DistMatrix<T>& L, DistMatrix<T>& B);
/// An estimate of the smallest eigenvalue of A = L L^T, from above: `steps` steps of inverse
/// iteration from a fixed random vector, 2 n^2 flops each.
template <class T>
double smallest_eigenvalue(const DistMatrix<T>& L, int steps = 8);

/// All eigenpairs, ascending, by divide and conquer: p?syevd in its three steps, p?sytrd, p?stedc
/// and p?ormtr. A is destroyed (only its lower triangle is read); V is n x n, distributed as A; the
/// values are returned on all ranks. The workspaces that ScaLAPACK 2.2 asks for are too small when
/// n is not much larger than nb x grid (a hang, or wrong vectors with INFO = 0: Reference-ScaLAPACK
/// #74): each gets nb (4 nb + np + nq) + 10 n elements more, for np x nq local elements. Their
/// length is a 32-bit int: a local matrix of more than about 1.07e9 entries is refused with a
/// RunError before the reduction, which names the smallest number of ranks that suffices. Memory:
/// at most 3.5 n^2/P elements, during p?stedc: V, its workspace of two matrices (on a single rank
/// only one of them is touched), and half a matrix of reflectors, into which A was packed; and
/// panels of nb (np + nq).
template <class T>
std::vector<double> syevd(DistMatrix<T>&& A, DistMatrix<T>& V);
/// The smallest P for which the length of p?stedc's workspace, about 2 n^2/P elements, fits in 32
/// bits: ceil((n/32 700)^2). Local.
Index smallest_ranks_for_syevd(Index n);
/// Eigenpairs first ... last (1-based, ascending order, both included), their vectors into the
/// first columns of V (p?syevx). A is destroyed, V is n x n; the values are returned on all ranks.
/// Memory besides: for k = last - first + 1 pairs, k n elements on every rank, in case they form
/// one cluster that must be reorthogonalised. Throws InputError (indices), RunError if a pair did
/// not converge, a cluster was not reorthogonalised, or a workspace length exceeds 32 bits.
/// (p?syevr is not offered: for small k it returns orthonormal vectors that are no eigenvectors,
/// with INFO = 0.)
template <class T>
std::vector<double> syevx(DistMatrix<T>&& A, Index first, Index last, DistMatrix<T>& V);
/// All eigenvalues without vectors, ascending, on all ranks (p?syev). A is destroyed.
template <class T>
std::vector<double> eigenvalues(DistMatrix<T>&& A);

}  // namespace mercer::la
