#include "mercer/jobs/scores.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"

namespace mercer::jobs {

using dist::RowBlock;

namespace {

/// The numbers that predicted_classes() takes: 0, 1, ... for names.
std::vector<double> numbers_of(const data::Classes& classes) {
  if (classes.numeric()) return classes.values;
  std::vector<double> places(static_cast<std::size_t>(classes.size()));
  std::iota(places.begin(), places.end(), 0.0);
  return places;
}

/// Targets in their own units.
RowBlock<double> own_units(RowBlock<double> targets, const data::Preparation& preparation) {
  data::to_target_units(preparation.standardization, targets);
  return targets;
}

/// The rows that have targets, redistributed over the ranks.
struct Known {
  RowBlock<double> predictions, targets;
  std::vector<Index> labels;  ///< of the local rows; empty without classes
};

/// Rows `which` (global indices, the same list on every rank), redistributed. Collective.
RowBlock<double> chosen(const RowBlock<double>& rows, const std::vector<Index>& which) {
  const auto& comm = rows.comm();
  auto result = comm::together(
      comm, [&] { return RowBlock<double>(comm, static_cast<Index>(which.size()), rows.cols()); });
  const auto first = which.begin() + result.first_row();
  const std::vector<Index> own(first, first + result.local_rows());
  const auto fetched = dist::fetch_rows(rows, std::span<const Index>(own));
  std::copy_n(fetched.data(), fetched.size(), result.values().begin());
  return result;
}

Known known_rows(const RowBlock<double>& predictions, const data::Dataset& rows) {
  if (rows.known_rows == rows.rows()) return {predictions.copy(), rows.targets.copy(), rows.labels};
  std::vector<Index> which;
  for (Index i = 0; i < rows.targets.local_rows(); ++i)
    if (rows.known(i)) which.push_back(rows.targets.first_row() + i);
  which = predictions.comm().all_gather(std::span<const Index>(which));
  Known known{chosen(predictions, which), chosen(rows.targets, which), {}};
  if (rows.classes.empty()) return known;
  RowBlock<double> labels(predictions.comm(), rows.rows(), 1);
  std::ranges::copy(rows.labels, labels.values().begin());
  const auto kept = chosen(labels, which);
  for (const double label : kept.values()) known.labels.push_back(static_cast<Index>(label));
  return known;
}

/// A mean square over standardised outputs, in the targets' own units; nullopt where it is not
/// known for each output and the outputs' deviations differ.
std::optional<double> in_own_units(double square, const std::vector<double>& by_output,
                                   const data::Standardization& s) {
  const auto& d = s.target_deviation;
  if (by_output.empty() && std::ranges::any_of(d, [&](double x) { return x != d.front(); }))
    return std::nullopt;
  double sum = 0;
  for (std::size_t o = 0; o < d.size(); ++o)
    sum += (by_output.empty() ? square : by_output[o]) * d[o] * d[o];
  return sum / static_cast<double>(d.size());
}

constexpr const char* kDeviation = "deviation of the training targets";

/// The unit of rmse in files: "target" or "one-hot output".
std::string unit_word(const data::Preparation& preparation) {
  return preparation.one_hot ? "one-hot output" : "target";
}

}  // namespace

std::vector<Figure> figures(const data::Preparation& preparation, bool standardized_only) {
  const std::string unit = unit_word(preparation), deviation = kDeviation;
  const std::string loo = standardized_only ? deviation : unit;
  const auto squared = [&](const std::string& told_in) {
    return told_in == deviation ? fmt::format("({})^2", deviation) : told_in + "^2";
  };
  using E = RidgeErrors;
  return {{"rmse", unit, [](const E& e) { return e.scores.rmse; }},
          {"mse", squared(unit), [](const E& e) { return e.scores.mse; }},
          {"r2", "", [](const E& e) { return e.scores.r2; }},
          {"rmse_standardized", deviation, [](const E& e) { return e.scores.rmse_standardized; }},
          {"accuracy", "", [](const E& e) { return e.scores.accuracy; }},
          {"log_loss", "", [](const E& e) { return e.scores.log_loss; }},
          {"loo_rmse", loo, [](const E& e) { return e.loo_rmse; }},
          {"loo_rmse_standardized", deviation, [](const E& e) { return e.loo_rmse_standardized; }},
          {"gcv", squared(loo), [](const E& e) { return e.gcv; }},
          {"gcv_standardized", squared(deviation), [](const E& e) { return e.gcv_standardized; }}};
}

Predictions evaluate(RowBlock<double> values, const data::Dataset& rows,
                     const data::Preparation& preparation, std::optional<double> temperature) {
  const auto& standardization = preparation.standardization;
  Predictions result{.values = std::move(values), .probabilities = {}, .scores = {}};
  Scores& scores = result.scores;
  scores.predicted = rows.rows();
  if (temperature.has_value())
    result.probabilities = krr::probabilities(result.values, *temperature);
  if (rows.outputs() == 0) {
    data::to_target_units(standardization, result.values);
    return result;
  }
  auto known = known_rows(result.values, rows);
  scores.rows = rows.known_rows;
  if (temperature.has_value())
    scores.log_loss = krr::log_loss(known.predictions, known.labels, *temperature);
  if (!standardization.target_deviation.empty())
    scores.rmse_standardized = krr::rmse(known.predictions, known.targets);
  data::to_target_units(standardization, result.values);
  data::to_target_units(standardization, known.predictions);
  const auto targets = own_units(std::move(known.targets), preparation);
  scores.mse = krr::mse(known.predictions, targets);
  scores.rmse = std::sqrt(*scores.mse);
  scores.r2 = krr::r_squared(known.predictions, targets);
  if (!rows.classes.empty()) {
    const auto predicted = krr::predicted_classes(known.predictions, numbers_of(rows.classes));
    scores.confusion.emplace(known.predictions.comm(), predicted, known.labels,
                             rows.classes.size());
    scores.accuracy = scores.confusion->accuracy();
  }
  return result;
}

std::string unit_of(const data::Preparation& preparation) {
  if (preparation.one_hot) return "one-hot outputs";
  if (preparation.outputs > 1) return "the targets' own units";
  return preparation.target_names.size() == 1
             ? fmt::format("{}'s own unit", preparation.target_names.front())
             : "the target's own unit";
}

std::string text(const Scores& scores, const data::Preparation& preparation) {
  if (!scores.known()) return "";
  auto text = fmt::format("rmse {:.6g} in {}", *scores.rmse, unit_of(preparation));
  if (scores.rmse_standardized.has_value())
    text +=
        fmt::format(" ({:.6g} in deviations of the training targets)", *scores.rmse_standardized);
  if (std::isfinite(*scores.r2)) text += fmt::format(", R^2 {:.6f}", *scores.r2);
  if (scores.accuracy.has_value()) text += fmt::format(", accuracy {:.4f}", *scores.accuracy);
  return text;
}

std::string prepared_unit(const data::Preparation& preparation) {
  return preparation.standardization.target_deviation.empty()
             ? unit_of(preparation)
             : "deviations of the training targets";
}

RidgeErrors errors_of(const krr::Fit& fit, const data::Preparation& preparation) {
  const auto& s = preparation.standardization;
  RidgeErrors errors{.ridge = fit.ridge};
  if (fit.loo_rmse >= 0) errors.loo_rmse = fit.loo_rmse;
  if (fit.gcv >= 0) errors.gcv = fit.gcv;
  if (s.target_deviation.empty()) return errors;
  errors.loo_rmse_standardized = errors.loo_rmse;
  errors.gcv_standardized = errors.gcv;
  std::vector<double> squares;
  for (const double rmse : fit.loo_rmse_by_output) squares.push_back(rmse * rmse);
  const auto loo = in_own_units(fit.loo_rmse * fit.loo_rmse, squares, s);
  const auto gcv = in_own_units(fit.gcv, fit.gcv_by_output, s);
  errors.standardized_only = (errors.loo_rmse && !loo) || (errors.gcv && !gcv);
  if (errors.standardized_only) return errors;
  if (errors.loo_rmse) errors.loo_rmse = std::sqrt(*loo);
  if (errors.gcv) errors.gcv = gcv;
  return errors;
}

bool standardized_only(const std::vector<RidgeErrors>& errors) {
  return std::ranges::any_of(errors, [](const auto& e) { return e.standardized_only; });
}

void write_errors(io::Hdf5File& file, const std::string& group,
                  const std::vector<RidgeErrors>& errors, const data::Preparation& preparation) {
  for (const auto& [name, unit, value] : figures(preparation, standardized_only(errors))) {
    std::vector<double> values;
    for (const auto& e : errors)
      if (const auto found = value(e)) values.push_back(*found);
    if (values.empty() || values.size() < errors.size()) continue;
    const std::string dataset = group + "/" + name;
    file.write(dataset, values);
    if (!unit.empty()) file.attribute(dataset, "unit", unit);
  }
}

void write_predictions(io::Hdf5File& file, const data::Dataset& rows,
                       const data::Preparation& preparation, const Predictions& predictions) {
  file.write("/predictions", predictions.values);
  file.write("/rows", rows.rows(), std::span<const Index>(rows.file_rows));
  const auto& classes = preparation.classes;
  if (!classes.empty()) file.write("/classes", std::span<const std::string>(classes.names));
  if (predictions.probabilities.cols() > 0) file.write("/probabilities", predictions.probabilities);
  if (rows.outputs() == 0) return;
  if (classes.empty()) {
    file.write("/targets", own_units(rows.targets.copy(), preparation));
    return;
  }
  RowBlock<double> labels(rows.inputs.comm(), rows.rows(), 1);
  const auto numbers = numbers_of(classes);
  for (Index i = 0; i < labels.local_rows(); ++i) {
    const Index label = rows.labels[static_cast<std::size_t>(i)];
    labels.row(i)[0] = label < 0 ? NAN : numbers[static_cast<std::size_t>(label)];
  }
  file.write("/targets", labels);
  file.write("/labels", rows.rows(), std::span<const Index>(rows.labels));
  if (!predictions.scores.confusion.has_value()) return;
  const auto& confusion = *predictions.scores.confusion;
  file.write("/score/accuracy_by_class", confusion.accuracy_by_class());
  if (!confusion.has_matrix()) return;
  RowBlock<Index> table(rows.inputs.comm(), confusion.classes(), confusion.classes());
  for (Index i = 0; i < table.local_rows(); ++i)
    for (Index p = 0; p < confusion.classes(); ++p)
      table.row(i)[static_cast<std::size_t>(p)] = confusion(table.first_row() + i, p);
  file.write("/score/confusion", table);
}

}  // namespace mercer::jobs
