#pragma once

#include <span>
#include <string>
#include <vector>

#include "mercer/blas/blas.hpp"
#include "mercer/dist/dist_matrix.hpp"

/// ScaLAPACK and PBLAS on Mercer's distributed matrices. Every call is collective over the grid's
/// all() ranks (idle ranks return at once, or take part in the agreement on errors); T = double or
/// float. All operands live on the same grid with the same block size. Errors: RunError with the
/// routine's name and its INFO on all ranks; a wrong argument reaches Mercer's own pxerbla, which
/// ends the run (ScaLAPACK's prints and continues with garbage).
namespace mercer::la {

using blas::Trans;
using dist::DistMatrix;

/// ScaLAPACK's version as pkg-config gave it when Mercer was configured: the library tells none.
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

/// A(:, j) <- A(:, j) * scale[j]. Local on each rank; `scale` has one entry per global column.
template <class T>
void scale_columns(DistMatrix<T>& A, std::span<const double> scale);
/// A(i, i) += shift. Local.
template <class T>
void shift_diagonal(DistMatrix<T>& A, double shift);
/// sum_i A(i, i), the same bits on every rank.
template <class T>
double trace(const DistMatrix<T>& A);
/// sqrt(sum A_ij^2).
template <class T>
double frobenius_norm(const DistMatrix<T>& A);
/// Squared 2-norm of every column / sum over rows of A o B by column, on all ranks.
template <class T>
std::vector<double> column_dots(const DistMatrix<T>& A, const DistMatrix<T>& B);

/// Cholesky factor L (lower triangle, in place) of a symmetric positive definite A: A = L L^T
/// (p?potrf); n^3/3 flops. Returns 0, or the order of the leading minor that is not positive
/// definite (then A is undefined): the caller knows what to suggest.
template <class T>
Index cholesky(DistMatrix<T>& A);
/// B <- A^-1 B with the factor of cholesky() (p?potrs); 2 n^2 c flops.
template <class T>
void cholesky_solve(const DistMatrix<T>& L, DistMatrix<T>& B);
/// An estimate of the smallest eigenvalue of A = L L^T by a few steps of inverse iteration.
template <class T>
double smallest_eigenvalue(const DistMatrix<T>& L, int steps = 8);

/// All eigenpairs, ascending, by divide and conquer: p?syevd in its three steps, p?sytrd, p?stedc
/// and p?ormtr. A is destroyed (its lower triangle is read), V is n x n. The workspaces that
/// ScaLAPACK 2.2 asks for are too small when n is not much larger than nb x grid (a hang, or wrong
/// vectors with INFO = 0: Reference-ScaLAPACK #74); each gets nb (4 nb + np + nq) + 10 n more.
/// Their length is a 32-bit int, so a local matrix of more than about 1.07e9 entries is refused,
/// before the work, with the smallest number of ranks that would do. Memory: at most 3.5 n^2/P
/// elements, during p?stedc: V, its workspace of two matrices (one is touched on one rank), and
/// half a matrix of reflectors, for which A is freed; and panels of nb (np + nq).
template <class T>
std::vector<double> syevd(DistMatrix<T>&& A, DistMatrix<T>& V);
/// The least P for which p?stedc's workspace of about 2 n^2/P elements has a 32-bit length:
/// ceil((n/32 700)^2). Local.
Index smallest_ranks_for_syevd(Index n);
/// Eigenpairs first ... last (1-based, ascending order, both included) into the first columns of V
/// (p?syevx, with reorthogonalisation workspace for clusters); throws if any pair did not converge
/// or a cluster was not reorthogonalised. V is n x n. (p?syevr returns orthonormal garbage with
/// INFO = 0 for small k: it is not offered.)
template <class T>
std::vector<double> syevx(DistMatrix<T>&& A, Index first, Index last, DistMatrix<T>& V);
/// Eigenvalues only, ascending (p?syev's values through p?syevd's reduction).
template <class T>
std::vector<double> eigenvalues(DistMatrix<T>&& A);

}  // namespace mercer::la
