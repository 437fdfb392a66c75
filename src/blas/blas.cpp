#include "mercer/blas/blas.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <sstream>
#include <string>
#include <type_traits>

#include "mercer/base/error.hpp"

extern "C" {
void dgemm_(const char*, const char*, const int*, const int*, const int*, const double*,
            const double*, const int*, const double*, const int*, const double*, double*,
            const int*);
void dgemv_(const char*, const int*, const int*, const double*, const double*, const int*,
            const double*, const int*, const double*, double*, const int*);
void dpotrf_(const char*, const int*, double*, const int*, int*);
void dtrsm_(const char*, const char*, const char*, const char*, const int*, const int*,
            const double*, const double*, const int*, double*, const int*);
void dsyevd_(const char*, const char*, const int*, double*, const int*, double*, double*,
             const int*, int*, const int*, int*);
void ilaver_(int*, int*, int*);
void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*,
            const float*, const int*, const float*, const int*, const float*, float*, const int*);
void sgemv_(const char*, const int*, const int*, const float*, const float*, const int*,
            const float*, const int*, const float*, float*, const int*);
void ssyevd_(const char*, const char*, const int*, float*, const int*, float*, float*, const int*,
             int*, const int*, int*);
void strsm_(const char*, const char*, const char*, const char*, const int*, const int*,
            const float*, const float*, const int*, float*, const int*);
}

namespace mercer::blas {

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

template <class T>
void gemv(Trans trans, T alpha, MatrixView<const T> A, std::span<const T> x, T beta,
          std::span<T> y) {
  const bool plain = trans == Trans::no;
  if (std::ssize(x) != (plain ? A.cols : A.rows) || std::ssize(y) != (plain ? A.rows : A.cols))
    throw RunError("?gemv: {} x {} with vectors of {} and {}", A.rows, A.cols, x.size(), y.size());
  if (y.empty()) return;
  const int m = to_int(A.rows, "rows"), n = to_int(A.cols, "columns"), one = 1;
  const int lda = to_int(A.ld, "leading dimension");
  const char t = static_cast<char>(trans);
  if (m == 0 || n == 0) {  // BLAS returns before it scales y
    for (T& value : y) value = beta == T{0} ? T{0} : beta * value;
    return;
  }
  if constexpr (std::is_same_v<T, double>)
    dgemv_(&t, &m, &n, &alpha, A.data, &lda, x.data(), &one, &beta, y.data(), &one);
  else
    sgemv_(&t, &m, &n, &alpha, A.data, &lda, x.data(), &one, &beta, y.data(), &one);
}

template void gemv<double>(Trans, double, MatrixView<const double>, std::span<const double>, double,
                           std::span<double>);
template void gemv<float>(Trans, float, MatrixView<const float>, std::span<const float>, float,
                          std::span<float>);

bool cholesky(MatrixView<double> A) {
  if (A.rows != A.cols)
    throw InputError("?potrf: the matrix is {} x {}, not square", A.rows, A.cols);
  const int n = to_int(A.rows, "rows"), lda = to_int(A.ld, "leading dimension");
  int info = 0;
  if (n > 0) dpotrf_("U", &n, A.data, &lda, &info);
  for (Index j = 0; j < A.cols; ++j)
    for (Index i = j + 1; i < A.rows; ++i) A(i, j) = 0;
  return info == 0;
}

template <class T>
void solve_right(MatrixView<const T> R, MatrixView<T> X) {
  if (R.rows != R.cols || R.rows != X.cols)
    throw RunError("?trsm: {} x {} and {} x {}", X.rows, X.cols, R.rows, R.cols);
  const int m = to_int(X.rows, "rows"), n = to_int(X.cols, "columns");
  if (m == 0 || n == 0) return;
  const int ldr = to_int(R.ld, "leading dimension"), ldx = to_int(X.ld, "leading dimension");
  const T one = 1;
  if constexpr (std::is_same_v<T, double>)
    dtrsm_("R", "U", "N", "N", &m, &n, &one, R.data, &ldr, X.data, &ldx);
  else
    strsm_("R", "U", "N", "N", &m, &n, &one, R.data, &ldr, X.data, &ldx);
}

template void solve_right<double>(MatrixView<const double>, MatrixView<double>);
template void solve_right<float>(MatrixView<const float>, MatrixView<float>);

template <class T>
std::vector<double> syevd(MatrixView<T> A) {
  if (A.rows != A.cols)
    throw InputError("?syevd: the matrix is {} x {}, not square", A.rows, A.cols);
  if (A.rows > 32766)
    throw RunError(
        "?syevd: n = {} exceeds 32766, the most for LAPACK's 32-bit workspace lengths: use "
        "ScaLAPACK",
        A.rows);
  const int n = static_cast<int>(A.rows), lda = to_int(A.ld, "leading dimension");
  if (n == 0) return {};
  const Index N = n;
  const int lwork = static_cast<int>(1 + 6 * N + 2 * N * N), liwork = static_cast<int>(3 + 5 * N);
  RawVector<T> work(static_cast<std::size_t>(lwork));
  std::vector<int> iwork(static_cast<std::size_t>(liwork));
  std::vector<T> w(static_cast<std::size_t>(n));
  int info = 0;
  if constexpr (std::is_same_v<T, double>)
    dsyevd_("V", "L", &n, A.data, &lda, w.data(), work.data(), &lwork, iwork.data(), &liwork,
            &info);
  else
    ssyevd_("V", "L", &n, A.data, &lda, w.data(), work.data(), &lwork, iwork.data(), &liwork,
            &info);
  if (info != 0) throw RunError("?syevd: did not converge (INFO = {})", info);
  return {w.begin(), w.end()};
}

template std::vector<double> syevd(MatrixView<double>);
template std::vector<double> syevd(MatrixView<float>);

bool set_threads(int threads) {
  for (const char* name :
       {"openblas_set_num_threads", "MKL_Set_Num_Threads", "bli_thread_set_num_threads"})
    if (auto* set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, name))) {
      set(threads);
      return true;
    }
  return false;
}

namespace {

/// The function `name`, of type F, of the loaded libraries; null where they have none.
template <class F>
F* found(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_DEFAULT, name));
}

/// "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ... SkylakeX MAX_THREADS=64" -> its first words.
std::string first_words(const std::string& text, int count) {
  std::istringstream words(text);
  std::string result, word;
  while (count-- > 0 && words >> word) result += (result.empty() ? "" : " ") + word;
  return result;
}

}  // namespace

Build build() {
  Build build;
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

}  // namespace mercer::blas
