#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "row_identity.hpp"
#include "spectrum_parts.hpp"

namespace mercer::jobs {

namespace {

/// Spaces whose eigenvalues the sampling of n rows tells apart: neighbours lie more than four of
/// its relative errors, n^-1/2, from each other. Functions within one are mixed by chance.
std::vector<spectral::Space> told_apart(std::span<const double> values, double error) {
  std::vector<spectral::Space> all;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0 && values[i - 1] - values[i] <= 4 * error * std::abs(values[i - 1]))
      ++all.back().size;
    else
      all.push_back({.first = static_cast<Index>(i)});
  }
  return all;
}

}  // namespace

template <class T>
Evaluation evaluate(const SpectrumPlan& plan, const Spectrum<T>& spectrum,
                    const gram::Source& kernel, const data::Dataset& rows,
                    const data::Dataset& eval, const dist::ProcessGrid& grid, Monitor& monitor) {
  require_planned(plan.rows_hash, rows);
  if (eval.dimension() != rows.dimension())
    throw InputError("`eval`: rows have {} inputs, those of the spectrum {}", eval.dimension(),
                     rows.dimension());
  const Monitor::Phase scope(monitor, "evaluate");
  const auto& pairs = spectrum.pairs;
  auto source = kernel;
  for (const auto& line :
       source.verify_cross(grid.all(), identity_of("new", eval), identity_of("training", rows)))
    monitor.log("kernel", line);
  check_images(kernel, eval);
  Evaluation result{.values =
                        spectral::eigenfunctions(source, eval.inputs, rows.inputs, pairs,
                                                 {.nb = plan.nb, .progress = monitor.shares()})};
  auto sizes = plan.sizes;
  sizes.m = eval.rows();
  sizes.c = pairs.k();
  result.flops = gram::apply_cross_cost(sizes).flops;
  result.spaces = spectral::spaces(
      pairs.values, std::max(msk::kModeTolerance<T>, 4 * spectrum.largest_residual()));
  if (eval.rows() < 2) return result;
  result.gram = spectral::gram_of_functions(result.values, grid, plan.nb);
  const auto n = static_cast<double>(plan.n);
  const double error = 1 / std::sqrt(n);
  const auto apart = told_apart(pairs.values, error);
  result.checks = spectral::check_spaces(*result.gram, apart);
  result.cut = pairs.k() < plan.n &&
               pairs.values.back() - pairs.next <= 4 * error * std::abs(pairs.values.back());
  // An error by the sampling of m new rows, and the same by that of the n rows of K.
  const double both = std::sqrt(1 + static_cast<double>(eval.rows()) / n);
  for (auto& check : result.checks) {
    const auto size = static_cast<double>(check.space.size), k = static_cast<double>(pairs.k());
    check.deviation_error = both * check.deviation_error + size / n;
    check.mixing_error = both * check.mixing_error + std::sqrt(size * (k - size)) / n;
    if (result.cut && &check == &result.checks.back()) continue;
    for (const double errors :
         {check.deviation / check.deviation_error,
          size < k ? check.mixing / check.mixing_error : 0.0})  // with others, if there are any
      if (!std::isnan(result.standard_errors) && !(errors <= result.standard_errors))
        result.standard_errors = errors;
  }
  return result;
}

void write(io::Hdf5File& file, const Evaluation& evaluation, const data::Dataset& eval) {
  file.write("/eval/eigenfunctions", evaluation.values);
  file.write("/eval/rows", eval.rows(), std::span<const Index>(eval.file_rows));
  std::vector<double> number;
  for (std::size_t s = 0; s < evaluation.spaces.size(); ++s)
    number.insert(number.end(), static_cast<std::size_t>(evaluation.spaces[s].size),
                  static_cast<double>(s));
  file.write("/eval/space", number);
  if (!evaluation.gram.has_value()) return;
  file.write("/eval/gram", evaluation.gram->G);
  file.write("/eval/gram_error", evaluation.gram->error);
}

#define MERCER_INSTANTIATE(T)                                                                   \
  template Evaluation evaluate<T>(const SpectrumPlan&, const Spectrum<T>&, const gram::Source&, \
                                  const data::Dataset&, const data::Dataset&,                   \
                                  const dist::ProcessGrid&, Monitor&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::jobs
