#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "row_identity.hpp"
#include "spectrum_parts.hpp"

namespace mercer::jobs {

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
  result.checks = spectral::check_spaces(*result.gram, result.spaces);
  result.own_error = 1 / std::sqrt(static_cast<double>(plan.n));
  const auto count = [&](double value, double own, double error) {
    constexpr double kRounding = 1e-12;  // a constant has no variance
    const double excess = (value - own) / (error + kRounding);
    if (!std::isnan(result.excess) && !(excess <= result.excess)) result.excess = excess;
  };
  for (const auto& check : result.checks) {
    const auto size = static_cast<double>(check.space.size), k = static_cast<double>(pairs.k());
    count(check.deviation, result.own_error * size, check.deviation_error);
    count(check.mixing, result.own_error * std::sqrt(size * (k - size)), check.mixing_error);
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
