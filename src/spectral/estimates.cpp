#include "mercer/spectral/estimates.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mercer/base/random.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/la/scalapack.hpp"

namespace mercer::spectral {
namespace {

constexpr std::uint32_t kRademacher = 3;  // substream of Stream::probe

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

/// The Lanczos chains of all probes: for each probe z the orthonormal Q_z (this rank's rows x
/// steps + 1) and the tridiagonal T_z = Q_z^T K Q_z.
class Chains {
 public:
  Chains(const gram::Operator& K, const EstimateOptions& options)
      : K_(K), count_(options.probes), steps_(std::min(options.steps, K.size())) {
    const Index rows = K.local_rows();
    comm::together(K.comm(), [&] {
      for (Index z = 0; z < count_; ++z) Q_.emplace_back(rows, steps_ + 1);
      V_ = Matrix<double>(rows, count_);
      W_ = Matrix<double>(rows, count_);
    });
    alpha_.assign(at(count_), {});
    beta_.assign(at(count_), {});
    ended_.assign(at(count_), false);
    const Random random(options.seed, Stream::probe, kRademacher);
    const double unit = 1 / std::sqrt(static_cast<double>(K.size()));
    for (Index z = 0; z < count_; ++z)
      for (Index i = 0; i < rows; ++i) {
        const auto index = static_cast<std::uint64_t>((K.first_row() + i) * count_ + z);
        Q_[at(z)](i, 0) = random.uniform(index) < 0.5 ? -unit : unit;
      }
  }

  Index steps() const { return steps_; }

  /// Step j of every chain that has not ended; false where all have. Collective.
  bool step(Index j) {
    const Index rows = V_.rows();
    for (Index z = 0; z < count_; ++z)
      if (ended_[at(z)])
        std::fill_n(V_.column(z), rows, 0.0);
      else
        std::copy_n(Q_[at(z)].column(j), rows, V_.column(z));
    K_.apply(V_.view(), W_.view());
    const auto along = project(j + 1);
    const auto again = project(j + 1);
    std::vector<double> squares(at(count_), 0.0);
    for (Index z = 0; z < count_; ++z)
      for (Index i = 0; i < rows; ++i) squares[at(z)] += W_(i, z) * W_(i, z);
    K_.comm().all_reduce(std::span<double>(squares), comm::Op::sum);
    bool going_on = false;
    for (Index z = 0; z < count_; ++z) {
      if (ended_[at(z)]) continue;
      const double alpha = along(j, z) + again(j, z), beta = std::sqrt(squares[at(z)]);
      if (!std::isfinite(alpha) || !std::isfinite(beta))
        throw RunError("lanczos: products of K have entries that are not finite numbers");
      alpha_[at(z)].push_back(alpha);
      beta_[at(z)].push_back(beta);
      double size = 0;
      for (const double a : alpha_[at(z)]) size = std::max(size, std::abs(a));
      for (const double b : beta_[at(z)]) size = std::max(size, b);
      // Below this a vector is zero up to rounding: the subspace is invariant.
      ended_[at(z)] = j + 1 == K_.size() || beta <= 1e-13 * size;
      if (ended_[at(z)] || j + 1 == steps_) continue;
      going_on = true;
      for (Index i = 0; i < rows; ++i) Q_[at(z)](i, j + 1) = W_(i, z) / beta;
    }
    return going_on;
  }

  /// Nodes, weights and the extreme Ritz values. Collective.
  Quadrature quadrature() const {
    Quadrature result;
    result.n = K_.size();
    result.smallest = std::numeric_limits<double>::infinity();
    result.largest = -result.smallest;
    for (Index z = 0; z < count_; ++z) {
      const auto m = static_cast<Index>(alpha_[at(z)].size());
      std::vector<double> nodes(at(m)), weights(at(m));
      double last = 0;  // |last entry| of the eigenvector of T for the least Ritz value
      comm::together(K_.comm(), [&] {
        if (!K_.comm().root()) return;
        Matrix<double> T(m, m, 0.0);
        for (Index j = 0; j < m; ++j) {
          T(j, j) = alpha_[at(z)][at(j)];
          if (j + 1 < m) T(j + 1, j) = T(j, j + 1) = beta_[at(z)][at(j)];
        }
        nodes = blas::syevd(T.view());
        for (Index j = 0; j < m; ++j) weights[at(j)] = T(0, j) * T(0, j);
        last = std::abs(T(m - 1, 0));
      });
      K_.comm().broadcast(std::span<double>(nodes), 0);
      K_.comm().broadcast(std::span<double>(weights), 0);
      K_.comm().broadcast(std::span<double>(&last, 1), 0);
      if (nodes.front() < result.smallest) {
        result.smallest = nodes.front();
        result.smallest_residual = ended_[at(z)] ? 0 : last * beta_[at(z)].back();
      }
      result.largest = std::max(result.largest, nodes.back());
      result.nodes.push_back(std::move(nodes));
      result.weights.push_back(std::move(weights));
      result.complete.push_back(ended_[at(z)]);
    }
    return result;
  }

 private:
  /// w_z <- w_z - Q_z Q_z^T w_z with the first m columns of Q_z, for every chain; returns the
  /// coefficients Q_z^T w_z, m x probes. Collective.
  Matrix<double> project(Index m) {
    const Index rows = V_.rows();
    Matrix<double> C(m, count_, 0.0);
    const auto w = [&](Index z) { return W_.view().block(0, z, rows, 1); };
    const auto c = [&](Index z) { return C.view().block(0, z, m, 1); };
    const auto q = [&](Index z) { return Q_[at(z)].view().block(0, 0, rows, m); };
    for (Index z = 0; z < count_; ++z)
      if (rows > 0 && !ended_[at(z)])
        blas::gemm<double>(blas::Trans::yes, blas::Trans::no, 1, q(z), w(z), 0, c(z));
    K_.comm().all_reduce(std::span<double>(C.data(), at(C.size())), comm::Op::sum);
    for (Index z = 0; z < count_; ++z)
      if (rows > 0 && !ended_[at(z)])
        blas::gemm<double>(blas::Trans::no, blas::Trans::no, -1, q(z), c(z), 1, w(z));
    return C;
  }

  const gram::Operator& K_;
  Index count_, steps_;
  std::vector<Matrix<double>> Q_;
  Matrix<double> V_, W_;
  std::vector<std::vector<double>> alpha_, beta_;
  std::vector<bool> ended_;
};

/// The mean of the samples, and its standard deviation.
Estimate mean_of(const std::vector<double>& samples) {
  const auto count = static_cast<double>(samples.size());
  double sum = 0, squares = 0;
  for (const double x : samples) sum += x;
  const double mean = sum / count;
  for (const double x : samples) squares += (x - mean) * (x - mean);
  return {mean, std::sqrt(squares / (count * (count - 1)))};
}

/// The share of a probe's spectral measure below x, and its uncertainty.
struct Share {
  double value = 0, open = 0;
};
Share share_below(const std::vector<double>& nodes, const std::vector<double>& weights,
                  bool complete, double x) {
  double below = 0;
  std::size_t j = 0;
  for (; j < nodes.size() && nodes[j] < x; ++j) below += weights[j];
  if (complete) return {below, 0};
  const double left = j > 0 ? weights[j - 1] : 0, right = j < nodes.size() ? weights[j] : 0;
  if (j == 0 || j == nodes.size()) return {below, 0.5 * (left + right)};
  const double t = (x - nodes[j - 1]) / (nodes[j] - nodes[j - 1]);
  return {below - 0.5 * left + 0.5 * t * (left + right), 0.5 * (left + right)};
}

}  // namespace

double trace(const gram::Operator& K) {
  std::vector<double> diagonal(at(K.local_rows()));
  K.diagonal(diagonal);
  double sum = 0;
  for (const double value : diagonal) sum += value;
  return K.comm().all_reduce(sum, comm::Op::sum);
}

Quadrature lanczos_quadrature(const gram::Operator& K, const EstimateOptions& options) {
  if (options.probes < 2 || options.steps < 1)
    throw InputError("lanczos_quadrature: {} probes and {} steps: give at least 2 and 1",
                     options.probes, options.steps);
  if (K.size() < 1) throw InputError("lanczos_quadrature: K is empty");
  Chains chains(K, options);
  for (Index j = 0; j < chains.steps(); ++j) {
    const bool going_on = chains.step(j);
    if (options.progress)
      options.progress(static_cast<double>(j + 1) / static_cast<double>(chains.steps()));
    if (!going_on) break;
  }
  return chains.quadrature();
}

Estimate Quadrature::trace_of(const std::function<double(double)>& f) const {
  std::vector<double> samples;
  for (std::size_t z = 0; z < nodes.size(); ++z) {
    double sum = 0;
    for (std::size_t j = 0; j < nodes[z].size(); ++j) {
      const double value = f(nodes[z][j]);
      if (!std::isfinite(value))
        throw RunError("tr f(K): f is {} at the Ritz value {:.6g}", value, nodes[z][j]);
      sum += weights[z][j] * value;
    }
    samples.push_back(static_cast<double>(n) * sum);
  }
  return mean_of(samples);
}

Estimate Quadrature::log_determinant(double ridge) const {
  return trace_of([&](double lambda) {
    if (!(lambda + ridge > 0))
      throw RunError(
          "log det(K + {:.3g} I): a Ritz value is {:.3g}: give a ridge above its modulus", ridge,
          lambda);
    return std::log(lambda + ridge);
  });
}

Estimate Quadrature::statistical_dimension(double ridge) const {
  return trace_of([&](double lambda) {
    if (!(lambda + ridge > 0))
      throw RunError(
          "tr K (K + {:.3g} I)^-1: a Ritz value is {:.3g}: give a ridge above its modulus", ridge,
          lambda);
    return lambda / (lambda + ridge);
  });
}

std::vector<Estimate> Quadrature::count_below(const std::vector<double>& points) const {
  std::vector<Estimate> counts;
  const double N = static_cast<double>(n);
  for (const double x : points) {
    std::vector<double> samples;
    double open = 0;
    for (std::size_t z = 0; z < nodes.size(); ++z) {
      const Share share = share_below(nodes[z], weights[z], complete[z], x);
      samples.push_back(N * share.value);
      open += N * share.open / static_cast<double>(nodes.size());
    }
    Estimate count = mean_of(samples);
    count.error += open;
    counts.push_back(count);
  }
  return counts;
}

}  // namespace mercer::spectral
