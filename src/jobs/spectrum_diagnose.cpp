#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "mercer/base/error.hpp"
#include "mercer/base/text.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "spectrum_parts.hpp"

namespace mercer::jobs {
namespace {

/// Why the rows have no targets to align with; empty where they have.
std::string without_targets(bool vectors, const data::Dataset& rows) {
  if (!vectors) return "no alignment with the targets: it needs eigenvectors";
  if (rows.rows() == 0) return "no alignment with targets: without `data` there are none";
  if (rows.outputs() == 0) return "no alignment with targets: the rows have none";
  if (rows.known_rows < rows.rows())
    return fmt::format("no alignment with the targets: {} of {} rows have none",
                       rows.rows() - rows.known_rows, rows.rows());
  double square = 0;
  for (const double y : rows.targets.values()) square += y * y;
  if (!(rows.targets.comm().all_reduce(square, comm::Op::sum) > 0))
    return "no alignment with the targets: they are zero";
  return "";
}

}  // namespace

void DiagnosticsOptions::validate() const {
  for (const double threshold : thresholds)
    if (!(threshold > 0 && threshold < 1))
      throw InputError(
          "`diagnostics` {}: give thresholds between 0 and 1, relative to lambda_1^(1/2)",
          threshold);
  if (!(reduction > 1 && std::isfinite(reduction)))
    throw InputError("`diagnostics`: reduction {}: give a number above 1", reduction);
}

template <class T>
Diagnostics diagnose(const Spectrum<T>& spectrum, const data::Dataset& rows,
                     const DiagnosticsOptions& options, Monitor& monitor) {
  options.validate();
  const Monitor::Phase scope(monitor, "diagnostics");
  const auto& pairs = spectrum.pairs;
  const auto& lambda = pairs.values;
  const Index n = pairs.n();
  const double residual = spectrum.largest_residual();
  Diagnostics result{
      .resolution = std::max(static_cast<double>(n) * std::numeric_limits<T>::epsilon(), residual)};
  result.condition = spectral::condition(lambda, n, result.resolution);
  result.trace = pairs.trace;
  result.in_pairs = std::accumulate(lambda.begin(), lambda.end(), 0.0);
  result.ranks =
      spectral::effective_ranks(lambda, pairs.next, n, result.resolution, options.thresholds);
  const double equal = std::max(msk::kModeTolerance<T>, 4 * residual);
  result.spaces = spectral::spaces(lambda, equal);
  result.decay = spectral::fit_decay(lambda, result.spaces, n, result.resolution, result.no_decay);
  result.rate = 1 / (static_cast<double>(n) * lambda.front());
  result.reduction = options.reduction;
  for (const double value : lambda)
    result.steps.push_back(
        value > result.resolution * lambda.front()
            ? spectral::descent_steps(value, 1 / lambda.front(), options.reduction)
            : std::numeric_limits<double>::infinity());
  result.no_alignment = without_targets(pairs.vectors.cols() >= pairs.k(), rows);
  if (result.no_alignment.empty())
    result.alignment = spectral::align(pairs, result.spaces, rows.targets, equal);
  return result;
}

namespace {

void write_decay(io::Hdf5File& file, const spectral::Decay& decay) {
  constexpr const char* kNames[] = {"power", "root_exponential", "exponential"};
  for (std::size_t f = 0; f < decay.fits.size(); ++f) {
    const auto& fit = decay.fits[f];
    const std::string name = std::string("/diagnostics/decay/") + kNames[f];
    file.write(name, std::vector<double>{fit.C, fit.exponent, fit.error, fit.residual});
    file.attribute(name, "best", static_cast<Index>(f == decay.best));
    file.attribute(name, "first", decay.first);
    file.attribute(name, "last", decay.last);
    file.attribute(name, "points", decay.points);
  }
}

void write_alignment(io::Hdf5File& file, const comm::Communicator& comm,
                     const spectral::Alignment& alignment) {
  const auto table = [&](const std::string& name, const std::vector<double>& values) {
    dist::RowBlock<double> rows(comm, alignment.spaces, alignment.columns);
    const auto from = values.begin() + rows.first_row() * alignment.columns;
    std::copy_n(from, rows.values().size(), rows.values().begin());
    file.write(name, rows);
  };
  table("/diagnostics/alignment", alignment.parts);
  auto sums = alignment.parts;
  const auto c = static_cast<std::size_t>(alignment.columns);
  for (std::size_t i = c; i < sums.size(); ++i) sums[i] += sums[i - c];
  table("/diagnostics/alignment_cumulative", sums);
  file.write("/diagnostics/alignment_total", alignment.total);
  file.write("/diagnostics/alignment_outside", alignment.outside);
  if (!alignment.kernel_alignment.empty())
    file.write("/diagnostics/kernel_alignment", alignment.kernel_alignment);
}

}  // namespace

void write(io::Hdf5File& file, const Diagnostics& d) {
  const auto number = [&](const std::string& name, double value) {
    file.write("/diagnostics/" + name, std::vector<double>{value});
  };
  number("condition", d.condition.value);
  file.attribute("/diagnostics/condition", "of_all_pairs", static_cast<Index>(d.condition.whole));
  file.attribute("/diagnostics/condition", "lower_bound", static_cast<Index>(d.condition.at_least));
  number("resolution", d.resolution);
  number("trace", d.trace);
  number("rate", d.rate);
  number("reduction", d.reduction);
  std::vector<double> epsilon, count, at_least, resolved, space;
  for (const auto& rank : d.ranks) {
    epsilon.push_back(rank.epsilon);
    count.push_back(static_cast<double>(rank.count));
    at_least.push_back(rank.at_least ? 1 : 0);
    resolved.push_back(rank.resolved ? 1 : 0);
  }
  file.write("/diagnostics/rank_epsilon", epsilon);
  file.write("/diagnostics/rank", count);
  file.write("/diagnostics/rank_at_least", at_least);
  file.write("/diagnostics/rank_resolved", resolved);
  for (std::size_t s = 0; s < d.spaces.size(); ++s)
    space.insert(space.end(), static_cast<std::size_t>(d.spaces[s].size), static_cast<double>(s));
  file.write("/diagnostics/space", space);
  file.write("/diagnostics/steps", d.steps);
  if (d.decay.has_value()) write_decay(file, *d.decay);
  if (d.alignment.has_value()) write_alignment(file, file.comm(), *d.alignment);
}

#define MERCER_INSTANTIATE(T)                                                \
  template Diagnostics diagnose<T>(const Spectrum<T>&, const data::Dataset&, \
                                   const DiagnosticsOptions&, Monitor&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::jobs
