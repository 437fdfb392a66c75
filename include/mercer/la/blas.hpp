#pragma once

#include <string>

#include "mercer/base/matrix.hpp"

namespace mercer::la {

enum class Trans : char { no = 'N', yes = 'T' };

/// Local BLAS. Leading dimensions and sizes are 64-bit here and narrowed inside, so that a local
/// matrix may have more than 2^31 elements as long as each extent fits an int. T = double or float.

/// C <- alpha op(A) op(B) + beta C. 2 m n k flops. With beta = 0, C need not be initialised.
template <class T>
void gemm(Trans ta, Trans tb, T alpha, MatrixView<const T> A, MatrixView<const T> B, T beta,
          MatrixView<T> C);

/// Sets the BLAS threads of this process (two ranks with two OpenBLAS threads each on two
/// cores run 25 to 60 times slower). Returns false where the loaded BLAS has no such switch.
bool set_blas_threads(int threads);

/// The BLAS that is loaded, as it names itself: no Mercer code depends on which one it is.
struct BlasBuild {
  std::string library = "unknown BLAS";  ///< "OpenBLAS 0.3.21"
  std::string kernel = "unknown";        ///< what it took for this processor, "SkylakeX"
};
BlasBuild blas_build();
/// Version of the LAPACK interface, by ilaver: "3.9.0".
std::string lapack_version();

}  // namespace mercer::la
