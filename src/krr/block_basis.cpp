#include "block_basis.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mercer::krr {
namespace {

constexpr double kEps = std::numeric_limits<double>::epsilon();
// Eigenvectors of a scaled Gram matrix whose eigenvalues are above kClear times the largest one
// give a block that is orthonormal to eps/kClear; the others are treated again.
constexpr double kClear = 1e-8;
constexpr int kDepth = 4;  // of that recursion

Matrix<double> beside(const Matrix<double>& A, const Matrix<double>& B) {
  Matrix<double> both(A.rows(), A.cols() + B.cols());
  std::copy_n(A.data(), A.size(), both.data());
  std::copy_n(B.data(), B.size(), both.data() + A.size());
  return both;
}
Matrix<double> above(const Matrix<double>& A, const Matrix<double>& B) {
  Matrix<double> both(A.rows() + B.rows(), A.cols());
  for (Index j = 0; j < A.cols(); ++j) {
    std::copy_n(A.column(j), A.rows(), both.column(j));
    std::copy_n(B.column(j), B.rows(), both.column(j) + A.rows());
  }
  return both;
}

/// Eigenpairs of D^-1 R^T Z D^-1, D = diag(scale) of the columns' M-norms; 0 for zero columns.
struct ScaledGram {
  std::vector<double> scale;
  SmallEigenpairs pairs;
};
ScaledGram scaled_gram(const comm::Communicator& comm, const Matrix<double>& R,
                       const Matrix<double>& Z) {
  auto [G] = inner(comm, Inner{R.view(), Z.view()});
  const Index m = G.rows();
  ScaledGram result;
  for (Index i = 0; i < m; ++i) {
    const bool zero = G(i, i) <= 0;  // NaN is not: symmetric_eigenpairs() refuses it
    result.scale.push_back(zero ? 0 : std::sqrt(G(i, i)));
  }
  const auto inverse = [&](Index i) {
    const double s = result.scale[static_cast<std::size_t>(i)];
    return s == 0 ? 0 : 1 / s;
  };
  for (Index j = 0; j < m; ++j)
    for (Index i = 0; i <= j; ++i)
      G(i, j) = G(j, i) = 0.5 * (G(i, j) + G(j, i)) * inverse(i) * inverse(j);
  result.pairs = symmetric_eigenpairs(comm, std::move(G));
  return result;
}

Matrix<double> orthonormalise(const comm::Communicator& comm, const LowRankPreconditioner& M,
                              double gamma, Matrix<double>& R, Matrix<double>& Z, int depth) {
  const Index m = R.cols();
  if (m == 0) return Matrix<double>(0, 0);
  const ScaledGram gram = scaled_gram(comm, R, Z);
  const auto& scale = gram.scale;
  const auto& pairs = gram.pairs;
  const auto at = [&](Index i) { return scale[static_cast<std::size_t>(i)]; };
  const double largest = std::max(pairs.values.back(), 0.0);
  Index unclear = 0;  // eigenvalues ascend: these come first
  while (unclear < m && !(pairs.values[static_cast<std::size_t>(unclear)] > kClear * largest))
    ++unclear;

  // R = R T C for T = D^-1 V, C = V^T D. Clear columns of T are divided by sqrt(w), w their
  // eigenvalue, and rows of C multiplied by it. 1: clear, 2: the others.
  Matrix<double> T1(m, m - unclear), C1(m - unclear, m), T2(m, unclear), C2(unclear, m);
  for (Index j = 0; j < m; ++j) {
    const bool clear = j >= unclear;
    const double root = clear ? std::sqrt(pairs.values[static_cast<std::size_t>(j)]) : 1;
    const Index to = clear ? j - unclear : j;
    for (Index i = 0; i < m; ++i) {
      const double v = pairs.vectors(i, j);
      (clear ? T1 : T2)(i, to) = at(i) == 0 ? 0 : v / at(i) / root;
      (clear ? C1 : C2)(to, i) = v * at(i) * root;
    }
  }
  Matrix<double> Q = times(R.view(), T1.view()), MQ = times(Z.view(), T1.view());
  if (unclear == 0 || depth == kDepth) {
    R = std::move(Q), Z = std::move(MQ);
    return C1;
  }

  // Remove Q from the others. M is applied again, so that M F does not inherit cancellation errors.
  Matrix<double> F = times(R.view(), T2.view());
  auto [H] = inner(comm, Inner{MQ.view(), F.view()});
  add_times(-1, Q.view(), H.view(), F.view());
  add_times(1, H.view(), C2.view(), C1.view());
  Matrix<double> MF(F.rows(), F.cols());
  M.apply(comm, gamma, F.view(), MF.view());
  const auto squares = column_dots(comm, F.view(), MF.view());
  const double rounding = 64 * kEps * static_cast<double>(m);
  std::vector<Index> kept;
  for (Index j = 0; j < unclear; ++j)
    if (squares[static_cast<std::size_t>(j)] > rounding * rounding) kept.push_back(j);
  const auto count = static_cast<Index>(kept.size());
  Matrix<double> some(F.rows(), count), some_z(F.rows(), count), some_c(count, m);
  for (Index j = 0; j < count; ++j) {
    const Index from = kept[static_cast<std::size_t>(j)];
    std::copy_n(F.column(from), F.rows(), some.column(j));
    std::copy_n(MF.column(from), F.rows(), some_z.column(j));
    for (Index i = 0; i < m; ++i) some_c(j, i) = C2(from, i);
  }
  const Matrix<double> S = orthonormalise(comm, M, gamma, some, some_z, depth + 1);
  R = beside(Q, some);
  Z = beside(MQ, some_z);
  return above(C1, times(S.view(), some_c.view()));
}

}  // namespace

Matrix<double> orthonormalise(const comm::Communicator& comm, const LowRankPreconditioner& M,
                              double gamma, Matrix<double>& R, Matrix<double>& Z) {
  return orthonormalise(comm, M, gamma, R, Z, 0);
}

Ritz extreme_ritz(const gram::Operator& A, View u) {
  const comm::Communicator& comm = A.comm();
  const Index steps = std::min<Index>(20, A.size());
  Matrix<double> V(u.rows, steps), T(steps, steps, 0.0), w(u.rows, 1);
  std::copy_n(u.data, u.rows, w.data());
  double length = column_norms(comm, w.view())[0];
  Index done = 0;
  double scale = 0;
  while (done < steps && length > 1e-14 * scale && length > 0) {
    for (Index i = 0; i < u.rows; ++i) V(i, done) = w(i, 0) / length;
    ++done;
    const View known = V.view().block(0, 0, u.rows, done);
    A.apply(V.view().block(0, done - 1, u.rows, 1), w.view());
    for (int pass = 0; pass < 2; ++pass) {
      auto [h] = inner(comm, Inner{known, w.view()});
      for (Index i = 0; i < done; ++i) T(i, done - 1) += h(i, 0);
      add_times(-1, known, h.view(), w.view());
    }
    for (Index i = 0; i < done; ++i) scale = std::max(scale, std::abs(T(i, done - 1)));
    length = column_norms(comm, w.view())[0];
  }
  if (done == 0) return {};
  Matrix<double> small(done, done);
  for (Index j = 0; j < done; ++j)
    for (Index i = 0; i <= j; ++i) small(i, j) = small(j, i) = T(i, j);
  const SmallEigenpairs pairs = symmetric_eigenpairs(comm, std::move(small));
  return {pairs.values.front(), length * std::abs(pairs.vectors(done - 1, 0)), pairs.values.back()};
}

}  // namespace mercer::krr
