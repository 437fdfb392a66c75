#include "mercer/jobs/pictures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "mercer/dist/redistribute.hpp"

namespace mercer::jobs {

namespace {

constexpr std::size_t kCurves = 7;  // as many as there are colours
constexpr Index kDrawnRows = 4000;

/// Eigenvalues, and g on them where it changes any.
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

/// Leave-one-out and test rmse against the ridge, or the training time, both in the targets' own
/// units, or both standardised.
report::Plot error_panel(const std::vector<RidgeErrors>& errors,
                         const data::Preparation& preparation) {
  report::Series loo{
      .label = "leave-one-out", .x = {}, .y = {}, .style = report::Style::linespoints},
      rmse{.label = "test rows", .x = {}, .y = {}, .style = report::Style::linespoints};
  const bool standardized = standardized_only(errors);
  const bool timed = errors.front().time.has_value();
  for (const auto& e : errors) {
    const double x = e.time.value_or(e.ridge);
    if (std::isinf(x)) continue;
    if (e.loo_rmse.has_value()) {
      loo.x.push_back(x);
      loo.y.push_back(*e.loo_rmse);
    }
    if (const auto& test = standardized ? e.scores.rmse_standardized : e.scores.rmse) {
      rmse.x.push_back(x);
      rmse.y.push_back(*test);
    }
  }
  std::vector<report::Series> series;
  for (auto* one : {&loo, &rmse})
    if (!one->x.empty()) series.push_back(std::move(*one));
  return {
      .title = timed ? "Error against training time" : "Error against ridge",
      .x_label = timed ? "t" : "gamma",
      .y_label = "rmse in " + (standardized ? prepared_unit(preparation) : unit_of(preparation)),
      .log_x = true,
      .log_y = true,
      .series = std::move(series)};
}

/// Predictions against targets, both in the targets' own units, with the line of equality.
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

/// The law that fits best, over the range that it was fitted to.
report::Series law_series(const spectral::Decay& decay) {
  const auto& fit = decay.fits[decay.best];
  report::Series series{.label = spectral::text(fit), .x = {}, .y = {}};
  for (const std::size_t at :
       thinned(static_cast<std::size_t>(decay.last - decay.first) + 1, 100)) {
    const Index i = decay.first + static_cast<Index>(at);
    series.x.push_back(static_cast<double>(i));
    series.y.push_back(fit.at(i));
  }
  return series;
}

/// The share of the targets in the first i eigenvectors, at the end of each space: of all columns
/// and, of a few, of each.
report::Plot alignment_panel(const spectral::Alignment& alignment,
                             const std::vector<spectral::Space>& spaces) {
  report::Plot panel{.title = "Cumulative alignment of the targets",
                     .x_label = "i",
                     .y_label = "share of |y|^2 in v_1 ... v_i",
                     .log_x = true,
                     .series = {}};
  const auto add = [&](const std::string& label, auto&& part) {
    report::Series series{.label = label, .x = {}, .y = {}, .style = report::Style::linespoints};
    double sum = 0;
    for (Index s = 0; s < alignment.spaces; ++s) {
      const auto& space = spaces[static_cast<std::size_t>(s)];
      sum += part(s);
      series.x.push_back(static_cast<double>(space.first + space.size));
      series.y.push_back(sum);
    }
    panel.series.push_back(std::move(series));
  };
  const Index c = alignment.columns;
  add(c > 1 ? "all columns" : "target",
      [&](Index s) { return alignment.total[static_cast<std::size_t>(s)]; });
  if (c > 1 && c < static_cast<Index>(kCurves))
    for (Index a = 0; a < c; ++a)
      add(fmt::format("column {}", a),
          [&](Index s) { return alignment.parts[static_cast<std::size_t>(s * c + a)]; });
  return panel;
}

}  // namespace

std::vector<std::size_t> thinned(std::size_t size, std::size_t count) {
  std::set<std::size_t> places;
  for (std::size_t i = 0; i < std::min(size, count); ++i)
    places.insert(size <= count ? i
                                : static_cast<std::size_t>(std::lround(
                                      static_cast<double>(i * (size - 1)) /
                                      static_cast<double>(std::max<std::size_t>(count - 1, 1)))));
  return {places.begin(), places.end()};
}

std::vector<report::Plot> picture(const std::vector<double>& values,
                                  const std::vector<double>& residuals, bool exact,
                                  const Diagnostics* diagnostics) {
  report::Series lambda{
      .label = "eigenvalue", .x = {}, .y = {}, .style = report::Style::linespoints};
  report::Series residual{.label = "residual", .x = {}, .y = {}, .style = report::Style::points};
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] > 0) {
      lambda.x.push_back(static_cast<double>(i + 1));
      lambda.y.push_back(values[i]);
    }
    if (i < residuals.size() && residuals[i] > 0) {
      residual.x.push_back(static_cast<double>(i + 1));
      residual.y.push_back(residuals[i]);
    }
  }
  report::Plot spectrum{.title = "Eigenvalues of K",
                        .x_label = "i",
                        .y_label = "lambda_i",
                        .log_x = true,
                        .log_y = true,
                        .series = {lambda}};
  report::Plot accuracy{.title = exact ? "Measured residuals" : "Residuals, estimated",
                        .x_label = "i",
                        .y_label = "|K v_i - lambda_i v_i| / lambda_1",
                        .log_x = true,
                        .log_y = true,
                        .series = {residual}};
  const bool law = diagnostics != nullptr && diagnostics->decay.has_value();
  if (law) spectrum.series.push_back(law_series(*diagnostics->decay));
  std::vector<report::Plot> panels{spectrum};
  if (diagnostics != nullptr && diagnostics->alignment.has_value())
    panels.push_back(alignment_panel(*diagnostics->alignment, diagnostics->spaces));
  if (!residual.x.empty()) panels.push_back(accuracy);
  return panels;
}

std::vector<report::Plot> picture(const msk::ModifiedSpectrum& spectrum,
                                  const std::vector<RidgeErrors>& errors,
                                  const Predictions& predictions, const data::Dataset* test,
                                  const data::Preparation& preparation) {
  std::vector<report::Plot> panels;
  if (!spectrum.lambda.empty()) panels.push_back(spectrum_panel(spectrum));
  if (errors.size() > 1) {
    auto panel = error_panel(errors, preparation);
    if (!panel.series.empty()) panels.push_back(std::move(panel));
  }
  const auto& confusion = predictions.scores.confusion;
  if (confusion.has_value() && confusion->has_matrix())
    panels.push_back(confusion_panel(*confusion, test->classes));
  else if (test != nullptr && predictions.scores.known())
    panels.push_back(prediction_panel(predictions.values, *test, preparation));
  return panels;
}

report::Plot picture(const LearningCurve& curve, const data::Preparation& preparation) {
  report::Series gcv{.label = "predicted (gcv)", .x = {}, .y = {}};
  report::Series loo{.label = "predicted (leave-one-out)", .x = {}, .y = curve.leave_one_out};
  report::Series measured{.label = fmt::format("measured, {} subsets", curve.subsets),
                          .x = {},
                          .y = curve.measured,
                          .style = report::Style::points,
                          .error = curve.measured_error};
  for (const auto& point : curve.points) {
    gcv.x.push_back(static_cast<double>(point.n));
    gcv.y.push_back(point.error);
  }
  loo.x = gcv.x;
  if (!curve.measured.empty()) measured.x = gcv.x;
  return {.title = "Learning curve",
          .x_label = "number of rows n",
          .y_label = fmt::format("mean of |f - y|^2, ({})^2", prepared_unit(preparation)),
          .log_x = true,
          .log_y = true,
          .series = {std::move(gcv), std::move(loo), std::move(measured)}};
}

}  // namespace mercer::jobs
