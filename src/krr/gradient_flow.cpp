#include "mercer/krr/gradient_flow.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "layout.hpp"
#include "mercer/krr/fit.hpp"

namespace mercer::krr {
double GradientFlow::steps() const {
  return step > 0 ? std::round(time / step) : 0;
}

double GradientFlow::rest(double x) const {
  x = std::max(0.0, x);
  if (std::isinf(time)) return 0;
  return step > 0 ? std::pow(1 - step * x, steps()) : std::exp(-x * time);
}

double GradientFlow::filter(double x) const {
  x = std::max(0.0, x);
  if (std::isinf(time)) return 1 / x;
  if (x * time < std::numeric_limits<double>::min()) return time;
  if (step * x >= 1) return (1 - rest(x)) / x;
  return -std::expm1(step > 0 ? steps() * std::log1p(-step * x) : -x * time) / x;
}

double GradientFlow::residual(double g) const {
  const double x = g + ridge;
  if (!(x > 0)) return 1;
  return (ridge + g * rest(x)) / x;
}

void check_flow(const GradientFlow& flow, double largest) {
  if (!(flow.time > 0)) throw InputError("the time is {}: it must be positive", flow.time);
  check_ridge(flow.ridge);
  if (!(flow.step >= 0))
    throw InputError("the step eta n is {}: it must not be negative", flow.step);
  if (flow.step > 0 && std::isfinite(flow.time) &&
      !(std::abs(flow.time - flow.steps() * flow.step) <= 1e-9 * flow.time))
    throw InputError("the time {} is no whole number of steps eta n = {}", flow.time, flow.step);
  if (flow.step * (largest + flow.ridge) >= 2)
    throw InputError(
        "gradient descent with eta n = {:.3g} diverges: it must be less than 2/(g_1 + gamma) = "
        "{:.3g}",
        flow.step, 2 / (largest + flow.ridge));
}

template <class T>
void SpectralPath<T>::check_flows(std::span<const GradientFlow> flows) const {
  const double largest = *std::max_element(spectrum_.g.begin(), spectrum_.g.end());
  for (const GradientFlow& flow : flows) {
    check_flow(flow, largest);
    if (std::isinf(flow.time)) check_admissible(std::span<const double>(&flow.ridge, 1));
  }
}

template <class T>
double SpectralPath<T>::smoother_residual(const Matrix<T>& left, const Matrix<T>& alpha,
                                          Index first) const {
  const DistMatrix<T>& V = pairs_.vectors;
  const Index c = modes_.cols();
  Matrix<T> part(alpha.rows(), c);
  std::copy_n(alpha.column(first), part.size(), part.data());
  Matrix<T> modes = transposed_times(part);
  for (Index o = 0; o < c; ++o)
    for (Index j = 0; j < modes.rows(); ++j)
      modes(j, o) *=
          static_cast<T>(spectrum_.lambda[static_cast<std::size_t>(V.col_map().global({j}).value)]);
  const Matrix<T> K_alpha = times(modes);
  double sums[2] = {0, 0};
  if (V.grid().col() == 0)  // every process column holds the same rows
    for (Index o = 0; o < c; ++o)
      for (Index i = 0; i < rows_.rows(); ++i) {
        const double y = rows_(i, o);
        const double away = y - left(i, o) - K_alpha(i, o);
        sums[0] += away * away;
        sums[1] += y * y;
      }
  V.grid().all().all_reduce(std::span<double>(sums), comm::Op::sum);
  return sums[1] > 0 ? std::sqrt(sums[0] / sums[1]) : 0;
}

namespace {

/// u, and u/gamma at t = infinity, where a ridge of 0 leaves nothing: scores are the same of both.
double left_over(const GradientFlow& flow, double g) {
  return std::isinf(flow.time) ? 1 / (g + flow.ridge) : flow.residual(g);
}

/// (Y - F)_i/(1 - H_ii) for columns first ... first + c of `left`, and column r of the diagonals.
template <class T>
Matrix<T> smoother_left_out(const Matrix<T>& left, Index first, Index c, const Matrix<T>& diagonal,
                            Index r) {
  Matrix<T> errors(left.rows(), c);
  for (Index o = 0; o < c; ++o)
    for (Index i = 0; i < errors.rows(); ++i) errors(i, o) = left(i, first + o) / diagonal(i, r);
  return errors;
}

}  // namespace

template <class T>
std::vector<double> SpectralPath<T>::gcv(std::span<const GradientFlow> flows) const {
  check_flows(flows);
  std::vector<double> scores;
  for (const GradientFlow& flow : flows) {
    double square = 0, trace = 0;
    for (std::size_t i = 0; i < energy_.size(); ++i) {
      const double u = left_over(flow, spectrum_.g[i]);
      square += u * u * energy_[i];
      trace += u;
    }
    scores.push_back(static_cast<double>(Y_.rows()) / static_cast<double>(Y_.cols()) * square /
                     (trace * trace));
  }
  return scores;
}

template <class T>
std::vector<double> SpectralPath<T>::leave_one_out(std::span<const GradientFlow> flows) const {
  check_flows(flows);
  const Index c = modes_.cols();
  std::vector<double> scores;
  for (std::size_t first = 0; first < flows.size(); first += panel()) {
    const auto part = flows.subspan(first, std::min(panel(), flows.size() - first));
    const auto u = weights(std::ssize(part), [&](std::size_t i, std::size_t r) {
      return left_over(part[r], spectrum_.g[i]);
    });
    const Matrix<T> left = combine(u), diagonal = squares(u);
    for (Index r = 0; r < std::ssize(part); ++r)
      scores.push_back(mean_rmse(rmse_by_output(smoother_left_out(left, r * c, c, diagonal, r))));
  }
  return scores;
}

template <class T>
std::vector<Fit> SpectralPath<T>::fit(std::span<const GradientFlow> flows) const {
  check_flows(flows);
  const Index c = modes_.cols();
  std::vector<Fit> fits;
  for (std::size_t first = 0; first < flows.size(); first += panel()) {
    const auto part = flows.subspan(first, std::min(panel(), flows.size() - first));
    const auto u = weights(std::ssize(part), [&](std::size_t i, std::size_t r) {
      return left_over(part[r], spectrum_.g[i]);
    });
    const Matrix<T> left = combine(u), diagonal = squares(u);  // Y - F, and that of I - H
    const Matrix<T> alpha = combine(weights(std::ssize(part), [&](std::size_t i, std::size_t r) {
      return ratio_[i] * part[r].filter(spectrum_.g[i] + part[r].ridge);
    }));
    for (Index r = 0; r < std::ssize(part); ++r) {
      const GradientFlow& flow = part[static_cast<std::size_t>(r)];
      Matrix<T> own(left.rows(), c), F(left.rows(), c);
      std::copy_n(left.column(r * c), own.size(), own.data());
      Fit fit;
      fit.ridge = flow.ridge;
      fit.time = flow.time;
      fit.alpha = by_rows(alpha.view().block(0, r * c, alpha.rows(), c));
      fit.loo_rmse_by_output = rmse_by_output(smoother_left_out(left, r * c, c, diagonal, r));
      fit.loo_rmse = mean_rmse(fit.loo_rmse_by_output);
      fit.loo_exact = plain_ && std::isinf(flow.time);
      double trace = 0;
      for (const double g : spectrum_.g) trace += left_over(flow, g);
      for (const double rms : rmse_by_output(own))
        fit.gcv_by_output.push_back(std::pow(static_cast<double>(Y_.rows()) * rms / trace, 2));
      fit.gcv =
          std::reduce(fit.gcv_by_output.begin(), fit.gcv_by_output.end()) / static_cast<double>(c);
      if (std::isinf(flow.time))
        for (Index e = 0; e < own.size(); ++e) own.data()[e] *= static_cast<T>(flow.ridge);
      for (Index e = 0; e < F.size(); ++e) F.data()[e] = rows_.data()[e] - own.data()[e];
      fit.fitted = by_rows(F.view());
      fit.residual = smoother_residual(own, alpha, r * c);
      fit.residual_exact = true;
      fits.push_back(std::move(fit));
    }
  }
  return fits;
}

#define MERCER_INSTANTIATE(T)                                                                   \
  template void SpectralPath<T>::check_flows(std::span<const GradientFlow>) const;              \
  template double SpectralPath<T>::smoother_residual(const Matrix<T>&, const Matrix<T>&, Index) \
      const;                                                                                    \
  template std::vector<Fit> SpectralPath<T>::fit(std::span<const GradientFlow>) const;          \
  template std::vector<double> SpectralPath<T>::gcv(std::span<const GradientFlow>) const;       \
  template std::vector<double> SpectralPath<T>::leave_one_out(std::span<const GradientFlow>) const;
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::krr
