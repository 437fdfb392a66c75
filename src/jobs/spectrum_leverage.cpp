#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/base/text.hpp"
#include "mercer/dist/rows.hpp"
#include "mercer/jobs/pictures.hpp"
#include "spectrum_parts.hpp"

namespace mercer::jobs {
namespace {

std::vector<double> gammas(const LeverageOptions& options, double trace, Index n) {
  auto gammas = options.ridges;
  const double scale = trace / static_cast<double>(n);
  if (options.relative && !(scale > 0))
    throw InputError(
        "`leverage_relative`: ridges are relative to trace(K)/n, but K is zero: give inputs that "
        "vary, or `leverage`");
  if (options.relative)
    for (double& gamma : gammas) gamma *= scale;
  return gammas;
}

}  // namespace

void LeverageOptions::validate() const {
  const char* field = relative ? "leverage_relative" : "leverage";
  for (const double ridge : ridges)
    if (!(ridge > 0 && std::isfinite(ridge)))
      throw InputError("`{}` {}: give ridges above 0, {}", field, ridge,
                       relative ? "relative to trace(K)/n" : "on the scale of K = k/n");
  if (probes < 2)
    throw InputError("`probes` {}: give at least 2, by whose spread errors are estimated", probes);
}

msk::LeverageScores leverage_of(const SpectrumPlan& plan, const spectral::TopPairs& pairs,
                                const gram::Operator& K, Monitor& monitor) {
  const auto& options = plan.options.leverage;
  return monitor.phase("leverage", [&] {
    return msk::leverage_scores(
        pairs, K, gammas(options, pairs.trace, plan.n),
        {.probes = options.probes, .seed = plan.seed, .progress = monitor.shares()});
  });
}

template <class T>
msk::LeverageScores leverage_of(const SpectrumPlan& plan, const spectral::Eigenpairs<T>& pairs,
                                const std::function<dist::DistMatrix<T>()>& assemble,
                                Monitor& monitor) {
  if (pairs.k() == plan.n)
    return monitor.phase("leverage", [&] {
      return msk::leverage_scores(pairs, gammas(plan.options.leverage, pairs.trace, plan.n));
    });
  const auto K = assemble();
  spectral::TopPairs top{.n = plan.n,
                         .values = pairs.values,
                         .next = pairs.next,
                         .vectors = dist::to_columns(pairs.vectors),
                         .residuals = pairs.residuals,
                         .trace = pairs.trace};
  return leverage_of(plan, top, gram::MatrixOperator<T>(K), monitor);
}

template msk::LeverageScores leverage_of<double>(const SpectrumPlan&,
                                                 const spectral::Eigenpairs<double>&,
                                                 const std::function<dist::DistMatrix<double>()>&,
                                                 Monitor&);
template msk::LeverageScores leverage_of<float>(const SpectrumPlan&,
                                                const spectral::Eigenpairs<float>&,
                                                const std::function<dist::DistMatrix<float>()>&,
                                                Monitor&);

void write(io::Hdf5File& file, const msk::LeverageScores& leverage) {
  std::vector<double> value, error;
  for (const auto& dimension : leverage.dimension) {
    value.push_back(dimension.value);
    error.push_back(dimension.error);
  }
  file.write("/leverage/ridges", leverage.ridges);
  file.write("/leverage/scores", leverage.scores);
  file.write("/leverage/statistical_dimension", value);
  if (leverage.exact()) return;
  file.write("/leverage/errors", leverage.errors);
  file.write("/leverage/statistical_dimension_error", error);
}

LeverageSummary summary(const msk::LeverageScores& leverage, std::size_t ridge) {
  constexpr double kNone = -1;
  std::vector<double> ends{kNone, kNone, kNone};  // -least, greatest, largest error
  for (Index i = 0; i < leverage.scores.local_rows(); ++i) {
    const double score = leverage.scores.row(i)[ridge];
    ends[0] = std::max(ends[0], -score);
    ends[1] = std::max(ends[1], score);
    if (!leverage.exact()) ends[2] = std::max(ends[2], leverage.errors.row(i)[ridge]);
  }
  leverage.scores.comm().all_reduce(std::span<double>(ends), comm::Op::max);
  const auto n = static_cast<double>(leverage.scores.rows());
  return {.least = -ends[0],
          .mean = leverage.dimension[ridge].value / n,
          .greatest = ends[1],
          .largest_error = std::max(0.0, ends[2])};
}

namespace {

/// How many rows have a score of at least x, against x. Collective.
report::Series rows_above(const msk::LeverageScores& leverage, std::size_t ridge) {
  constexpr double kBins = 400, kDecades = 8;  // from 1e-8 to 1
  std::vector<double> counts(static_cast<std::size_t>(kBins) + 1, 0.0);
  for (Index i = 0; i < leverage.scores.local_rows(); ++i) {
    const double score = leverage.scores.row(i)[ridge];
    const double bin = (std::log10(std::max(score, 1e-300)) / kDecades + 1) * kBins;
    ++counts[static_cast<std::size_t>(std::clamp(bin, 0.0, kBins))];
  }
  leverage.scores.comm().all_reduce(std::span<double>(counts), comm::Op::sum);
  report::Series series{
      .label = fmt::format("gamma = {:.2g}", leverage.ridges[ridge]), .x = {}, .y = {}};
  double above = 0;
  for (std::size_t b = counts.size(); b-- > 0;) {
    if (counts[b] == 0) continue;
    above += counts[b];
    series.x.push_back(std::pow(10, kDecades * (static_cast<double>(b) / kBins - 1)));
    series.y.push_back(above);
  }
  return series;
}

}  // namespace

std::vector<report::Plot> picture(const msk::LeverageScores& leverage) {
  constexpr std::size_t kCurves = 7;
  report::Plot dimension{.title = "Statistical dimension",
                         .x_label = "ridge gamma",
                         .y_label = "tr K (K + gamma I)^-1",
                         .log_x = true,
                         .log_y = true,
                         .series = {{.label = leverage.exact() ? "exact" : "estimated",
                                     .x = {},
                                     .y = {},
                                     .style = report::Style::linespoints}}};
  auto& series = dimension.series[0];
  std::vector<std::size_t> order(leverage.ridges.size());
  for (std::size_t r = 0; r < order.size(); ++r) order[r] = r;
  std::ranges::sort(order, {}, [&](std::size_t r) { return leverage.ridges[r]; });
  for (const std::size_t r : order) {
    series.x.push_back(leverage.ridges[r]);
    series.y.push_back(leverage.dimension[r].value);
  }
  report::Plot scores{.title = "Ridge leverage scores of the rows",
                      .x_label = "x",
                      .y_label = "rows with a score of x or more",
                      .log_x = true,
                      .log_y = true,
                      .series = {}};
  for (const std::size_t at : thinned(order.size(), kCurves))
    scores.series.push_back(rows_above(leverage, order[at]));
  return {dimension, scores};
}

}  // namespace mercer::jobs
