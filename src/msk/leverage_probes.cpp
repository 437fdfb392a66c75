#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "leverage_parts.hpp"
#include "mercer/base/random.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/msk/leverage.hpp"
#include "shifted_systems.hpp"

namespace mercer::msk {
namespace {

using blas::Trans;
using spectral::TopPairs;

constexpr std::uint32_t kLeverageProbes = 0x4C53;  // substream of Stream::probe
constexpr Index kColumnsAtOnce = 1024;             // solutions of shifted systems: probes x ridges

/// Of sums of squares, by whose differences variances are found.
constexpr double kRounding = 64 * std::numeric_limits<double>::epsilon();

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

/// How many probes are multiplied together.
Index batch_of(Index probes, Index ridges) {
  return std::clamp<Index>(kColumnsAtOnce / std::max<Index>(1, ridges), 4,
                           std::max<Index>(4, probes));
}

/// Sums of x, y and their products over the probes, for each of this rank's rows.
class Sums {
 public:
  explicit Sums(Index rows) : values_(at(rows), 0.0) {}
  void add(Index i, double x) { values_[at(i)] += x; }
  double operator[](Index i) const { return values_[at(i)]; }

 private:
  std::vector<double> values_;
};

/// Samples for one ridge: rho_ij = z_i (gamma (B + gamma)^-1 P z)_i of row i and probe j, with the
/// controls pi_ij = z_i (P z)_i - m_i and beta_ij = z_i (B z)_i/scale - u_i/scale, of mean zero.
struct Samples {
  Sums rho, square, with_pi, with_beta;
  std::vector<double> totals;  ///< sum_i rho_ij of this rank's rows, for each probe j
};
struct Controls {
  Sums pi, beta, pi_square, beta_square, pi_beta;
  std::vector<double> pi_totals, beta_totals;
};

/// Parts of the estimate that all ridges share.
class OutsideEstimate {
 public:
  OutsideEstimate(const TopPairs& pairs, const gram::Operator& K, std::span<const double> ridges,
                  const LeverageProbes& options)
      : pairs_(pairs),
        K_(K),
        ridges_(ridges.begin(), ridges.end()),
        options_(options),
        rows_(K.local_rows()),
        scale_(pairs.values.back() > 0 ? pairs.values.back() : 1.0),
        controls_{Sums(rows_), Sums(rows_), Sums(rows_), Sums(rows_), Sums(rows_), {}, {}},
        residual_(ridges.size(), 0.0) {
    for (std::size_t r = 0; r < ridges.size(); ++r)
      samples_.push_back({Sums(rows_), Sums(rows_), Sums(rows_), Sums(rows_), {}});
    mass_.assign(at(rows_), 1.0);
    outside_.assign(at(rows_), 0.0);
    K.diagonal(outside_);
    for (Index j = 0; j < pairs.k(); ++j) {
      const double lambda = pairs.values[at(j)];
      const double* v = pairs.vectors.column(j);
      for (Index i = 0; i < rows_; ++i) {
        mass_[at(i)] -= v[i] * v[i];
        outside_[at(i)] -= lambda * v[i] * v[i];
      }
    }
    for (auto* part : {&mass_, &outside_})
      for (double& x : *part) x = std::max(x, 0.0);
  }

  /// Probes first ... first + count - 1. Collective.
  void sample(Index first, Index count) {
    Matrix<double> Z(rows_, count), b(rows_, count), Bb(rows_, count);
    const Random random(options_.seed, Stream::probe, kLeverageProbes);
    for (Index j = 0; j < count; ++j)
      for (Index i = 0; i < rows_; ++i) {
        const auto index =
            static_cast<std::uint64_t>((K_.first_row() + i) * options_.probes + first + j);
        Z(i, j) = random.uniform(index) < 0.5 ? -1 : 1;
        b(i, j) = Z(i, j);
      }
    project(b.view());
    const BlockProduct B = [&](MatrixView<const double> V, MatrixView<double> Y) {
      K_.apply(V, Y);
      project(Y);
    };
    B(b.view(), Bb.view());
    const double norm = std::sqrt(static_cast<double>(K_.size()));
    auto solved = solve_shifted(K_.comm(), B, ridges_, b.view(), options_.tolerance * norm,
                                options_.max_iterations);
    steps_ = std::max(steps_, solved.steps);
    for (std::size_t r = 0; r < ridges_.size(); ++r)
      residual_[r] = std::max(residual_[r], solved.residuals[r]);
    for (auto& Y : solved.Y) project(Y.view());
    accumulate(Z, b, Bb, solved.Y);
  }

  /// Collective.
  LeverageScores scores() {
    const Index n = K_.size(), count = std::ssize(ridges_);
    LeverageScores result{.ridges = ridges_,
                          .scores = RowBlock<double>(K_.comm(), n, count),
                          .errors = RowBlock<double>(K_.comm(), n, count),
                          .steps = steps_};
    inside(result.scores);
    for (std::size_t r = 0; r < ridges_.size(); ++r) {
      result.converged &=
          residual_[r] <= options_.tolerance * std::sqrt(static_cast<double>(n)) * (1 + 1e-12);
      result.dimension.push_back(finish(r, result.scores, result.errors));
    }
    return result;
  }

 private:
  /// X <- P X, twice for what V^T V - I leaves. Collective.
  void project(MatrixView<double> X) const {
    const auto& V = pairs_.vectors;
    Matrix<double> along(V.cols(), X.cols);
    for (int pass = 0; pass < 2; ++pass) {
      blas::gemm<double>(Trans::yes, Trans::no, 1.0, V.view(), X, 0.0, along.view());
      K_.comm().all_reduce(std::span<double>(along.data(), at(along.size())), comm::Op::sum);
      blas::gemm<double>(Trans::no, Trans::no, -1.0, V.view(), along.view(), 1.0, X);
    }
  }

  void accumulate(const Matrix<double>& Z, const Matrix<double>& b, const Matrix<double>& Bb,
                  const std::vector<Matrix<double>>& Y) {
    for (Index j = 0; j < Z.cols(); ++j) {
      double pi_total = 0, beta_total = 0;
      std::vector<double> totals(ridges_.size(), 0.0);
      for (Index i = 0; i < rows_; ++i) {
        const double z = Z(i, j);
        const double pi = z * b(i, j) - mass_[at(i)];
        const double beta = (z * Bb(i, j) - outside_[at(i)]) / scale_;
        controls_.pi.add(i, pi);
        controls_.beta.add(i, beta);
        controls_.pi_square.add(i, pi * pi);
        controls_.beta_square.add(i, beta * beta);
        controls_.pi_beta.add(i, pi * beta);
        pi_total += pi;
        beta_total += beta;
        for (std::size_t r = 0; r < ridges_.size(); ++r) {
          const double rho = z * ridges_[r] * Y[r](i, j);
          samples_[r].rho.add(i, rho);
          samples_[r].square.add(i, rho * rho);
          samples_[r].with_pi.add(i, rho * pi);
          samples_[r].with_beta.add(i, rho * beta);
          totals[r] += rho;
        }
      }
      controls_.pi_totals.push_back(pi_total);
      controls_.beta_totals.push_back(beta_total);
      for (std::size_t r = 0; r < ridges_.size(); ++r) samples_[r].totals.push_back(totals[r]);
    }
  }

  /// The part of the scores that the pairs give: sum_j lambda_j/(lambda_j + gamma) v_ij^2. Local.
  void inside(RowBlock<double>& scores) const {
    constexpr Index kPanel = 256;
    const auto& V = pairs_.vectors;
    Matrix<double> W(V.cols(), scores.cols()), squares(V.cols(), std::min(kPanel, rows_));
    for (Index r = 0; r < W.cols(); ++r)
      for (Index j = 0; j < W.rows(); ++j)
        W(j, r) = free_share(pairs_.values[at(j)], ridges_[at(r)]);
    for (Index first = 0; first < rows_; first += kPanel) {
      const Index m = std::min(kPanel, rows_ - first);
      for (Index j = 0; j < V.cols(); ++j)
        for (Index i = 0; i < m; ++i) squares(j, i) = V(first + i, j) * V(first + i, j);
      blas::gemm<double>(Trans::yes, Trans::no, 1.0, W.view(),
                         squares.view().block(0, 0, V.cols(), m), 0.0,
                         scores.transposed().block(0, first, scores.cols(), m));
    }
  }

  /// The coefficients of the controls that minimise the variance within rows, over all rows.
  /// Collective.
  std::pair<double, double> coefficients(const Samples& s) const {
    const auto probes = static_cast<double>(options_.probes);
    std::vector<double> sums(5, 0.0);  // pi pi, beta beta, pi beta, rho pi, rho beta
    const auto& c = controls_;
    for (Index i = 0; i < rows_; ++i) {
      sums[0] += c.pi_square[i] - c.pi[i] * c.pi[i] / probes;
      sums[1] += c.beta_square[i] - c.beta[i] * c.beta[i] / probes;
      sums[2] += c.pi_beta[i] - c.pi[i] * c.beta[i] / probes;
      sums[3] += s.with_pi[i] - s.rho[i] * c.pi[i] / probes;
      sums[4] += s.with_beta[i] - s.rho[i] * c.beta[i] / probes;
    }
    K_.comm().all_reduce(std::span<double>(sums), comm::Op::sum);
    const double determinant = sums[0] * sums[1] - sums[2] * sums[2];
    if (determinant > 1e-10 * sums[0] * sums[1])
      return {(sums[3] * sums[1] - sums[4] * sums[2]) / determinant,
              (sums[4] * sums[0] - sums[3] * sums[2]) / determinant};
    return {sums[0] > 0 ? sums[3] / sums[0] : 0.0, 0.0};
  }

  /// Adds the part outside the pairs to the scores of ridge r, writes their errors, and returns
  /// s_gamma. Collective.
  spectral::Estimate finish(std::size_t r, RowBlock<double>& scores, RowBlock<double>& errors) {
    const auto& s = samples_[r];
    const auto& c = controls_;
    const auto [a, b] = coefficients(s);
    const auto probes = static_cast<double>(options_.probes);
    const double gamma = ridges_[r], largest = std::max(0.0, pairs_.values.back());
    const double of_pairs = error_of_pairs(gamma);
    std::vector<double> totals(3 + s.totals.size(), 0.0);  // inside, lower, upper, probes
    for (Index i = 0; i < rows_; ++i) {
      const double m = mass_[at(i)], u = outside_[at(i)];
      const double lower = u / (largest + gamma), upper = u > 0 ? m * u / (u + gamma * m) : 0;
      const double sum = s.rho[i] - a * c.pi[i] - b * c.beta[i];
      const double square = s.square[i] + a * a * c.pi_square[i] + b * b * c.beta_square[i] -
                            2 * a * s.with_pi[i] - 2 * b * s.with_beta[i] +
                            2 * a * b * c.pi_beta[i];
      const double variance =
          std::max(kRounding * s.square[i], square - sum * sum / probes) / (probes - 1);
      const double width = std::max(0.0, upper - lower);
      const double spread = std::sqrt(variance / probes) + residual_[r];
      auto& score = scores.row(i)[r];
      totals[0] += score;
      totals[1] += lower;
      totals[2] += std::max(lower, upper);
      score += std::clamp(m - sum / probes, lower, std::max(lower, upper));
      errors.row(i)[r] = std::min(spread, width) + of_pairs;
    }
    double mass = std::reduce(mass_.begin(), mass_.end());
    for (std::size_t j = 0; j < s.totals.size(); ++j)
      totals[3 + j] = mass - (s.totals[j] - a * c.pi_totals[j] - b * c.beta_totals[j]);
    K_.comm().all_reduce(std::span<double>(totals), comm::Op::sum);
    auto result = dimension(totals, residual_[r] * std::sqrt(static_cast<double>(K_.size())));
    result.error += of_pairs;
    return result;
  }

  /// s_gamma from the sums over all rows: the part inside the pairs, the bounds outside, and the
  /// part outside by each probe. Local.
  static spectral::Estimate dimension(const std::vector<double>& totals, double of_systems) {
    const auto first = totals.begin() + 3;
    const auto probes = static_cast<double>(totals.size() - 3);
    const double mean = std::reduce(first, totals.end()) / probes;
    double square = 0;
    for (auto t = first; t != totals.end(); ++t) square += (*t - mean) * (*t - mean);
    const double lower = totals[1], upper = std::max(lower, totals[2]);
    return {
        .value = totals[0] + std::clamp(mean, lower, upper),
        .error = std::min(std::sqrt(square / (probes - 1) / probes) + of_systems, upper - lower)};
  }

  /// To first order what residuals rho_j lambda_1 of the pairs change in a score: they couple v_j
  /// to the rest, by at most rho_j lambda_1/(lambda_j + gamma).
  double error_of_pairs(double gamma) const {
    double square = 0;
    for (std::size_t j = 0; j < pairs_.values.size(); ++j)
      square += std::pow(
          pairs_.residuals[j] * pairs_.values.front() / (std::max(0.0, pairs_.values[j]) + gamma),
          2);
    return std::sqrt(square);
  }

  const TopPairs& pairs_;
  const gram::Operator& K_;
  std::vector<double> ridges_;
  const LeverageProbes& options_;
  Index rows_;
  double scale_;                        ///< of B: lambda_k
  std::vector<double> mass_, outside_;  ///< m_i, u_i
  Controls controls_;
  std::vector<Samples> samples_;
  std::vector<double> residual_;  ///< the largest of the linear systems, for each ridge
  Index steps_ = 0;
};

void require_pairs(const TopPairs& pairs, const gram::Operator& K) {
  comm::together(K.comm(), [&] {
    if (pairs.n != K.size() || pairs.k() < 1 || pairs.vectors.rows() != K.local_rows() ||
        pairs.vectors.cols() != pairs.k() || std::ssize(pairs.residuals) != pairs.k())
      throw InputError("leverage scores: {} eigenpairs of n = {}, vectors {} x {}, for n = {}",
                       pairs.k(), pairs.n, pairs.vectors.rows(), pairs.vectors.cols(), K.size());
  });
}

}  // namespace

LeverageScores leverage_scores(const TopPairs& pairs, const gram::Operator& K,
                               std::span<const double> ridges, const LeverageProbes& options) {
  require_ridges(ridges);
  if (options.probes < 2)
    throw InputError("leverage scores: {} probes: give at least 2", options.probes);
  require_pairs(pairs, K);
  OutsideEstimate estimate(pairs, K, ridges, options);
  const Index batch = batch_of(options.probes, std::ssize(ridges));
  for (Index first = 0; first < options.probes; first += batch) {
    const Index count = std::min(batch, options.probes - first);
    estimate.sample(first, count);
    if (options.progress)
      options.progress(static_cast<double>(first + count) / static_cast<double>(options.probes));
  }
  return estimate.scores();
}

double leverage_bytes(const gram::Sizes& sizes, Index k, Index ridges,
                      const LeverageProbes& options) {
  const auto rows = static_cast<double>(ceil_div(sizes.n, sizes.rank_count()));
  const auto batch =
      static_cast<double>(std::min(options.probes, batch_of(options.probes, ridges)));
  const auto r = static_cast<double>(ridges);
  const double columns = batch * (2 * r + 6) + 6 * r + 8;
  return 8 * (rows * columns + static_cast<double>(k) * (r + 256 + batch));
}

}  // namespace mercer::msk
