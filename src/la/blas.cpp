#include "mercer/la/blas.hpp"

#include <dlfcn.h>

#include <string>

extern "C" {
void dgemm_(const char*, const char*, const int*, const int*, const int*, const double*,
            const double*, const int*, const double*, const int*, const double*, double*,
            const int*);
void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*,
            const float*, const int*, const float*, const int*, const float*, float*, const int*);
}

namespace mercer::la {

template <class T>
void gemm(Trans ta, Trans tb, T alpha, MatrixView<const T> A, MatrixView<const T> B, T beta,
          MatrixView<T> C) {
  const int m = to_int(C.rows, "rows"), n = to_int(C.cols, "columns");
  const int k = to_int(ta == Trans::no ? A.cols : A.rows, "inner size");
  if (m == 0 || n == 0) return;
  const int lda = to_int(A.ld, "leading dimension"), ldb = to_int(B.ld, "leading dimension"),
            ldc = to_int(C.ld, "leading dimension");
  const char a = static_cast<char>(ta), b = static_cast<char>(tb);
  if constexpr (std::is_same_v<T, double>)
    dgemm_(&a, &b, &m, &n, &k, &alpha, A.data, &lda, B.data, &ldb, &beta, C.data, &ldc);
  else
    sgemm_(&a, &b, &m, &n, &k, &alpha, A.data, &lda, B.data, &ldb, &beta, C.data, &ldc);
}

template void gemm<double>(Trans, Trans, double, MatrixView<const double>, MatrixView<const double>,
                           double, MatrixView<double>);
template void gemm<float>(Trans, Trans, float, MatrixView<const float>, MatrixView<const float>,
                          float, MatrixView<float>);

bool set_blas_threads(int threads) {
  for (const char* name :
       {"openblas_set_num_threads", "MKL_Set_Num_Threads", "bli_thread_set_num_threads"})
    if (auto* set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, name))) {
      set(threads);
      return true;
    }
  return false;
}

std::string blas_name() {
  if (auto* config = reinterpret_cast<char* (*)()>(dlsym(RTLD_DEFAULT, "openblas_get_config")))
    return config();
  return "unknown BLAS";
}

}  // namespace mercer::la
