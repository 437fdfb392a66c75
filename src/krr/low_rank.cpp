#include "mercer/krr/low_rank.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "blocks.hpp"
#include "mercer/base/error.hpp"

namespace mercer::krr {
namespace {

constexpr double kEps = std::numeric_limits<double>::epsilon();
constexpr double kKept = 1e-13;  // below kKept s_1 eigenvectors of F^T F give no orthonormal U

/// U <- U (3 I - U^T U)/2: makes a nearly orthonormal U orthonormal (one Newton-Schulz step).
void polish(const comm::Communicator& comm, Matrix<double>& U) {
  auto [E] = inner(comm, Inner{U.view(), U.view()});
  for (Index j = 0; j < E.cols(); ++j)
    for (Index i = 0; i < E.rows(); ++i) E(i, j) = (i == j ? 1.5 : 0.0) - 0.5 * E(i, j);
  multiply(U, E.view());
}

}  // namespace

LowRankPreconditioner LowRankPreconditioner::from_pairs(const spectral::TopPairs& pairs,
                                                        std::span<const double> modes) {
  if (!modes.empty() && modes.size() != pairs.values.size())
    throw InputError("{} modes for {} eigenpairs", modes.size(), pairs.values.size());
  LowRankPreconditioner M;
  M.U_ = pairs.vectors.copy();
  M.s_ = modes.empty() ? pairs.values : std::vector<double>(modes.begin(), modes.end());
  for (double& s : M.s_) s = std::max(s, 0.0);
  M.beside_ = std::max(pairs.next, 0.0);
  const double sum = std::accumulate(pairs.values.begin(), pairs.values.end(), 0.0);
  M.captured_ = pairs.trace > 0 ? sum / pairs.trace : 0;
  M.text_ = fmt::format("eigenpairs, {}", pairs.k());
  return M;
}

LowRankPreconditioner LowRankPreconditioner::from_factor(const comm::Communicator& comm,
                                                         Matrix<double>&& F) {
  const Index r = F.cols();
  auto [G] = inner(comm, Inner{F.view(), F.view()});
  const SmallEigenpairs pairs = symmetric_eigenpairs(comm, std::move(G));
  const double largest = r > 0 ? pairs.values.back() : 0;
  Index kept = 0;
  while (kept < r && pairs.values[static_cast<std::size_t>(r - 1 - kept)] > kKept * largest) ++kept;
  Matrix<double> C(r, kept);
  LowRankPreconditioner M;
  for (Index j = 0; j < kept; ++j) {
    const double s = pairs.values[static_cast<std::size_t>(r - 1 - j)];
    M.s_.push_back(s);
    for (Index i = 0; i < r; ++i) C(i, j) = pairs.vectors(i, r - 1 - j) / std::sqrt(s);
  }
  if (kept == r)
    multiply(M.U_ = std::move(F), C.view());
  else
    M.U_ = times(F.view(), C.view());
  F = Matrix<double>();
  polish(comm, M.U_);
  return M;
}

LowRankPreconditioner LowRankPreconditioner::from_sketch(const comm::Communicator& comm, Index n,
                                                         CholeskySketch&& sketch) {
  const Index r = sketch.F.cols();
  LowRankPreconditioner M = from_factor(comm, std::move(sketch.F));
  M.beside_ = r < n ? sketch.rest / static_cast<double>(n - r) : 0;
  M.captured_ = sketch.trace > 0 ? 1 - sketch.rest / sketch.trace : 0;
  M.text_ = fmt::format("pivoted Cholesky, {}", r);
  return M;
}

LowRankPreconditioner LowRankPreconditioner::pivoted_cholesky(const gram::Operator& K, Index rank,
                                                              std::uint64_t seed) {
  return from_sketch(K.comm(), K.size(), krr::pivoted_cholesky(K, rank, seed));
}

LowRankPreconditioner LowRankPreconditioner::restricted(const comm::Communicator& comm,
                                                        std::span<const char> keep) const {
  Matrix<double> F = U_.copy();
  for (Index j = 0; j < F.cols(); ++j) {
    const double root = std::sqrt(s_[static_cast<std::size_t>(j)]);
    for (Index i = 0; i < F.rows(); ++i) F(i, j) *= keep[static_cast<std::size_t>(i)] ? root : 0;
  }
  LowRankPreconditioner M = from_factor(comm, std::move(F));
  M.beside_ = beside_;
  M.captured_ = captured_;
  M.text_ = text_;
  return M;
}

double LowRankPreconditioner::rest(double gamma) const {
  const double largest = s_.empty() ? 0 : s_.front();
  const double rest = std::max(gamma + beside_, kEps * (largest + gamma));
  return rest > 0 ? rest : 1;
}

void LowRankPreconditioner::apply(const comm::Communicator& comm, double gamma,
                                  MatrixView<const double> R, MatrixView<double> Z) const {
  const double beside = 1 / rest(gamma);
  for (Index j = 0; j < R.cols; ++j)
    for (Index i = 0; i < R.rows; ++i) Z(i, j) = beside * R(i, j);
  if (rank() == 0) return;
  auto [C] = inner(comm, Inner{U_.view(), R});
  const double rounding = kEps * (s_.front() + gamma);
  for (Index i = 0; i < C.rows(); ++i) {
    const double on = std::max(s_[static_cast<std::size_t>(i)] + gamma, rounding);
    const double weight = on > 0 ? 1 / on - beside : 0;
    for (Index j = 0; j < C.cols(); ++j) C(i, j) *= weight;
  }
  add_times(1, U_.view(), C.view(), Z);
}

}  // namespace mercer::krr
