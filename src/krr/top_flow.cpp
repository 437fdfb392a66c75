#include "mercer/krr/top_flow.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "mercer/base/error.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/comm/together.hpp"

namespace mercer::krr {
namespace {

double norm(const RowBlock<double>& A) {
  double sum = 0;
  for (const double a : A.values()) sum += a * a;
  return std::sqrt(A.comm().all_reduce(sum, comm::Op::sum));
}

/// A diag(weights) of the columns of A.
Matrix<double> scaled(const Matrix<double>& A, std::span<const double> weights) {
  Matrix<double> B(A.rows(), A.cols());
  for (Index j = 0; j < A.cols(); ++j)
    for (Index i = 0; i < A.rows(); ++i) B(i, j) = A(i, j) * weights[static_cast<std::size_t>(j)];
  return B;
}

}  // namespace

RestOfModes rest_of_modes(const GradientFlow& flow, double largest) {
  largest = std::max(0.0, largest);
  if (std::isfinite(flow.time) && flow.step * (largest + flow.ridge) > 1)
    throw InputError(
        "gradient descent with eta n = {:.3g}: what pairs of the top eigenvalues leave is bounded "
        "only up to 1/(lambda_k + gamma) = {:.3g}",
        flow.step, 1 / (largest + flow.ridge));
  const auto phi = [&](double lambda) { return flow.filter(lambda + flow.ridge); };
  RestOfModes rest{.filter = phi(largest)};
  if (largest == 0) {
    rest.filter = std::isfinite(rest.filter) ? rest.filter : 0;
    return rest;
  }
  // On [low, high] phi(low) is the largest; lambda phi <= 1.
  const auto see = [&](double low, double high) {
    const double above = phi(low) - rest.filter;
    rest.fitted = std::max(rest.fitted, std::min(1 - low * rest.filter, high * above));
    rest.predicted = std::max(rest.predicted, std::sqrt(high) * above);
  };
  constexpr double kRatio = 0.98, kSmallest = 1e-15;
  double high = largest;
  for (; high > kSmallest * largest; high *= kRatio) see(kRatio * high, high);
  see(0, high);
  return rest;
}

TopFlow::TopFlow(const spectral::TopPairs& pairs, const msk::ModifiedSpectrum& spectrum,
                 const RowBlock<double>& Y, const Product& K,
                 std::optional<std::vector<double>> diagonal)
    : pairs_(pairs),
      spectrum_(spectrum),
      ratio_(spectrum.ratio()),
      Y_(Y),
      modes_(Y.cols(), pairs.k(), 0.0),
      outside_(Y.copy()),
      diagonal_(std::move(diagonal)) {
  const auto& V = pairs.vectors;
  comm::together(Y.comm(), [&] {
    if (V.rows() != Y.local_rows() || V.cols() != pairs.k() || pairs.k() < 1 ||
        std::ssize(spectrum.g) != pairs.k())
      throw InputError("training times: {} eigenpairs, g of {}, vectors {} x {} for {} local rows",
                       pairs.k(), spectrum.g.size(), V.rows(), V.cols(), Y.local_rows());
    if (diagonal_.has_value() && std::ssize(*diagonal_) != Y.local_rows())
      throw InputError("training times: {} numbers of K's diagonal for {} local rows",
                       diagonal_->size(), Y.local_rows());
  });
  using blas::Trans;
  for (int pass = 0; pass < 2; ++pass) {  // the second for what V^T V - I left
    Matrix<double> part(Y.cols(), pairs.k());
    blas::gemm<double>(Trans::no, Trans::no, 1.0, outside_.transposed(), V.view(), 0.0,
                       part.view());
    Y.comm().all_reduce(std::span<double>(part.data(), static_cast<std::size_t>(part.size())),
                        comm::Op::sum);
    blas::gemm<double>(Trans::no, Trans::yes, -1.0, part.view(), V.view(), 1.0,
                       outside_.transposed());
    for (Index i = 0; i < part.size(); ++i) modes_.data()[i] += part.data()[i];
  }
  K_outside_ = K(outside_);
  norm_ = norm(Y);
  outside_norm_ = norm(outside_);
}

/// GCV and leave-one-out errors of F = H Y, H = V diag(1 - u) V^T + c (K - V diag(lambda) V^T).
void TopFlow::score(const GradientFlow& flow, double filter, Fit& fit) const {
  const Index n = Y_.rows(), c = Y_.cols(), own = Y_.local_rows(), k = pairs_.k();
  std::vector<double> inside;  // 1 - u_i - c lambda_i
  double trace = filter * pairs_.trace;
  for (Index i = 0; i < k; ++i) {
    const auto at = static_cast<std::size_t>(i);
    inside.push_back(1 - flow.residual(spectrum_.g[at]) - filter * spectrum_.lambda[at]);
    trace += inside.back();
  }
  std::vector<double> sums(static_cast<std::size_t>(2 * c), 0.0);  // of squares; left out
  for (Index i = 0; i < own; ++i) {
    double left = 1;
    if (leaves_out()) {
      left -= filter * (*diagonal_)[static_cast<std::size_t>(i)];
      for (Index j = 0; j < k; ++j)
        left -= inside[static_cast<std::size_t>(j)] * pairs_.vectors(i, j) * pairs_.vectors(i, j);
    }
    for (std::size_t o = 0; o < static_cast<std::size_t>(c); ++o) {
      const double away = Y_.row(i)[o] - fit.fitted.row(i)[o];
      sums[2 * o] += away * away;
      sums[2 * o + 1] += away * away / (left * left);
    }
  }
  Y_.comm().all_reduce(std::span<double>(sums), comm::Op::sum);
  const auto rows = static_cast<double>(n);
  double square = 0;
  for (std::size_t o = 0; o < sums.size(); o += 2) {
    fit.gcv_by_output.push_back(rows * sums[o] / std::pow(rows - trace, 2));
    if (leaves_out()) fit.loo_rmse_by_output.push_back(std::sqrt(sums[o + 1] / rows));
    square += sums[o + 1] / rows;
  }
  const auto outputs = static_cast<double>(c);
  fit.gcv = std::reduce(fit.gcv_by_output.begin(), fit.gcv_by_output.end()) / outputs;
  if (leaves_out()) fit.loo_rmse = std::sqrt(square / outputs);
}

/// At t = infinity the factor is 1/(g_i + gamma).
void TopFlow::require_definite(double ridge) const {
  const auto& lambda = spectrum_.lambda;  // lambda_k stands for the other modes
  const double least = std::min(*std::ranges::min_element(spectrum_.g), lambda.back());
  const double largest = std::max(*std::ranges::max_element(spectrum_.g), lambda.front());
  const double residual = *std::ranges::max_element(pairs_.residuals);
  const double error =
      std::max(40 * std::numeric_limits<double>::epsilon(), 2 * residual) * largest;
  if (least + ridge > error) return;
  throw RunError(
      "K_g + gamma I is not positive definite to working precision at gamma = {:.3g}: the smallest "
      "of these eigenvalues is {:.2g}, with an error of {:.1g}; give a ridge of {:.1g}, fewer "
      "eigenpairs or a finite time",
      ridge, least, error, 2 * error - std::min(0.0, least));
}

Fit TopFlow::fit(const GradientFlow& flow) const {
  check_flow(flow, *std::ranges::max_element(spectrum_.g));
  if (std::isinf(flow.time)) require_definite(flow.ridge);
  using blas::Trans;
  const auto rest = rest_of_modes(flow, spectrum_.lambda.back());
  std::vector<double> of_alpha, of_F;
  double residual = 0;
  for (std::size_t i = 0; i < ratio_.size(); ++i) {
    of_alpha.push_back(ratio_[i] * flow.filter(spectrum_.g[i] + flow.ridge));
    of_F.push_back(spectrum_.lambda[i] * of_alpha[i]);
    double square = 0;
    for (Index o = 0; o < modes_.rows(); ++o)
      square += std::pow(modes_(o, static_cast<Index>(i)) * of_alpha[i], 2);
    residual += std::sqrt(square) * pairs_.residuals[i] * spectrum_.lambda.front();
  }
  Fit fit;
  fit.ridge = flow.ridge;
  fit.time = flow.time;
  fit.alpha = outside_.copy();
  fit.fitted = K_outside_.copy();
  blas::gemm<double>(Trans::no, Trans::yes, 1.0, scaled(modes_, of_alpha).view(),
                     pairs_.vectors.view(), rest.filter, fit.alpha.transposed());
  blas::gemm<double>(Trans::no, Trans::yes, 1.0, scaled(modes_, of_F).view(), pairs_.vectors.view(),
                     rest.filter, fit.fitted.transposed());
  const auto rows = static_cast<double>(Y_.rows()), outputs = static_cast<double>(Y_.cols());
  fit.residual = norm_ > 0 ? residual / norm_ : residual;
  fit.residual_exact = pairs_.residuals_exact;
  fit.rest_fitted = rest.fitted * outside_norm_ / std::sqrt(rows * outputs);
  fit.rest_predicted =
      outside_norm_ > 0 ? rest.predicted * outside_norm_ / std::sqrt(rows * outputs) : 0;
  score(flow, rest.filter, fit);
  return fit;
}

std::vector<Fit> TopFlow::fit(std::span<const GradientFlow> flows) const {
  std::vector<Fit> fits;
  for (const auto& flow : flows) fits.push_back(fit(flow));
  return fits;
}

std::vector<GradientFlow> TopFlow::times(const GradientFlow& like) const {
  constexpr double kBeyond = 10;
  const auto& g = spectrum_.g;
  double trace = pairs_.trace;  // of K_g
  for (std::size_t i = 0; i < g.size(); ++i) trace += g[i] - spectrum_.lambda[i];
  auto flows = time_grid(like, *std::ranges::max_element(g),
                         std::max(trace, g.back()) / static_cast<double>(Y_.rows()));
  while (flows.size() > 1 && flows.back().time * spectrum_.lambda.back() > kBeyond)
    flows.pop_back();
  return flows;
}

}  // namespace mercer::krr
