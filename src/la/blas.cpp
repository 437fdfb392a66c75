#include "mercer/la/blas.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <sstream>
#include <string>

extern "C" {
void dgemm_(const char*, const char*, const int*, const int*, const int*, const double*,
            const double*, const int*, const double*, const int*, const double*, double*,
            const int*);
void ilaver_(int*, int*, int*);
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

namespace {

/// What the program has of the function `name`, of type F; null where the loaded BLAS is another.
template <class F>
F* found(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_DEFAULT, name));
}

/// "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ... SkylakeX MAX_THREADS=64" -> its first two words.
std::string first_words(const std::string& text, int count) {
  std::istringstream words(text);
  std::string result, word;
  while (count-- > 0 && words >> word) result += (result.empty() ? "" : " ") + word;
  return result;
}

}  // namespace

BlasBuild blas_build() {
  BlasBuild build;
  if (auto* config = found<char*()>("openblas_get_config")) {
    build.library = first_words(config(), 2);
    if (auto* core = found<char*()>("openblas_get_corename")) build.kernel = core();
  } else if (auto* mkl = found<void(char*, int)>("MKL_Get_Version_String")) {
    std::string text(200, ' ');
    mkl(text.data(), static_cast<int>(text.size()));
    build.library = first_words(text, 9);
  } else if (auto* blis = found<const char*()>("bli_info_get_version_str")) {
    build.library = std::string("BLIS ") + blis();
  }
  return build;
}

std::string lapack_version() {
  int major = 0, minor = 0, patch = 0;
  ilaver_(&major, &minor, &patch);
  return fmt::format("{}.{}.{}", major, minor, patch);
}

}  // namespace mercer::la
