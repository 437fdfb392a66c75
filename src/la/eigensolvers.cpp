#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "eigensolver_helpers.hpp"
#include "mercer/comm/together.hpp"

namespace mercer::la {
namespace {

/// A length that ScaLAPACK reported as a floating-point number: rounded up, because T may have
/// rounded it down.
template <class T>
double reported(T length) {
  return std::ceil(static_cast<double>(length) *
                   (1 + 2 * static_cast<double>(std::numeric_limits<T>::epsilon())));
}

}  // namespace

template <class T>
std::vector<double> eigenvalues(DistMatrix<T>&& A_in) {
  DistMatrix<T> A = std::move(A_in);
  check_shapes<T>(A, nullptr, "eigenvalues");
  const Index n = A.rows();
  if (n == 0) return {};
  const auto& grid = A.grid();
  const bool active = grid.active();
  const int order = to_int(n, "rows");
  const auto da = A.descriptor();
  int info = 0, lwork = -1;
  std::vector<T> w(static_cast<std::size_t>(n));
  T length = 0, none = 0;
  if (active)
    fortran::syev<T>("N", "L", &order, A.data(), &kOne, &kOne, da.data(), w.data(), &none, &kOne,
                     &kOne, da.data(), &length, &lwork, &info);
  RawVector<T> work;
  comm::together(grid.all(), [&] {
    if (!active) return;
    const double nb = static_cast<double>(A.nb()), N = static_cast<double>(n),
                 np = static_cast<double>(A.local_rows()), nq = static_cast<double>(A.local_cols());
    lwork = workspace_length<T>(reported(length) + nb * (4 * nb + np + nq) + 10 * N, n, "syev");
    work.resize(static_cast<std::size_t>(lwork));
  });
  if (active)
    fortran::syev<T>("N", "L", &order, A.data(), &kOne, &kOne, da.data(), w.data(), &none, &kOne,
                     &kOne, da.data(), work.data(), &lwork, &info);
  info = agreed_info(grid, info);
  if (info != 0)
    throw RunError("{}: INFO = {}, an eigenvalue did not converge", routine<T>("syev"), info);
  return on_all_ranks(grid, widened(w, n), n);
}

namespace {

/// The meaning of p?syevx's INFO, bit by bit.
std::string explain_syevx(int info, std::span<const int> failed, std::span<const int> clusters) {
  std::string text;
  if (info & 1) {
    const auto count = std::count_if(failed.begin(), failed.end(), [](int i) { return i != 0; });
    text += fmt::format(", {} eigenvectors did not converge", count);
  }
  if (info & 2)
    text += fmt::format(", the cluster of eigenvalues {} to {} was not reorthogonalised",
                        clusters[0], clusters[1]);
  if (info & 4) text += ", too little workspace for all the eigenvectors";
  if (info & 8) text += ", an eigenvalue did not converge";
  return text;
}

}  // namespace

template <class T>
std::vector<double> syevx(DistMatrix<T>&& A_in, Index first, Index last, DistMatrix<T>& V) {
  DistMatrix<T> A = std::move(A_in);
  check_shapes(A, &V, "syevx");
  const Index n = A.rows();
  if (n == 0 || last < first) return {};
  if (first < 1 || last > n)
    throw InputError("syevx: eigenvalues {} to {} of a matrix of order {}", first, last, n);
  const auto& grid = A.grid();
  const bool active = grid.active();
  const Index count = last - first + 1;
  const auto ranks = static_cast<std::size_t>(grid.rows()) * static_cast<std::size_t>(grid.cols());
  const int order = to_int(n, "rows"), lo = to_int(first, "index"), hi = to_int(last, "index");
  const auto da = A.descriptor(), dv = V.descriptor();
  // Twice the underflow threshold: bisection to full accuracy.
  const T abstol = 2 * std::numeric_limits<T>::min(), unused = 0;
  // Vectors of eigenvalues closer than this times |A| are made orthogonal to one another. With
  // ScaLAPACK's 1e-3 the whole tail of a kernel's spectrum would be one cluster, on one rank.
  const T orfac = std::is_same_v<T, double> ? T(1e-5) : T(1e-3);
  int found = 0, vectors = 0, info = 0, ilength = 0, lwork = -1, liwork = -1;
  std::vector<T> w(static_cast<std::size_t>(n)), gap(ranks);
  std::vector<int> ifail(static_cast<std::size_t>(n)), iclustr(2 * ranks), iwork(1);
  RawVector<T> work(3);
  auto call = [&](int* integers) {
    fortran::syevx<T>("V", "I", "L", &order, A.data(), &kOne, &kOne, da.data(), &unused, &unused,
                      &lo, &hi, &abstol, &found, &vectors, w.data(), &orfac, V.data(), &kOne, &kOne,
                      dv.data(), work.data(), &lwork, integers, &liwork, ifail.data(),
                      iclustr.data(), gap.data(), &info);
  };
  if (active) call(&ilength);
  comm::together(grid.all(), [&] {
    if (!active) return;
    // The query assumes that no eigenvalues are close; a cluster of c needs (c - 1) n elements
    // more.
    const double nb = static_cast<double>(A.nb()), N = static_cast<double>(n),
                 np = static_cast<double>(A.local_rows()), nq = static_cast<double>(A.local_cols());
    lwork = workspace_length<T>(
        reported(work[0]) + static_cast<double>(count) * N + nb * (4 * nb + np + nq) + 10 * N, n,
        "syevx");
    work.resize(static_cast<std::size_t>(lwork));
    liwork = to_int(std::max<Index>(ilength, 6 * std::max<Index>(n, static_cast<Index>(ranks) + 1)),
                    "workspace");
    iwork.resize(static_cast<std::size_t>(liwork));
  });
  if (active) call(iwork.data());
  info = agreed_info(grid, info);
  if (info != 0)
    throw RunError("{}: INFO = {}{}", routine<T>("syevx"), info,
                   info > 0 ? explain_syevx(info, ifail, iclustr) : "");
  comm::agree_or_throw(grid.all(), !active || (found == count && vectors == count),
                       ExitCode::failed,
                       fmt::format("{} found {} eigenvalues and {} eigenvectors instead of {}",
                                   routine<T>("syevx"), found, vectors, count));
  return on_all_ranks(grid, widened(w, active ? count : 0), count);
}

#define MERCER_INSTANTIATE(T)                                \
  template std::vector<double> eigenvalues(DistMatrix<T>&&); \
  template std::vector<double> syevx(DistMatrix<T>&&, Index, Index, DistMatrix<T>&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::la
