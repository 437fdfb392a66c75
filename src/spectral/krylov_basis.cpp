#include "krylov_basis.hpp"

#include <algorithm>
#include <cmath>
#include <exception>

#include "mercer/base/random.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/la/scalapack.hpp"

namespace mercer::spectral {
namespace {

using blas::gemm;
using blas::Trans;

constexpr std::uint32_t kKrylovColumns = 1;  // substream of Stream::probe
constexpr double kLift = 1e-14;              // least eigenvalue that a Gram matrix is given

std::span<double> values_of(Matrix<double>& A) {
  return {A.data(), static_cast<std::size_t>(A.size())};
}

Matrix<double> product(MatrixView<const double> A, MatrixView<const double> B) {
  Matrix<double> C(A.rows, B.cols, 0.0);
  if (A.cols > 0) gemm<double>(Trans::no, Trans::no, 1, A, B, 0, C.view());
  return C;
}

/// M with M^T G M ~ I, and M^-1 times the given B.
struct Whitening {
  Matrix<double> M, B;
  bool near_identity = false;  ///< G is so near to I that M whitens it to rounding
};

/// Norms of the columns whose Gram matrix is G; 1 for zero columns.
std::vector<double> column_norms(const Matrix<double>& G) {
  std::vector<double> norm(static_cast<std::size_t>(G.rows()));
  for (Index j = 0; j < G.rows(); ++j) {
    const double length = std::sqrt(std::max(0.0, G(j, j)));
    norm[static_cast<std::size_t>(j)] = length > 0 ? length : 1;
  }
  return norm;
}

/// Local.
Whitening whitening(const Matrix<double>& G, const Matrix<double>& B) {
  const Index w = G.rows();
  const auto norm = column_norms(G);
  const auto at = [](Index i) { return static_cast<std::size_t>(i); };
  Matrix<double> U(w, w);
  for (Index j = 0; j < w; ++j)
    for (Index i = 0; i < w; ++i) U(i, j) = 0.5 * (G(i, j) + G(j, i)) / (norm[at(i)] * norm[at(j)]);
  const auto S = blas::syevd(U.view());
  const auto [shortest, longest] = std::ranges::minmax(norm);
  Matrix<double> shortened(w, w), inverse(w, w);
  for (Index j = 0; j < w; ++j) {
    const double s = std::sqrt(std::max(S[at(j)], kLift));
    for (Index i = 0; i < w; ++i) shortened(i, j) = U(i, j) / s, inverse(j, i) = U(i, j) * s;
  }
  // U S^(-1/2) separates strong directions from weak ones. Once none are weak, U S^(-1/2) U^T
  // changes the columns least.
  Whitening result;
  result.near_identity = shortest >= 0.7 && longest <= 1.4 && S.front() >= 0.5;
  if (result.near_identity) {
    result.M = Matrix<double>(w, w);
    gemm<double>(Trans::no, Trans::yes, 1, shortened.view(), U.view(), 0, result.M.view());
    inverse = product(U.view(), inverse.view());
  } else {
    result.M = std::move(shortened);
  }
  for (Index j = 0; j < w; ++j)
    for (Index i = 0; i < w; ++i) result.M(i, j) /= norm[at(i)], inverse(i, j) *= norm[at(j)];
  result.B = product(inverse.view(), B.view());
  return result;
}

/// whitening() on rank 0, broadcast to all: the same bits even if the ranks' processors differ.
/// Collective: one message.
Whitening whiten(const comm::Communicator& comm, const Matrix<double>& G, const Matrix<double>& B) {
  const Index w = G.rows();
  Whitening result;
  std::vector<double> message(static_cast<std::size_t>(2 * w * w + 2));
  std::exception_ptr failure;
  if (comm.root()) try {
      result = whitening(G, B);
      message[0] = 1;
      message[1] = result.near_identity;
      std::copy_n(result.M.data(), w * w, message.data() + 2);
      std::copy_n(result.B.data(), w * w, message.data() + 2 + w * w);
    } catch (...) {
      failure = std::current_exception();
    }
  comm.broadcast(std::span<double>(message), 0);
  if (message[0] == 0)
    comm::together(comm, [&] {
      if (failure) std::rethrow_exception(failure);
    });
  if (comm.root()) return result;
  result.near_identity = message[1] != 0;
  result.M = Matrix<double>(w, w);
  result.B = Matrix<double>(w, w);
  std::copy_n(message.data() + 2, w * w, result.M.data());
  std::copy_n(message.data() + 2 + w * w, w * w, result.B.data());
  return result;
}

double row_norm(const Matrix<double>& B, Index i) {
  double sum = 0;
  for (Index j = 0; j < B.cols(); ++j) sum += B(i, j) * B(i, j);
  return std::sqrt(sum);
}

void require_finite(bool ok) {
  if (!ok) throw RunError("krylov: products of K have entries that are not finite numbers");
}

}  // namespace

bool finite(MatrixView<const double> A) {
  for (Index j = 0; j < A.cols; ++j)
    for (Index i = 0; i < A.rows; ++i)
      if (!std::isfinite(A(i, j))) return false;
  return true;
}

Matrix<double> inner(const comm::Communicator& comm, MatrixView<const double> A,
                     MatrixView<const double> B) {
  Matrix<double> C(A.cols, B.cols, 0.0);
  if (A.rows > 0) gemm<double>(Trans::yes, Trans::no, 1, A, B, 0, C.view());
  comm.all_reduce(values_of(C), comm::Op::sum);
  return C;
}

void Basis::draw(Index j, double scale) {
  const Random random(seed_, Stream::probe, kKrylovColumns);
  const auto base = static_cast<std::uint64_t>(drawn_++) * static_cast<std::uint64_t>(n_);
  for (Index i = 0; i < Q_.rows; ++i)
    Q_(i, j) = scale * random.normal(base + static_cast<std::uint64_t>(first_ + i));
}

Matrix<double> Basis::project(Index first, Index last, Index at, Index width) {
  const auto Q = columns(first, last - first), W = columns(at, width);
  Matrix<double> C = inner(comm_, Q, W);
  require_finite(finite(C.view()));
  if (Q.rows > 0 && Q.cols > 0) gemm<double>(Trans::no, Trans::no, -1, Q, C.view(), 1, W);
  return C;
}

Matrix<double> Basis::whole_complement(Index at, Index width) {
  const Index left = n_ - at;
  Matrix<double> W(Q_.rows, width);
  for (Index j = 0; j < width; ++j) std::copy_n(Q_.column(at + j), Q_.rows, W.column(j));
  if (left == 0) return Matrix<double>(0, width);
  const double scale = 1 / std::sqrt(static_cast<double>(n_));
  for (Index j = 0; j < left; ++j) draw(at + j, scale);
  orthonormalise(at, left, 0);
  return inner(comm_, columns(at, left), W.view());
}

Matrix<double> Basis::projected_gram(Index at, Index width) {
  const auto X = columns(at, width);
  const Matrix<double> both = inner(comm_, columns(0, at + width), X);
  require_finite(finite(both.view()));
  const auto C = both.view().block(0, 0, at, width);
  Matrix<double> G(width, width);
  for (Index j = 0; j < width; ++j) std::copy_n(both.view().column(j) + at, width, G.column(j));
  if (at == 0) return G;
  if (X.rows > 0) gemm<double>(Trans::no, Trans::no, -1, columns(0, at), C, 1, X);
  gemm<double>(Trans::yes, Trans::no, -1, C, C, 1, G.view());  // |X - Q C|^2 = |X|^2 - |C|^2
  // Decisions use plain sums, which give the same bits on all ranks: BLAS need not.
  double shortest = 1;
  for (Index j = 0; j < width; ++j) {
    double along = 0;
    for (Index i = 0; i < at; ++i) along += C(i, j) * C(i, j);
    G(j, j) = both(at + j, j) - along;
    shortest = std::min(shortest, G(j, j) / both(at + j, j));
  }
  return shortest >= 0.4 ? std::move(G) : inner(comm_, X, X);
}

bool Basis::replace_vanished(Index at, const Matrix<double>& G, double floor, Matrix<double>& B) {
  bool replaced = false;
  for (Index i = 0; i < G.rows(); ++i) {
    const double length = std::sqrt(std::max(0.0, G(i, i))), share = row_norm(B, i);
    if (length > 0 && (share == 0 || length * share > floor)) continue;
    draw(at + i, 1 / std::sqrt(static_cast<double>(n_)));
    for (Index j = 0; j < B.cols(); ++j) B(i, j) = 0;
    replaced = true;
  }
  return replaced;
}

Matrix<double> Basis::orthonormalise(Index at, Index width, double floor) {
  if (at + width > n_) return whole_complement(at, width);
  const auto X = columns(at, width);
  Matrix<double> B(width, width, 0.0);
  for (Index j = 0; j < width; ++j) B(j, j) = 1;
  constexpr int kPasses = 30;
  for (int pass = 0; pass < kPasses; ++pass) {
    // The first pass only whitens the block itself: only the projection of unit vectors makes them
    // orthogonal to the columns before to rounding.
    const Matrix<double> G = pass == 0 ? inner(comm_, X, X) : projected_gram(at, width);
    require_finite(finite(G.view()));
    Whitening step = whiten(comm_, G, B);
    const bool settled = pass > 0 && step.near_identity;
    if (!settled && replace_vanished(at, G, floor, B)) continue;
    const Matrix<double> whitened = product(X, step.M.view());
    for (Index j = 0; j < width; ++j) std::copy_n(whitened.column(j), X.rows, X.column(j));
    B = std::move(step.B);
    if (settled) return B;
  }
  throw RunError("krylov: a block of {} vectors could not be made orthonormal to {} others", width,
                 at);
}

void Basis::rotate(Index first, MatrixView<const double> Y) {
  constexpr Index kPanel = 512;
  Matrix<double> panel(std::min(kPanel, Q_.rows), Y.rows);
  for (Index row = 0; row < Q_.rows; row += kPanel) {
    const Index rows = std::min(kPanel, Q_.rows - row);
    const auto here = panel.view().block(0, 0, rows, Y.rows);
    for (Index j = 0; j < Y.rows; ++j)
      std::copy_n(Q_.column(first + j) + row, rows, here.column(j));
    gemm<double>(Trans::no, Trans::no, 1, here, Y, 0, Q_.block(row, first, rows, Y.cols));
  }
}

}  // namespace mercer::spectral
