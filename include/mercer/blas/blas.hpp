#pragma once

#include <span>
#include <string>
#include <vector>

#include "mercer/base/matrix.hpp"

/// Local BLAS and LAPACK, column-major: no MPI. Leading dimensions and sizes are 64-bit here and
/// narrowed inside, so that a local matrix may have more than 2^31 elements as long as each extent
/// fits an int; otherwise RunError is thrown. T = double or float.
namespace mercer::blas {

enum class Trans : char { no = 'N', yes = 'T' };

/// C <- alpha op(A) op(B) + beta C (?gemm), C m x n, op(A) m x k, op(B) k x n. 2 m n k flops. With
/// beta = 0, C need not be initialised.
template <class T>
void gemm(Trans ta, Trans tb, T alpha, MatrixView<const T> A, MatrixView<const T> B, T beta,
          MatrixView<T> C);

/// y <- alpha op(A) x + beta y (?gemv); x and y are contiguous. 2 A.rows A.cols flops, A is read
/// once. With beta = 0, y need not be initialised. Throws RunError where the lengths do not fit.
template <class T>
void gemv(Trans trans, T alpha, MatrixView<const T> A, std::span<const T> x, T beta,
          std::span<T> y);

/// A <- R with the upper triangular R of A = R^T R (?potrf); the lower triangle of A is not read
/// and becomes zero. n^3/3 flops. Returns false where A is not positive definite to rounding.
bool cholesky(MatrixView<double> A);
/// X <- X R^-1 for an upper triangular R (?trsm). X.rows R.rows^2 flops.
template <class T>
void solve_right(MatrixView<const T> R, MatrixView<T> X);

/// All eigenpairs of a symmetric matrix by divide and conquer (?syevd): A (n x n, lower triangle)
/// is overwritten by the eigenvectors; the eigenvalues come back in ascending order. At most about
/// 14/3 n^3 flops, 2 n^2 numbers of workspace. Throws InputError where A is not square, RunError
/// for n > 32 766 (LAPACK's workspace lengths are 32-bit) and where LAPACK does not converge.
template <class T>
std::vector<double> syevd(MatrixView<T> A);

/// Sets the number of BLAS threads of this process. (On two cores, two ranks with two OpenBLAS
/// threads each run 25 to 60 times slower than with one.) Returns false where the loaded BLAS is
/// none of OpenBLAS, MKL and BLIS.
bool set_threads(int threads);

/// The BLAS that is loaded, as it names itself: for reports, any BLAS will do.
struct Build {
  std::string library = "unknown BLAS";  ///< "OpenBLAS 0.3.21"
  std::string kernel = "unknown";        ///< what it chose for this processor, "SkylakeX"
};
Build build();
/// Version of the LAPACK interface, by ilaver: "3.9.0".
std::string lapack_version();

}  // namespace mercer::blas
