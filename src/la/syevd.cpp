#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "eigensolver_helpers.hpp"
#include "mercer/comm/together.hpp"

// p?syevd in its three steps, p?sytrd, p?stedc and p?ormtr. The last step needs of A only the
// reflectors that the first one leaves, half a matrix: they are packed, and A is freed before
// p?stedc allocates its workspace of two matrices.

namespace mercer::la {
namespace {

/// A = Q T Q^T after p?sytrd: the whole diagonals of T on all ranks, and tau of this rank's columns
/// of A, which with the vectors below A's diagonal gives Q.
template <class T>
struct Tridiagonal {
  std::vector<T> diagonal, off_diagonal, tau;
};

/// This rank's entries of local column j at or below row (global column + offset): the end of the
/// local column.
template <class T>
std::span<T> lower_part(DistMatrix<T>& A, Index j, Index offset) {
  const Index first = A.row_map().lower_bound({A.col_map().global({j}).value + offset}).value;
  return {A.local().column(j) + first, static_cast<std::size_t>(A.local_rows() - first)};
}

/// Multiplies the lower triangle by a factor and returns it: 1, or what brings the largest entry
/// into the range in which squares neither overflow nor vanish (as p?syevd does). Collective.
template <class T>
double scale_into_range(DistMatrix<T>& A) {
  using Limits = std::numeric_limits<T>;
  const double tiny = static_cast<double>(Limits::min());
  const double least = std::sqrt(tiny / static_cast<double>(Limits::epsilon()));
  const double most = std::min(1 / least, 1 / std::sqrt(std::sqrt(tiny)));
  double largest = 0;
  for (Index j = 0; j < A.local_cols(); ++j)
    for (const T a : lower_part(A, j, 0))
      largest = std::max(largest, std::abs(static_cast<double>(a)));
  largest = A.grid().all().all_reduce(largest, comm::Op::max);
  if (largest == 0 || !std::isfinite(largest) || (largest >= least && largest <= most)) return 1;
  const double scale = (largest < least ? least : most) / largest;
  for (Index j = 0; j < A.local_cols(); ++j)
    for (T& a : lower_part(A, j, 0)) a = static_cast<T>(static_cast<double>(a) * scale);
  return scale;
}

/// p?stedc's documented workspace, by far the largest of the three. Local.
template <class T>
double stedc_length(const DistMatrix<T>& V) {
  return 6 * static_cast<double>(V.rows()) +
         2 * static_cast<double>(V.local_rows()) * static_cast<double>(V.local_cols());
}

/// The `documented` length and some more: the documentation and the queries leave out panels and
/// empty process rows. Local; throws RunError past 32 bits.
template <class T>
int padded_length(const DistMatrix<T>& V, double documented, const char* name) {
  const double n = static_cast<double>(V.rows()), nb = static_cast<double>(V.nb()),
               np = static_cast<double>(V.local_rows()), nq = static_cast<double>(V.local_cols());
  return workspace_length<T>(documented + nb * (4 * nb + np + nq) + 10 * n, V.rows(), name);
}

/// A workspace of the padded length; empty on idle ranks. Collective.
template <class T>
RawVector<T> workspace(const DistMatrix<T>& V, double documented, const char* name) {
  return comm::together(V.grid().all(), [&] {
    const int length = V.grid().active() ? padded_length(V, documented, name) : 0;
    return RawVector<T>(static_cast<std::size_t>(length));
  });
}

/// A <- T and the reflectors of Q, below the diagonal (p?sytrd).
template <class T>
Tridiagonal<T> reduce(DistMatrix<T>& A) {
  const auto& grid = A.grid();
  const int order = to_int(A.rows(), "rows");
  const auto n = static_cast<std::size_t>(A.rows());
  const auto columns = static_cast<std::size_t>(std::max<Index>(1, A.local_cols()));
  // The parts of d and e of a process column are the same on every process row.
  std::vector<T> d(columns), e(columns);
  Tridiagonal<T> result{std::vector<T>(n), std::vector<T>(n), std::vector<T>(columns)};
  auto work =
      workspace(A, static_cast<double>(A.nb()) * static_cast<double>(A.local_rows() + 3), "sytrd");
  int info = 0;
  if (grid.active()) {
    const auto da = A.descriptor();
    const int lwork = static_cast<int>(work.size());
    fortran::sytrd<T>("L", &order, A.data(), &kOne, &kOne, da.data(), d.data(), e.data(),
                      result.tau.data(), work.data(), &lwork, &info);
    if (grid.row() == 0)
      for (Index j = 0; j < A.local_cols(); ++j) {
        const auto here = static_cast<std::size_t>(j);
        const auto there = static_cast<std::size_t>(A.col_map().global({j}).value);
        result.diagonal[there] = d[here];
        if (there + 1 < n) result.off_diagonal[there] = e[here];
      }
  }
  info = agreed_info(grid, info);
  if (info != 0) throw RunError("{}: INFO = {}", routine<T>("sytrd"), info);
  grid.all().all_reduce(std::span<T>(result.diagonal), comm::Op::sum);
  grid.all().all_reduce(std::span<T>(result.off_diagonal), comm::Op::sum);
  return result;
}

/// Packs the entries below A's diagonal, column after column, and frees A.
template <class T>
RawVector<T> pack_reflectors(DistMatrix<T> A) {
  return comm::together(A.grid().all(), [&] {
    std::size_t count = 0;
    for (Index j = 0; j < A.local_cols(); ++j) count += lower_part(A, j, 1).size();
    RawVector<T> packed(count);
    auto next = packed.begin();
    for (Index j = 0; j < A.local_cols(); ++j)
      next = std::copy_n(lower_part(A, j, 1).begin(), lower_part(A, j, 1).size(), next);
    return packed;
  });
}

/// A matrix of V's distribution with `packed` below the diagonal, and zeros elsewhere.
template <class T>
DistMatrix<T> unpack_reflectors(RawVector<T> packed, const DistMatrix<T>& V) {
  return comm::together(V.grid().all(), [&] {
    DistMatrix<T> A(V.grid(), V.rows(), V.cols(), V.nb());
    auto next = packed.begin();
    for (Index j = 0; j < A.local_cols(); ++j) {
      const auto part = lower_part(A, j, 1);
      std::fill(A.local().column(j), part.data(), T(0));
      std::copy_n(next, part.size(), part.begin());
      next += static_cast<std::ptrdiff_t>(part.size());
    }
    return A;
  });
}

/// V <- the eigenvectors of T; T's diagonal <- its eigenvalues, ascending, on rank 0 (p?stedc).
template <class T>
void solve_tridiagonal(Tridiagonal<T>& t, DistMatrix<T>& V) {
  const auto& grid = V.grid();
  auto work = workspace(V, stedc_length(V), "stedc");
  std::fill_n(V.data(), V.local_rows() * V.local_cols(), T(0));
  shift_diagonal(V, 1.0);
  int info = 0;
  if (grid.active()) {
    const int order = to_int(V.rows(), "rows"), lwork = static_cast<int>(work.size());
    const auto dv = V.descriptor();
    std::vector<int> iwork(static_cast<std::size_t>(7 * V.rows() + 8 * grid.cols() + 2));
    const int liwork = to_int(static_cast<Index>(iwork.size()), "workspace");
    fortran::stedc<T>("I", &order, t.diagonal.data(), t.off_diagonal.data(), V.data(), &kOne, &kOne,
                      dv.data(), work.data(), &lwork, iwork.data(), &liwork, &info);
  }
  info = agreed_info(grid, info);
  if (info != 0)
    throw RunError("{}: INFO = {}, an eigenvalue did not converge", routine<T>("stedc"), info);
}

/// V <- Q V with the reflectors below A's diagonal (p?ormtr).
template <class T>
void transform_back(const DistMatrix<T>& A, const std::vector<T>& tau, DistMatrix<T>& V) {
  const auto& grid = V.grid();
  const double nb = static_cast<double>(V.nb());
  auto work =
      workspace(V, nb * (static_cast<double>(V.local_rows() + V.local_cols()) + nb), "ormtr");
  int info = 0;
  if (grid.active()) {
    const int order = to_int(V.rows(), "rows"), lwork = static_cast<int>(work.size());
    const auto da = A.descriptor(), dv = V.descriptor();
    fortran::ormtr<T>("L", "L", "N", &order, &order, A.data(), &kOne, &kOne, da.data(), tau.data(),
                      V.data(), &kOne, &kOne, dv.data(), work.data(), &lwork, &info);
  }
  info = agreed_info(grid, info);
  if (info != 0) throw RunError("{}: INFO = {}", routine<T>("ormtr"), info);
}

}  // namespace

template <class T>
std::vector<double> syevd(DistMatrix<T>&& A_in, DistMatrix<T>& V) {
  DistMatrix<T> A = std::move(A_in);
  check_shapes(A, &V, "syevd");
  const Index n = A.rows();
  if (n == 0) return {};
  const auto& grid = V.grid();
  // Refuse what does not fit in 32 bits before the reduction, which takes most of the time.
  comm::together(grid.all(), [&] { padded_length(V, stedc_length(V), "stedc"); });
  const double scale = scale_into_range(A);
  Tridiagonal<T> t = reduce(A);
  RawVector<T> reflectors = pack_reflectors(std::move(A));
  solve_tridiagonal(t, V);
  transform_back(unpack_reflectors(std::move(reflectors), V), t.tau, V);
  auto values = on_all_ranks(grid, widened(t.diagonal, n), n);
  for (double& value : values) value /= scale;
  return values;
}

Index smallest_ranks_for_syevd(Index n) {
  return std::max<Index>(
      1, static_cast<Index>(std::ceil(std::pow(static_cast<double>(n) / 32700, 2))));
}

template std::vector<double> syevd(DistMatrix<double>&&, DistMatrix<double>&);
template std::vector<double> syevd(DistMatrix<float>&&, DistMatrix<float>&);

}  // namespace mercer::la
