// The pictures of a training.

#include <algorithm>
#include <cmath>
#include <limits>

#include "mercer/jobs/pictures.hpp"

namespace mercer::jobs {
namespace {

using train::Record;

constexpr std::size_t kCurves = 7;  // as many as there are colours

std::vector<double> column(const std::vector<Record>& history, double Record::*value) {
  std::vector<double> values;
  for (const Record& record : history) values.push_back(record.*value);
  return values;
}

std::vector<double> steps(const std::vector<Record>& history) {
  std::vector<double> values;
  for (const Record& record : history) values.push_back(static_cast<double>(record.step));
  return values;
}

/// |v_i^T r_t| along the eigenvectors, and the prediction of linear theory.
report::Plot direction_panel(const std::vector<Record>& history,
                             std::span<const Index> directions) {
  const auto x = steps(history);
  report::Plot panel{.title = "Residual by direction (lines: linear theory)",
                     .x_label = "step (logarithmic: without step 0)",
                     .y_label = "|v_i^T r_t|",
                     .log_x = true,
                     .log_y = true,
                     .series = {}};
  // Only directions in which the residual starts above rounding.
  const auto& r_0 = history.front().directions;
  std::vector<std::size_t> present;
  for (std::size_t d = 0; d < directions.size(); ++d)
    if (r_0[d] > 1e-6 * *std::ranges::max_element(r_0)) present.push_back(d);
  int colour = 0;
  double smallest = std::numeric_limits<double>::infinity();
  for (const std::size_t place : thinned(present.size(), kCurves)) {
    const std::size_t d = present[place];
    report::Series measured{.label = fmt::format("i = {}", directions[d]),
                            .x = x,
                            .y = {},
                            .style = report::Style::points,
                            .colour = colour};
    report::Series theory{.label = "", .x = x, .y = {}, .colour = colour++};
    for (const Record& record : history) {
      measured.y.push_back(record.directions[d]);
      theory.y.push_back(record.predicted[d]);
    }
    for (const double y : measured.y)
      if (y > 0) smallest = std::min(smallest, y);
    panel.series.push_back(std::move(theory));
    panel.series.push_back(std::move(measured));
  }
  // The prediction soon falls far below what a finite network reaches.
  if (std::isfinite(smallest)) panel.y_from = 0.1 * smallest;
  return panel;
}

template <class T>
std::vector<double> loss_bound_of(const TrainingPlan& plan, const Training<T>& training) {
  if (!plan.options.track.minimum) return {};
  return loss_bound(plan, training).loss;
}

/// Measured as points, the prediction of linear theory as a line, for some spaces; then the largest
/// difference and its bound.
std::vector<report::Plot> function_panels(const FunctionTrace& trace,
                                          const std::vector<Record>& history) {
  const auto p = projections(trace, history);
  const auto x = steps(history);
  report::Plot panel{.title = "Test residual on eigenfunctions (lines: linear theory)",
                     .x_label = "step (logarithmic: without step 0)",
                     .y_label = "|<r_t, phi_i>|",
                     .log_x = true,
                     .log_y = true,
                     .series = {}};
  report::Plot off{.title = "Distance from linear theory (lines: bound)",
                   .x_label = panel.x_label,
                   .y_label = "|P_k (r_t - e^(-Tt) r_0)|^2",
                   .log_x = true,
                   .log_y = true,
                   .series = {}};
  const auto values = [](const Matrix<double>& A, std::size_t s) {
    const double* column = A.column(static_cast<Index>(s));
    return std::vector<double>(column, column + A.rows());
  };
  int colour = 0;
  double smallest = std::numeric_limits<double>::infinity();
  for (const std::size_t s : thinned(trace.spaces.size(), kCurves)) {
    const auto& space = trace.spaces[s];
    const Index first = trace.index[static_cast<std::size_t>(space.first)];
    auto label = fmt::format("i = {}", first);
    if (space.size > 1) label += fmt::format(" ... {}", first + space.size - 1);
    const auto add = [&](report::Plot& to, const Matrix<double>& theory,
                         const Matrix<double>& measured) {
      to.series.push_back({.label = "", .x = x, .y = values(theory, s), .colour = colour});
      to.series.push_back({.label = label,
                           .x = x,
                           .y = values(measured, s),
                           .style = report::Style::points,
                           .colour = colour});
    };
    add(panel, p.predicted, p.measured);
    add(off, p.bound, p.deviation);
    for (const double y : panel.series.back().y)
      if (y > 0) smallest = std::min(smallest, y);
    ++colour;
  }
  if (std::isfinite(smallest)) panel.y_from = 0.1 * smallest;
  return {panel, off};
}

/// Norms relative to those of K_0, and the least eigenvalue to that of K_inf.
report::Plot kernel_panel(const std::vector<Record>& history, const KernelStart& start) {
  report::Plot panel{.title = "The network's own kernel",
                     .x_label = "step (logarithmic: without step 0)",
                     .y_label = "relative to K_0, lambda_min to that of K_inf",
                     .log_x = true,
                     .log_y = true,
                     .series = {}};
  const auto add = [&](const char* label, Tracked which, double unit) {
    report::Series series{.label = label, .x = steps(history), .y = {}};
    for (const Record& record : history) series.y.push_back(record.tracked.at(which) / unit);
    if (!std::isnan(series.y.back())) panel.series.push_back(std::move(series));
  };
  add("|K_t - K_0|_F", kDriftFrobenius, start.frobenius);
  add("|K_t - K_0|_2", kDriftOperator, start.operator_norm);
  add("lambda_min(K_t)", kSmallest, start.limit_smallest);
  return panel;
}

}  // namespace

template <class T>
std::vector<report::Plot> picture(const TrainingPlan& plan, const Training<T>& training,
                                  const data::Preparation& preparation) {
  const auto& history = training.state.history;
  const auto x = steps(history);
  std::vector<report::Plot> panels;
  report::Plot loss{
      .title = "Loss: mean of r^2, r in " + prepared_unit(preparation),
      .x_label = "step (logarithmic: without step 0)",
      .y_label = "loss",
      .log_x = true,
      .log_y = true,
      .series = {{.label = "training rows", .x = x, .y = column(history, &Record::loss)}}};
  if (!history.empty() && history.front().loss_test >= 0)
    loss.series.push_back({.label = "test rows", .x = x, .y = column(history, &Record::loss_test)});
  const auto bound = loss_bound_of(plan, training);
  if (!bound.empty()) loss.series.push_back({.label = "bound by lambda_min", .x = x, .y = bound});
  panels.push_back(std::move(loss));
  if (!training.directions.empty() && !training.functions.has_value())
    panels.push_back(direction_panel(history, training.directions));
  if (training.functions.has_value())
    for (auto& panel : function_panels(*training.functions, history))
      panels.push_back(std::move(panel));
  if (plan.options.track.kernel || plan.options.track.minimum)
    panels.push_back(kernel_panel(history, *training.kernel_start));
  return panels;
}

template std::vector<report::Plot> picture<double>(const TrainingPlan&, const Training<double>&,
                                                   const data::Preparation&);
template std::vector<report::Plot> picture<float>(const TrainingPlan&, const Training<float>&,
                                                  const data::Preparation&);

}  // namespace mercer::jobs
