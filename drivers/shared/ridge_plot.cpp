#include <algorithm>
#include <cmath>

#include "mercer/dist/redistribute.hpp"
#include "mercer/report/plot.hpp"
#include "shared/ridge_output.hpp"

namespace mercer::drivers {
namespace {

constexpr Index kDrawnRows = 4000;

/// g of the eigenvalues is drawn where it changes some.
report::Plot spectrum_panel(const msk::ModifiedSpectrum& spectrum) {
  report::Series lambda{.label = "lambda_i", .x = {}, .y = {}},
      g{.label = "g(lambda_i)", .x = {}, .y = {}};
  for (std::size_t i = 0; i < spectrum.lambda.size(); ++i) {
    lambda.x.push_back(static_cast<double>(i + 1));
    lambda.y.push_back(spectrum.lambda[i]);
    g.x.push_back(static_cast<double>(i + 1));
    g.y.push_back(spectrum.g[i]);
  }
  return {.title = "Spectrum",
          .x_label = "i",
          .y_label = "eigenvalue of K",
          .log_x = true,
          .log_y = true,
          .series = spectrum.g == spectrum.lambda ? std::vector{lambda} : std::vector{lambda, g}};
}

/// Leave-one-out and test rmse, both in the targets' own units, or both standardised.
report::Plot error_panel(const std::vector<RidgeErrors>& errors,
                         const data::Preparation& preparation) {
  report::Series loo{
      .label = "leave-one-out", .x = {}, .y = {}, .style = report::Style::linespoints},
      rmse{.label = "test rows", .x = {}, .y = {}, .style = report::Style::linespoints};
  const bool standardized = standardized_only(errors);
  for (const auto& e : errors) {
    if (e.loo_rmse.has_value()) {
      loo.x.push_back(e.ridge);
      loo.y.push_back(*e.loo_rmse);
    }
    if (const auto& test = standardized ? e.scores.rmse_standardized : e.scores.rmse) {
      rmse.x.push_back(e.ridge);
      rmse.y.push_back(*test);
    }
  }
  std::vector<report::Series> series;
  for (auto* one : {&loo, &rmse})
    if (!one->x.empty()) series.push_back(std::move(*one));
  return {
      .title = "Error against ridge",
      .x_label = "gamma",
      .y_label = "rmse in " + (standardized ? prepared_unit(preparation) : unit_of(preparation)),
      .log_x = true,
      .log_y = true,
      .series = std::move(series)};
}

/// Both in the targets' own units, with the line of equality.
report::Plot prediction_panel(const dist::RowBlock<double>& predictions, const data::Dataset& test,
                              const data::Preparation& preparation) {
  auto targets = test.targets.copy();
  data::to_target_units(preparation.standardization, targets);
  const auto f = dist::all_rows(predictions);
  const auto y = dist::all_rows(targets);
  report::Series points{.label = "test rows", .x = {}, .y = {}, .style = report::Style::points};
  for (Index i = 0, drawn = 0; i < f.cols() && drawn < kDrawnRows; ++i) {
    if (std::isnan(y(0, i))) continue;  // a row without targets
    ++drawn;
    for (Index c = 0; c < f.rows(); ++c) {
      points.x.push_back(y(c, i));
      points.y.push_back(f(c, i));
    }
  }
  const auto [low, high] = std::ranges::minmax_element(points.x);
  const std::vector<double> ends{*low, *high};
  report::Series equal{.label = "prediction = target", .x = ends, .y = ends, .colour = 6};
  return {.title = "Predictions",
          .x_label = "target, " + unit_of(preparation),
          .y_label = "prediction, " + unit_of(preparation),
          .series = {points, equal}};
}

report::Plot confusion_panel(const krr::Confusion& confusion, const data::Classes& classes) {
  report::Plot panel{
      .title = fmt::format("Test rows by class: {:.4g} of them right", confusion.accuracy()),
      .x_label = "predicted class",
      .y_label = "true class",
      .series = {},
      .cells = {},
      .names = classes.names};
  for (Index t = 0; t < confusion.classes(); ++t) {
    panel.cells.emplace_back();
    for (Index p = 0; p < confusion.classes(); ++p)
      panel.cells.back().push_back(static_cast<double>(confusion(t, p)));
  }
  return panel;
}

}  // namespace

template <class T>
void plot(const Session& session, const Solution<T>& solution,
          const std::vector<RidgeErrors>& errors, const Predictions& predictions,
          const data::Dataset* test, const data::Preparation& preparation) {
  std::vector<report::Plot> panels;
  if (!solution.spectrum.lambda.empty()) panels.push_back(spectrum_panel(solution.spectrum));
  if (errors.size() > 1) {
    auto panel = error_panel(errors, preparation);
    if (!panel.series.empty()) panels.push_back(std::move(panel));
  }
  const auto& confusion = predictions.scores.confusion;
  if (confusion.has_value() && confusion->has_matrix())
    panels.push_back(confusion_panel(*confusion, test->classes));
  else if (test != nullptr && predictions.scores.known())
    panels.push_back(prediction_panel(predictions.values, *test, preparation));
  session.draw(panels);
}

template void plot<double>(const Session&, const Solution<double>&, const std::vector<RidgeErrors>&,
                           const Predictions&, const data::Dataset*, const data::Preparation&);
template void plot<float>(const Session&, const Solution<float>&, const std::vector<RidgeErrors>&,
                          const Predictions&, const data::Dataset*, const data::Preparation&);

}  // namespace mercer::drivers
