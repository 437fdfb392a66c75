#include "mercer/la/scalapack.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "mercer/base/random.hpp"
#include "mercer/comm/together.hpp"
#include "scalapack_symbols.hpp"

namespace mercer::la {
namespace {

constexpr int kOne = 1;

template <class T>
void require_together(const DistMatrix<T>& A, const DistMatrix<T>& B, const char* routine) {
  if (&A.grid() != &B.grid() || A.nb() != B.nb())
    throw InputError("{}: the matrices are not on one grid with one block size", routine);
}

void require(bool ok, const char* routine, const char* what) {
  if (!ok) throw InputError("{}: {}", routine, what);
}

template <class T>
void scale_all(DistMatrix<T>& C, T beta) {
  T* c = C.data();
  for (Index i = 0; i < C.local_rows() * C.local_cols(); ++i)
    c[i] = beta == T(0) ? T(0) : beta * c[i];
}

}  // namespace

std::string scalapack_version() {
  return MERCER_SCALAPACK_VERSION;
}

template <class T>
void gemm(Trans ta, Trans tb, T alpha, const DistMatrix<T>& A, const DistMatrix<T>& B, T beta,
          DistMatrix<T>& C) {
  require_together(A, C, "gemm");
  require_together(B, C, "gemm");
  const Index inner = ta == Trans::no ? A.cols() : A.rows();
  require((ta == Trans::no ? A.rows() : A.cols()) == C.rows() &&
              (tb == Trans::no ? B.cols() : B.rows()) == C.cols() &&
              (tb == Trans::no ? B.rows() : B.cols()) == inner,
          "gemm", "shapes do not match");
  if (!C.grid().active() || C.rows() == 0 || C.cols() == 0) return;
  if (inner == 0) return scale_all(C, beta);
  const int m = to_int(C.rows(), "rows"), n = to_int(C.cols(), "columns"),
            k = to_int(inner, "inner size");
  const char a = static_cast<char>(ta), b = static_cast<char>(tb);
  const auto da = A.descriptor(), db = B.descriptor(), dc = C.descriptor();
  fortran::gemm<T>(&a, &b, &m, &n, &k, &alpha, A.data(), &kOne, &kOne, da.data(), B.data(), &kOne,
                   &kOne, db.data(), &beta, C.data(), &kOne, &kOne, dc.data());
}

template <class T>
void syrk_lower(T alpha, const DistMatrix<T>& A, T beta, DistMatrix<T>& C) {
  require_together(A, C, "syrk");
  require(C.rows() == C.cols() && A.rows() == C.rows(), "syrk", "shapes do not match");
  if (!C.grid().active() || C.rows() == 0) return;
  if (A.cols() == 0) return scale_all(C, beta);
  const int n = to_int(C.rows(), "rows"), k = to_int(A.cols(), "inner size");
  const auto da = A.descriptor(), dc = C.descriptor();
  fortran::syrk<T>("L", "N", &n, &k, &alpha, A.data(), &kOne, &kOne, da.data(), &beta, C.data(),
                   &kOne, &kOne, dc.data());
}

template <class T>
void symm(T alpha, const DistMatrix<T>& A, const DistMatrix<T>& B, T beta, DistMatrix<T>& C) {
  require_together(A, C, "symm");
  require_together(B, C, "symm");
  require(
      A.rows() == A.cols() && A.cols() == B.rows() && B.rows() == C.rows() && B.cols() == C.cols(),
      "symm", "shapes do not match");
  if (!C.grid().active() || C.rows() == 0 || C.cols() == 0) return;
  const int m = to_int(C.rows(), "rows"), n = to_int(C.cols(), "columns");
  const auto da = A.descriptor(), db = B.descriptor(), dc = C.descriptor();
  fortran::symm<T>("L", "L", &m, &n, &alpha, A.data(), &kOne, &kOne, da.data(), B.data(), &kOne,
                   &kOne, db.data(), &beta, C.data(), &kOne, &kOne, dc.data());
}

template <class T>
void scale_columns(DistMatrix<T>& A, std::span<const double> scale) {
  require(static_cast<Index>(scale.size()) == A.cols(), "scale_columns",
          "one factor for every column is needed");
  for (Index j = 0; j < A.local_cols(); ++j) {
    const double s = scale[static_cast<std::size_t>(A.col_map().global({j}).value)];
    T* a = A.local().column(j);
    for (Index i = 0; i < A.local_rows(); ++i) a[i] = static_cast<T>(s * static_cast<double>(a[i]));
  }
}

template <class T>
void shift_diagonal(DistMatrix<T>& A, double shift) {
  for (Index j = 0; j < A.local_cols(); ++j) {
    const GlobalIndex diagonal = A.col_map().global({j});
    if (diagonal.value >= A.rows() || !A.row_map().mine(diagonal)) continue;
    T& a = A(A.row_map().local(diagonal), LocalIndex{j});
    a = static_cast<T>(static_cast<double>(a) + shift);
  }
}

template <class T>
double trace(const DistMatrix<T>& A) {
  double sum = 0;
  for (Index j = 0; j < A.local_cols(); ++j) {
    const GlobalIndex diagonal = A.col_map().global({j});
    if (diagonal.value < A.rows() && A.row_map().mine(diagonal))
      sum += static_cast<double>(A(A.row_map().local(diagonal), LocalIndex{j}));
  }
  return A.grid().all().all_reduce(sum, comm::Op::sum);
}

template <class T>
double frobenius_norm(const DistMatrix<T>& A) {
  double sum = 0;
  for (Index j = 0; j < A.local_cols(); ++j)
    for (Index i = 0; i < A.local_rows(); ++i) {
      const double a = static_cast<double>(A(LocalIndex{i}, LocalIndex{j}));
      sum += a * a;
    }
  return std::sqrt(A.grid().all().all_reduce(sum, comm::Op::sum));
}

template <class T>
std::vector<double> column_dots(const DistMatrix<T>& A, const DistMatrix<T>& B) {
  require_together(A, B, "column_dots");
  require(A.rows() == B.rows() && A.cols() == B.cols(), "column_dots", "shapes do not match");
  std::vector<double> dots(static_cast<std::size_t>(A.cols()), 0.0);
  for (Index j = 0; j < A.local_cols(); ++j) {
    const T *a = A.local().column(j), *b = B.local().column(j);
    double sum = 0;
    for (Index i = 0; i < A.local_rows(); ++i)
      sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    dots[static_cast<std::size_t>(A.col_map().global({j}).value)] = sum;
  }
  A.grid().all().all_reduce(std::span<double>(dots), comm::Op::sum);
  return dots;
}

template <class T>
Index cholesky(DistMatrix<T>& A) {
  require(A.rows() == A.cols(), "cholesky", "the matrix is not square");
  int info = 0;
  if (A.grid().active() && A.rows() > 0) {
    const int n = to_int(A.rows(), "rows");
    const auto d = A.descriptor();
    fortran::potrf<T>("L", &n, A.data(), &kOne, &kOne, d.data(), &info);
  }
  info = agreed_info(A.grid(), info);
  if (info < 0) throw RunError("{}: argument {} is wrong", routine<T>("potrf"), -info);
  return info;
}

template <class T>
void cholesky_solve(const DistMatrix<T>& L, DistMatrix<T>& B) {
  require_together(L, B, "cholesky_solve");
  require(L.rows() == L.cols() && L.rows() == B.rows(), "cholesky_solve", "shapes do not match");
  int info = 0;
  if (B.grid().active() && B.rows() > 0 && B.cols() > 0) {
    const int n = to_int(B.rows(), "rows"), c = to_int(B.cols(), "columns");
    const auto dl = L.descriptor(), db = B.descriptor();
    fortran::potrs<T>("L", &n, &c, L.data(), &kOne, &kOne, dl.data(), B.data(), &kOne, &kOne,
                      db.data(), &info);
  }
  info = agreed_info(B.grid(), info);
  if (info != 0) throw RunError("{}: INFO = {}", routine<T>("potrs"), info);
}

template <class T>
double smallest_eigenvalue(const DistMatrix<T>& L, int steps) {
  if (L.rows() == 0) return 0;
  DistMatrix<T> x(L.grid(), L.rows(), 1, L.nb());
  const Random random(0, Stream::probe, 1);
  x.fill([&](Index i, Index) { return random.normal(static_cast<std::uint64_t>(i)); });
  double mu = 0;
  for (int step = 0; step < steps; ++step) {
    const double norm = frobenius_norm(x);
    scale_columns<T>(x, std::vector<double>{1 / norm});
    const DistMatrix<T> before = x.copy();
    cholesky_solve(L, x);
    mu = column_dots(before, x)[0];  // the Rayleigh quotient of A^-1
  }
  return 1 / mu;
}

#define MERCER_INSTANTIATE(T)                                                           \
  template void gemm(Trans, Trans, T, const DistMatrix<T>&, const DistMatrix<T>&, T,    \
                     DistMatrix<T>&);                                                   \
  template void syrk_lower(T, const DistMatrix<T>&, T, DistMatrix<T>&);                 \
  template void symm(T, const DistMatrix<T>&, const DistMatrix<T>&, T, DistMatrix<T>&); \
  template void scale_columns(DistMatrix<T>&, std::span<const double>);                 \
  template void shift_diagonal(DistMatrix<T>&, double);                                 \
  template double trace(const DistMatrix<T>&);                                          \
  template double frobenius_norm(const DistMatrix<T>&);                                 \
  template std::vector<double> column_dots(const DistMatrix<T>&, const DistMatrix<T>&); \
  template Index cholesky(DistMatrix<T>&);                                              \
  template void cholesky_solve(const DistMatrix<T>&, DistMatrix<T>&);                   \
  template double smallest_eigenvalue(const DistMatrix<T>&, int);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::la
