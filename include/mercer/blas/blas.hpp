#pragma once

#include <string>
#include <vector>

#include "mercer/base/matrix.hpp"

/// Local BLAS and LAPACK: no MPI. Leading dimensions and sizes are 64-bit here and narrowed inside,
/// so that a local matrix may have more than 2^31 elements as long as each extent fits an int.
/// T = double or float.
namespace mercer::blas {

enum class Trans : char { no = 'N', yes = 'T' };

/// C <- alpha op(A) op(B) + beta C (?gemm). 2 m n k flops. With beta = 0, C need not be
/// initialised.
template <class T>
void gemm(Trans ta, Trans tb, T alpha, MatrixView<const T> A, MatrixView<const T> B, T beta,
          MatrixView<T> C);

/// All eigenpairs of a symmetric matrix by divide and conquer (?syevd): A (n x n, lower triangle)
/// is overwritten by the eigenvectors; the eigenvalues come back in ascending order. About 9 n^3
/// flops, 2 n^2 numbers of workspace. Throws RunError for n > 32 766 (LAPACK's workspace lengths
/// are 32-bit) and where LAPACK reports an eigenvalue that did not converge.
template <class T>
std::vector<double> syevd(MatrixView<T> A);

/// Sets the BLAS threads of this process (two ranks with two OpenBLAS threads each on two
/// cores run 25 to 60 times slower). Returns false where the loaded BLAS has no such switch.
bool set_threads(int threads);

/// The BLAS that is loaded, as it names itself: no Mercer code depends on which one it is.
struct Build {
  std::string library = "unknown BLAS";  ///< "OpenBLAS 0.3.21"
  std::string kernel = "unknown";        ///< what it took for this processor, "SkylakeX"
};
Build build();
/// Version of the LAPACK interface, by ilaver: "3.9.0".
std::string lapack_version();

}  // namespace mercer::blas
