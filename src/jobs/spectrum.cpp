#include <algorithm>
#include <cmath>
#include <type_traits>

#include "mercer/base/error.hpp"
#include "mercer/spectral/probes.hpp"
#include "row_identity.hpp"
#include "spectrum_parts.hpp"

namespace mercer::jobs {
namespace {

/// From all n eigenvalues, those below 0, which are rounding, as 0.
void make_exact(SpectrumEstimates& e, const std::vector<double>& lambda) {
  e.dimension = e.log_determinant = {};
  for (const double value : lambda) {
    const double l = std::max(value, 0.0);
    e.dimension.value += l / (l + e.ridge);
    e.log_determinant.value += std::log(l + e.ridge);
  }
}

}  // namespace

Accepted accepted(const SpectrumPlan& plan) {
  const double limit = asked_tolerance(plan.options);
  if (!plan.options.single || plan.options.tolerance.has_value()) return {limit};
  if (plan.strategy.iterative) return {std::max(limit, kSingle), "vectors in single precision"};
  return {std::max(limit, spectral::rounding_residual(plan.n, true)),
          "rounding in single precision"};
}

SpectrumEstimates estimate(const SpectrumPlan& plan, const gram::Operator& K, Monitor& monitor) {
  SpectrumEstimates e;
  e.density = monitor.phase("estimates", [&] {
    auto options = plan.strategy.probes;
    options.progress = monitor.shares();
    e.trace = spectral::trace(K);
    if (e.trace == 0)
      throw InputError(
          "`estimates`: are at a ridge relative to trace(K)/n, but K is zero: give inputs that "
          "vary");
    return spectral::lanczos_quadrature(K, options);
  });
  e.ridge = *plan.options.estimates * e.trace / static_cast<double>(plan.n);
  e.dimension = e.density.statistical_dimension(e.ridge);
  e.log_determinant = e.density.log_determinant(e.ridge);
  return e;
}

template <class T>
double Spectrum<T>::largest_residual() const {
  if (pairs.residuals.empty()) return -1;
  double largest = 0;
  for (const double r : pairs.residuals)
    if (!(r <= largest)) largest = std::isnan(r) ? std::numeric_limits<double>::infinity() : r;
  return largest;
}

template <class T>
bool Spectrum<T>::good() const {
  return pairs.residuals.empty() || largest_residual() <= accepted.residual;
}

template <class T>
Spectrum<T> solve(const SpectrumPlan& plan, const gram::Source& kernel, const data::Dataset& rows,
                  const dist::ProcessGrid& grid, Monitor& monitor) {
  if (plan.options.single != std::is_same_v<T, float>)
    throw InputError("the plan is for pairs in {} precision",
                     plan.options.single ? "single" : "double");
  require_planned(plan.rows_hash, rows);
  if (plan.kernel != kernel.text())
    throw InputError("the plan is for {}, not for {}", plan.kernel, kernel.text());
  plan.stages.require_memory();
  require_new_checkpoint(grid.all(), plan.options.checkpoints);
  check_images(kernel, rows);
  check_range(kernel, rows.inputs, monitor);
  spectral::Expected of{kernel.text(), plan.n, rows_hash(kernel, rows, grid.all()),
                        matrix_of(grid.all(), kernel)};
  auto result = plan.strategy.iterative ? solve_by_products<T>(plan, kernel, rows, grid, monitor)
                                        : solve_directly<T>(plan, kernel, rows, grid, monitor);
  result.of = std::move(of);
  if (result.estimates.has_value() && result.pairs.k() == plan.n)
    make_exact(*result.estimates, result.pairs.values);
  result.flops += plan.check_flops;
  return result;
}

#define MERCER_INSTANTIATE(T)                                                                   \
  template struct Spectrum<T>;                                                                  \
  template Spectrum<T> solve<T>(const SpectrumPlan&, const gram::Source&, const data::Dataset&, \
                                const dist::ProcessGrid&, Monitor&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::jobs
