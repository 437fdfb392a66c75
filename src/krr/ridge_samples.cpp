#include "ridge_samples.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "mercer/base/error.hpp"
#include "mercer/base/random.hpp"
#include "mercer/dist/rows.hpp"

namespace mercer::krr {
namespace {

constexpr std::uint32_t kProbeStream = 0x5250, kHoldoutStream = 0x5248;  // of Stream::probe
constexpr Index kGroups = 32;

class ProbeSamples final : public RidgeSamples {
 public:
  ProbeSamples(const gram::Operator& K, const ModifiedOperator* K_g, const LowRankPreconditioner& M,
               const RowBlock<double>& Y, RidgeCriterion criterion,
               const RidgeEstimateOptions& options)
      : K_(K),
        K_g_(K_g),
        M_(M),
        outputs_(Y.cols()),
        probes_(options.probes),
        diagonal_wanted_(criterion == RidgeCriterion::leave_one_out),
        B_(Y.local_rows(), Y.cols() + options.probes),
        diagonal_(static_cast<std::size_t>(Y.local_rows())) {
    const Matrix<double> columns = dist::to_columns(Y);
    std::copy_n(columns.data(), columns.size(), B_.data());
    const Random random(options.seed, Stream::probe, kProbeStream);
    const auto n = static_cast<std::uint64_t>(K.size());
    for (Index p = 0; p < probes_; ++p)
      for (Index i = 0; i < B_.rows(); ++i) {
        const auto at =
            static_cast<std::uint64_t>(p) * n + static_cast<std::uint64_t>(K.first_row() + i);
        B_(i, outputs_ + p) = random.uniform(at) < 0.5 ? -1 : 1;
      }
    auto [C] = inner(K.comm(), Inner{M.vectors(), Z()});
    modes_ = std::move(C);
    lengths_ = column_dots(K.comm(), M.vectors(), M.vectors());
    norms_ = column_norms(K.comm(), B_.view());
    K.diagonal(diagonal_);
    total_ = K.comm().all_reduce(std::accumulate(diagonal_.begin(), diagonal_.end(), 0.0),
                                 comm::Op::sum);
  }

  const gram::Operator& A() const override { return K_; }
  const LowRankPreconditioner& M() const override { return M_; }
  View B() const override { return B_.view(); }

  void judge(const CgResult& solution, RidgeScore& score) const override {
    const View X = solution.X.view();
    const std::vector<double> products = column_dots(K_.comm(), B_.view(), X);
    const double theta = mean_beside(products, score.ridge);
    if (!diagonal_wanted_) {
      judge_gcv(X, products, theta, score);
      add_solver_error(solution, products, score, 1);
      return;
    }
    const View B = X.block(0, 0, X.rows, outputs_);
    if (K_g_ == nullptr) {
      judge_leave_one_out(X, B, theta, {}, score);
      add_solver_error(solution, products, score, 1);
      return;
    }
    Matrix<double> alpha(B.rows, B.cols);
    std::copy_n(B.data, alpha.size(), alpha.data());
    K_g_->S().apply_columns(K_g_->comm(), alpha.view());
    const auto beside = K_g_->left_out(score.ridge);
    judge_leave_one_out(X, alpha.view(), theta, beside, score);
    // A residual r changes B by up to |r|/gamma and alpha by up to |P| |r|.
    const auto total = [&](View A) {
      const auto squares = column_dots(K_.comm(), A, A);
      return std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
    };
    const double of_b = total(B), of_alpha = total(alpha.view());
    add_solver_error(solution, products, score,
                     of_alpha > 0 ? std::max(1.0, beside.norm * score.ridge * of_b / of_alpha) : 1);
  }

 private:
  View Z() const { return B_.view().block(0, outputs_, B_.rows(), probes_); }
  double weight(std::size_t i, double ridge, double theta) const {
    return 1 / (M_.values()[i] + ridge) - theta;
  }
  double n() const { return static_cast<double>(K_.size()); }
  double m() const { return static_cast<double>(probes_); }

  /// tr D, and z^T D z of a probe.
  double trace_of_d(double ridge, double theta) const {
    double sum = theta * n();
    for (std::size_t i = 0; i < lengths_.size(); ++i) sum += weight(i, ridge, theta) * lengths_[i];
    return sum;
  }
  double d_of_probe(Index p, double ridge, double theta) const {
    double sum = theta * n();
    for (Index i = 0; i < modes_.rows(); ++i)
      sum += weight(static_cast<std::size_t>(i), ridge, theta) * modes_(i, p) * modes_(i, p);
    return sum;
  }
  /// One estimate of tr A^-1 for each probe z: z^T A^-1 z + tr D - z^T D z.
  std::vector<double> traces(const std::vector<double>& products, double ridge,
                             double theta) const {
    const double exact = trace_of_d(ridge, theta);
    std::vector<double> values;
    for (Index p = 0; p < probes_; ++p)
      values.push_back(products[static_cast<std::size_t>(outputs_ + p)] + exact -
                       d_of_probe(p, ridge, theta));
    return values;
  }
  /// theta, the mean of A^-1 on the complement of U: it makes A^-1 - D small.
  double mean_beside(const std::vector<double>& products, double ridge) const {
    const double first = 1 / M_.rest(ridge);
    const double others = n() - static_cast<double>(M_.rank());
    if (others < 1) return first;
    const auto values = traces(products, ridge, first);
    double rest = std::accumulate(values.begin(), values.end(), 0.0) / m();
    for (std::size_t i = 0; i < lengths_.size(); ++i)
      rest -= lengths_[i] / (M_.values()[i] + ridge);
    return std::clamp(rest / others, 0.0, 1 / ridge);
  }

  void judge_gcv(View X, const std::vector<double>& products, double theta,
                 RidgeScore& score) const {
    const auto norms = column_norms(K_.comm(), X.block(0, 0, X.rows, outputs_));
    double square = 0;
    for (const double x : norms) square += x * x;
    const auto values = traces(products, score.ridge, theta);
    const double sum = std::accumulate(values.begin(), values.end(), 0.0);
    // 1/(lambda + gamma) of every mode lies between 1/(trace + gamma) and 1/gamma.
    const auto gcv = [&](double trace) {
      const double kept = std::clamp(trace, n() / (total_ + score.ridge), n() / score.ridge);
      return std::log(n() * square / (static_cast<double>(outputs_) * kept * kept));
    };
    std::vector<double> without;
    for (const double t : values) without.push_back(gcv((sum - t) / (m() - 1)));
    jackknife(gcv(sum / m()), without, score);
  }

  /// alpha: S B; or B, with an empty `beside`, where S = I.
  void judge_leave_one_out(View X, View alpha, double theta,
                           const ModifiedOperator::LeftOut& beside, RidgeScore& score) const {
    const View U = M_.vectors();
    Matrix<double> C(modes_.rows(), probes_);  // D Z - theta Z = U C
    for (Index p = 0; p < probes_; ++p)
      for (Index i = 0; i < C.rows(); ++i)
        C(i, p) = weight(static_cast<std::size_t>(i), score.ridge, theta) * modes_(i, p);
    Matrix<double> DZ(X.rows, probes_, 0.0);
    add_times(1, U, C.view(), DZ.view());

    std::vector<double> sums(static_cast<std::size_t>(probes_ + 1), 0.0), row(sums.size() - 1);
    for (Index i = 0; i < X.rows; ++i) {
      double exact = theta, sum = 0;
      for (Index j = 0; j < U.cols; ++j)
        exact += weight(static_cast<std::size_t>(j), score.ridge, theta) * U(i, j) * U(i, j);
      for (Index p = 0; p < probes_; ++p) {
        const double z = B_(i, outputs_ + p);
        const double value = exact + z * (X(i, outputs_ + p) - DZ(i, p)) - theta;
        row[static_cast<std::size_t>(p)] = value;
        sum += value;
      }
      // (A^-1)_ii lies between 1/A_ii and 1/gamma.
      const double low = 1 / (std::max(diagonal_[static_cast<std::size_t>(i)], 0.0) + score.ridge);
      const auto left_out = [&](double estimate) {
        const double a = std::clamp(estimate, low, 1 / score.ridge);
        double square = 0, p = a;
        if (!beside.added.empty())
          p = std::max(a + beside.added[static_cast<std::size_t>(i)],
                       1 / beside.system[static_cast<std::size_t>(i)]);
        for (Index o = 0; o < outputs_; ++o) {
          const double ratio = p > 0 ? alpha(i, o) / p : 0;
          square += std::pow(ratio + score.ridge * (X(i, o) - a * ratio), 2);
        }
        return square;
      };
      for (std::size_t p = 0; p < row.size(); ++p) sums[p] += left_out((sum - row[p]) / (m() - 1));
      sums.back() += left_out(sum / m());
    }
    K_.comm().all_reduce(std::span<double>(sums), comm::Op::sum);
    const double count = n() * static_cast<double>(outputs_);
    for (double& s : sums) s = 0.5 * std::log(s / count);
    const double all = sums.back();
    sums.pop_back();
    jackknife(all, sums, score);
  }

  /// A solution with residual r is off by A^-1 r: |B|^2 by at most 2 |A^-1 B| |r| <= 2 |B| |r| /
  /// gamma, z^T A^-1 z by |A^-1 z| |r|. `amplified`: the relative error of alpha over that of B.
  void add_solver_error(const CgResult& solution, const std::vector<double>& products,
                        RidgeScore& score, double amplified) const {
    const auto lengths = column_norms(K_.comm(), solution.X.view());
    double of_y = 0, b = 0, of_traces = 0, traces = 0;
    for (std::size_t j = 0; j < lengths.size(); ++j) {
      const double r = solution.residuals[j] * norms_[j];
      if (static_cast<Index>(j) < outputs_) {
        of_y += r * r;
        b += lengths[j] * lengths[j];
      } else {
        of_traces += lengths[j] * r;
        traces += products[j];
      }
    }
    double relative = b > 0 ? 2 * amplified * std::sqrt(of_y / b) / score.ridge : 0;
    if (traces > 0) relative += 2 * of_traces / traces;
    score.solver_error = diagonal_wanted_ ? 0.5 * relative : relative;
    score.error = std::hypot(score.error, score.solver_error * score.score);
  }

  const gram::Operator& K_;
  const ModifiedOperator* K_g_;  ///< K_ where that is a modified kernel; else null
  const LowRankPreconditioner& M_;
  Index outputs_, probes_;
  bool diagonal_wanted_;
  Matrix<double> B_;              ///< [Y, Z]
  Matrix<double> modes_;          ///< U^T Z
  std::vector<double> lengths_;   ///< |u_i|^2
  std::vector<double> norms_;     ///< of B's columns
  std::vector<double> diagonal_;  ///< K_ii of this rank's rows
  double total_ = 0;              ///< trace(K)
};

/// D K D, D = diag(keep).
class MaskedOperator final : public gram::Operator {
 public:
  MaskedOperator(const gram::Operator& K, std::vector<char> keep) : K_(K), keep_(std::move(keep)) {}
  const comm::Communicator& comm() const override { return K_.comm(); }
  Index size() const override { return K_.size(); }
  const std::vector<char>& keep() const { return keep_; }

  void apply(MatrixView<const double> V, MatrixView<double> Y) const override {
    Matrix<double> kept(V.rows, V.cols);
    for (Index j = 0; j < V.cols; ++j)
      for (Index i = 0; i < V.rows; ++i)
        kept(i, j) = keep_[static_cast<std::size_t>(i)] ? V(i, j) : 0;
    K_.apply(kept.view(), Y);
    for (Index j = 0; j < V.cols; ++j)
      for (Index i = 0; i < V.rows; ++i)
        if (!keep_[static_cast<std::size_t>(i)]) Y(i, j) = 0;
  }
  void diagonal(std::span<double> d) const override {
    K_.diagonal(d);
    for (std::size_t i = 0; i < d.size(); ++i)
      if (!keep_[i]) d[i] = 0;
  }

 private:
  const gram::Operator& K_;
  std::vector<char> keep_;
};

class HoldoutSamples final : public RidgeSamples {
 public:
  HoldoutSamples(const gram::Operator& K, const LowRankPreconditioner& M, const RowBlock<double>& Y,
                 const RidgeEstimateOptions& options)
      : K_(K),
        A_(K, chosen(K, options)),
        M_(M.restricted(K.comm(), A_.keep())),
        Y_(dist::to_columns(Y)) {
    B_ = Y_.copy();
    Index own = 0;
    for (Index i = 0; i < B_.rows(); ++i)
      if (!kept(i)) {
        ++own;
        for (Index o = 0; o < B_.cols(); ++o) B_(i, o) = 0;
      }
    const auto counts = K.comm().all_gather(own);
    for (std::size_t r = 0; r < counts.size(); ++r) {
      if (static_cast<int>(r) < K.comm().rank()) before_ += counts[r];
      held_out_ += counts[r];
    }
    if (held_out_ < 2 || K.size() - held_out_ < 2)
      throw InputError(
          "a holdout split of {} of {} rows holds out {}: at least 2 are needed on either side",
          options.held_out, K.size(), held_out_);
    const auto norms = column_norms(K.comm(), B_.view());
    norm_ = std::sqrt(std::inner_product(norms.begin(), norms.end(), norms.begin(), 0.0));
  }

  const gram::Operator& A() const override { return A_; }
  const LowRankPreconditioner& M() const override { return M_; }
  View B() const override { return B_.view(); }

  void judge(const CgResult& solution, RidgeScore& score) const override {
    Matrix<double> F(B_.rows(), B_.cols());
    K_.apply(solution.X.view(), F.view());
    const auto groups = std::min(kGroups, held_out_);
    std::vector<double> squares(static_cast<std::size_t>(groups), 0.0);
    Index at = before_;
    for (Index i = 0; i < F.rows(); ++i) {
      if (kept(i)) continue;
      for (Index o = 0; o < F.cols(); ++o)
        squares[static_cast<std::size_t>(at % groups)] += std::pow(Y_(i, o) - F(i, o), 2);
      ++at;
    }
    K_.comm().all_reduce(std::span<double>(squares), comm::Op::sum);
    const double sum = std::accumulate(squares.begin(), squares.end(), 0.0);
    const auto c = static_cast<double>(B_.cols());
    const auto log_rmse = [c](double square, Index rows) {
      return 0.5 * std::log(square / (c * static_cast<double>(rows)));
    };
    std::vector<double> without;
    for (Index g = 0; g < groups; ++g) {
      const Index rows = held_out_ / groups + (g < held_out_ % groups ? 1 : 0);
      without.push_back(log_rmse(sum - squares[static_cast<std::size_t>(g)], held_out_ - rows));
    }
    jackknife(log_rmse(sum, held_out_), without, score);

    // A residual r of the fit changes predictions by about |r|, scaled to the held-out rows.
    const double worst = solution.residuals.empty() ? 0
                                                    : *std::max_element(solution.residuals.begin(),
                                                                        solution.residuals.end());
    const double share =
        static_cast<double>(held_out_) / static_cast<double>(K_.size() - held_out_);
    score.solver_error = sum > 0 ? worst * norm_ * std::sqrt(share / sum) : 0;
    score.error = std::hypot(score.error, score.solver_error * score.score);
  }

 private:
  static std::vector<char> chosen(const gram::Operator& K, const RidgeEstimateOptions& options) {
    std::vector<char> keep(static_cast<std::size_t>(K.local_rows()));
    for (Index i = 0; i < K.local_rows(); ++i)
      keep[static_cast<std::size_t>(i)] =
          !krr::held_out(K.first_row() + i, options.held_out, options.seed);
    return keep;
  }
  bool kept(Index i) const { return A_.keep()[static_cast<std::size_t>(i)] != 0; }

  const gram::Operator& K_;
  MaskedOperator A_;
  LowRankPreconditioner M_;
  Matrix<double> Y_, B_;
  Index held_out_ = 0, before_ = 0;  ///< rows over all ranks; on the ranks before this one
  double norm_ = 0;                  ///< |B|_F
};

}  // namespace

bool held_out(Index i, double share, std::uint64_t seed) {
  const Random random(seed, Stream::probe, kHoldoutStream);
  return random.uniform(static_cast<std::uint64_t>(i)) < share;
}

void jackknife(double all, const std::vector<double>& without, RidgeScore& score) {
  const auto m = static_cast<double>(without.size());
  score.replicates.clear();
  if (!std::isfinite(all)) {  // log 0, or NaN
    score.score = std::exp(all);
    score.error = 0;
    return;
  }
  for (const double value : without) score.replicates.push_back(m * all - (m - 1) * value);
  double mean = 0, square = 0;
  for (const double value : score.replicates) mean += value / m;
  for (const double value : score.replicates) square += (value - mean) * (value - mean);
  score.score = std::exp(mean);
  score.error = score.score * std::sqrt(square / (m * (m - 1)));
}

std::unique_ptr<RidgeSamples> probe_samples(const gram::Operator& K, const ModifiedOperator* K_g,
                                            const LowRankPreconditioner& M,
                                            const RowBlock<double>& Y, RidgeCriterion criterion,
                                            const RidgeEstimateOptions& options) {
  return std::make_unique<ProbeSamples>(K, K_g, M, Y, criterion, options);
}
std::unique_ptr<RidgeSamples> holdout_samples(const gram::Operator& K,
                                              const LowRankPreconditioner& M,
                                              const RowBlock<double>& Y,
                                              const RidgeEstimateOptions& options) {
  return std::make_unique<HoldoutSamples>(K, M, Y, options);
}

}  // namespace mercer::krr
