#include <algorithm>
#include <cmath>
#include <numeric>

#include "blocks.hpp"
#include "mercer/base/error.hpp"
#include "mercer/base/random.hpp"
#include "mercer/krr/low_rank.hpp"

namespace mercer::krr {
namespace {

constexpr Index kProposals = 64;
constexpr double kRounding = 1e-13;           // relative to K's diagonal
constexpr std::uint32_t kSubstream = 0x5043;  // of Stream::probe

/// The accepted proposals of a block, and the Cholesky factor of K - F F^T on their rows and
/// columns.
struct Accepted {
  std::vector<std::size_t> which;
  Matrix<double> L;  ///< lower triangle
};

class Sketcher {
 public:
  Sketcher(const gram::Operator& K, Index rank, std::uint64_t seed)
      : K_(K),
        comm_(K.comm()),
        random_(seed, Stream::probe, kSubstream),
        most_(std::min(rank, K.size())),
        F_(K.local_rows(), most_),
        left_(static_cast<std::size_t>(K.local_rows())) {
    K_.diagonal(left_);
    floor_ = left_;
    double trace = std::accumulate(left_.begin(), left_.end(), 0.0);
    trace_ = comm_.all_reduce(trace, comm::Op::sum);
    if (!std::isfinite(trace_)) throw RunError("the diagonal of K is not finite");
    for (double& x : floor_) x *= kRounding;
    for (std::size_t i = 0; i < left_.size(); ++i) settle(i);
  }

  CholeskySketch run() {
    while (found() < most_ && advance()) {
    }
    if (found() < most_) {
      Matrix<double> taken(F_.rows(), found());
      std::copy_n(F_.data(), taken.size(), taken.data());
      F_ = std::move(taken);
    }
    CholeskySketch sketch{std::move(F_), std::move(pivots_), trace_, 0};
    sketch.rest = comm_.all_reduce(std::accumulate(left_.begin(), left_.end(), 0.0), comm::Op::sum);
    return sketch;
  }

 private:
  Index found() const { return static_cast<Index>(pivots_.size()); }
  void settle(std::size_t i) {
    if (!(left_[i] > floor_[i])) left_[i] = 0;
  }

  bool advance() {
    const std::vector<Index> proposals = propose(std::min(kProposals, 2 * (most_ - found())));
    if (proposals.empty()) return false;
    const Index b = static_cast<Index>(proposals.size());
    Matrix<double> G(F_.rows(), b);  // columns of K, then of K - F F^T
    K_.columns(proposals, G.view());
    const View F{F_.data(), F_.rows(), found(), F_.ld()};
    const Matrix<double> at = gather_rows(comm_, F, K_.first_row(), proposals);
    Matrix<double> turned(at.cols(), b);
    for (Index j = 0; j < b; ++j)
      for (Index i = 0; i < at.cols(); ++i) turned(i, j) = at(j, i);
    add_times(-1, F, turned.view(), G.view());

    const Accepted accepted = thin(gather_rows(comm_, G.view(), K_.first_row(), proposals));
    for (const std::size_t a : accepted.which) pivots_.push_back(proposals[a]);
    append(G, accepted);
    drawn_ += b;
    return !accepted.which.empty();
  }

  /// The distinct rows among `count` draws with probabilities left_/sum. Collective.
  std::vector<Index> propose(Index count) {
    std::vector<double> sums(left_.size());
    std::partial_sum(left_.begin(), left_.end(), sums.begin());
    const double own = sums.empty() ? 0 : sums.back();
    const std::vector<double> shares = comm_.all_gather(own);
    double before = 0, total = 0;
    int last = -1;  // the last rank with a positive share
    for (std::size_t r = 0; r < shares.size(); ++r) {
      if (static_cast<int>(r) == comm_.rank()) before = total;
      total += shares[r];
      if (shares[r] > 0) last = static_cast<int>(r);
    }
    std::vector<Index> draws(static_cast<std::size_t>(count), -1);
    if (last < 0) return {};
    for (std::size_t j = 0; j < draws.size(); ++j) {
      const double u = random_.uniform(2 * (static_cast<std::uint64_t>(drawn_) + j));
      const double place = u * total - before;
      if (own <= 0 || place < 0 || (place >= own && comm_.rank() != last)) continue;
      const auto found = std::upper_bound(sums.begin(), sums.end(), place);
      auto i = std::min<Index>(found - sums.begin(), std::ssize(left_) - 1);
      while (left_[static_cast<std::size_t>(i)] <= 0) --i;  // past the end by rounding
      draws[j] = K_.first_row() + i;
    }
    comm_.all_reduce(std::span<Index>(draws), comm::Op::max);
    std::vector<Index> once;
    for (const Index i : draws)
      if (i >= 0 && std::find(once.begin(), once.end(), i) == once.end()) once.push_back(i);
    return once;
  }

  /// Accepts proposal i with probability h_ii / (h_ii before the block), where H is reduced by the
  /// proposals accepted before i (one elimination step each).
  Accepted thin(Matrix<double> H) const {
    const Index b = H.rows();
    std::vector<double> before(static_cast<std::size_t>(b));
    for (Index i = 0; i < b; ++i) before[static_cast<std::size_t>(i)] = H(i, i);
    Accepted accepted;
    for (Index i = 0; i < b && found() + std::ssize(accepted.which) < most_; ++i) {
      const double u = random_.uniform(2 * static_cast<std::uint64_t>(drawn_ + i) + 1);
      const double whole = before[static_cast<std::size_t>(i)];
      if (!(H(i, i) > 0) || !(u * whole < H(i, i)) || !(H(i, i) > 1e-10 * whole)) continue;
      accepted.which.push_back(static_cast<std::size_t>(i));
      const double root = std::sqrt(H(i, i));
      for (Index l = i; l < b; ++l) H(l, i) /= root;
      for (Index j = i + 1; j < b; ++j)
        for (Index l = j; l < b; ++l) H(l, j) -= H(l, i) * H(j, i);
    }
    const Index t = std::ssize(accepted.which);
    accepted.L = Matrix<double>(t, t, 0.0);
    for (Index j = 0; j < t; ++j)
      for (Index i = j; i < t; ++i)
        accepted.L(i, j) = H(static_cast<Index>(accepted.which[static_cast<std::size_t>(i)]),
                             static_cast<Index>(accepted.which[static_cast<std::size_t>(j)]));
    return accepted;
  }

  /// F <- [F, G(:, which) L^-T]; updates the diagonal of K - F F^T.
  void append(const Matrix<double>& G, const Accepted& accepted) {
    const Index t = std::ssize(accepted.which), first = found() - t;
    for (Index a = 0; a < t; ++a) {
      double* f = F_.column(first + a);
      std::copy_n(G.column(static_cast<Index>(accepted.which[static_cast<std::size_t>(a)])),
                  F_.rows(), f);
      for (Index c = 0; c < a; ++c) {
        const double l = accepted.L(a, c);
        const double* other = F_.column(first + c);
        for (Index i = 0; i < F_.rows(); ++i) f[i] -= l * other[i];
      }
      const double pivot = accepted.L(a, a);
      for (Index i = 0; i < F_.rows(); ++i) f[i] /= pivot;
      for (Index i = 0; i < F_.rows(); ++i) left_[static_cast<std::size_t>(i)] -= f[i] * f[i];
      const Index own = pivots_[static_cast<std::size_t>(first + a)] - K_.first_row();
      if (own >= 0 && own < F_.rows()) left_[static_cast<std::size_t>(own)] = 0;
    }
    for (std::size_t i = 0; i < left_.size(); ++i) settle(i);
  }

  const gram::Operator& K_;
  const comm::Communicator& comm_;
  Random random_;
  Index most_;
  Matrix<double> F_;
  std::vector<double> left_, floor_;  ///< diagonal of K - F F^T, this rank's rows; 0: rounding
  std::vector<Index> pivots_;
  double trace_ = 0;
  Index drawn_ = 0;
};

}  // namespace

CholeskySketch pivoted_cholesky(const gram::Operator& K, Index rank, std::uint64_t seed) {
  if (rank < 0) throw InputError("a sketch of rank {}: give at least 0", rank);
  return Sketcher(K, rank, seed).run();
}

}  // namespace mercer::krr
