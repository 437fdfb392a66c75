#include "shared/ridge_scores.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"

namespace mercer::drivers {

using dist::RowBlock;

namespace {

constexpr Index kShownClasses = 12;  // of a printed confusion matrix
constexpr Index kListedClasses = 50;
constexpr std::size_t kCell = 10;  // bytes of a class's name over its column

/// The numbers that predicted_classes() takes: only their count matters for names.
std::vector<double> numbers_of(const data::Classes& classes) {
  if (classes.numeric()) return classes.values;
  std::vector<double> places(static_cast<std::size_t>(classes.size()));
  std::iota(places.begin(), places.end(), 0.0);
  return places;
}

/// Test targets in their own units.
RowBlock<double> own_units(RowBlock<double> targets, const data::Preparation& preparation) {
  data::to_target_units(preparation.standardization, targets);
  return targets;
}

/// Those rows that have targets, over the ranks anew.
struct Known {
  RowBlock<double> predictions, targets;
  std::vector<Index> labels;  ///< of the local rows; empty without classes
};

/// Rows `which` of all, the same list on every rank. Collective.
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

/// A mean square over standardised outputs, in the targets' own units; nullopt where it is known by
/// output nowhere and their deviations differ.
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

/// "target", "one-hot output", and squares of these.
std::string unit_word(const data::Preparation& preparation) {
  return preparation.one_hot ? "one-hot output" : "target";
}

/// What RidgeErrors has, by the names of files and records.
struct Figure {
  const char* name;
  std::string unit;  ///< "" of what has none
  std::function<std::optional<double>(const RidgeErrors&)> value;
};
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

std::string shown(const std::optional<double>& value, const char* digits) {
  return value.has_value() && std::isfinite(*value) ? fmt::format(fmt::runtime(digits), *value)
                                                    : "-";
}

/// At most `width` bytes, cut between characters.
std::string shortened(const std::string& name, std::size_t width) {
  if (name.size() <= width) return name;
  std::size_t end = width - 1;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return name.substr(0, end) + "~";
}

}  // namespace

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

void print_errors(const Session& session, const data::Preparation& preparation,
                  const std::vector<RidgeErrors>& errors) {
  struct Column {
    std::string title;
    int width;
    std::function<std::string(const RidgeErrors&)> text;
  };
  const bool standardized = standardized_only(errors);
  const std::vector<Column> all = {
      {"test rmse", 14,
       [&](const auto& e) {
         return shown(standardized ? e.scores.rmse_standardized : e.scores.rmse, "{:.8g}");
       }},
      {"test R^2", 10, [](const auto& e) { return shown(e.scores.r2, "{:.6f}"); }},
      {"accuracy", 10, [](const auto& e) { return shown(e.scores.accuracy, "{:.4f}"); }},
      {"leave-one-out", 14, [](const auto& e) { return shown(e.loo_rmse, "{:.8g}"); }},
      {"sqrt(gcv)", 14, [](const auto& e) {
         return shown(e.gcv.has_value() ? std::optional(std::sqrt(*e.gcv)) : std::nullopt,
                      "{:.8g}");
       }}};
  std::vector<const Column*> columns;
  for (const Column& column : all)
    if (std::ranges::any_of(errors, [&](const auto& e) { return column.text(e) != "-"; }))
      columns.push_back(&column);
  if (columns.empty()) return;
  const auto line = [&](const std::string& first, auto&& cell) {
    std::string text = fmt::format("{:>14}", first);
    for (const Column* column : columns)
      text += fmt::format("  {:>{}}", cell(*column), column->width);
    session.say("{}", text);
  };
  session.say(
      "\nerrors in {}{}", standardized ? prepared_unit(preparation) : unit_of(preparation),
      preparation.one_hot ? fmt::format(" (1 - 1/{0} or -1/{0})", preparation.classes.size()) : "");
  line("ridge", [](const Column& column) { return column.title; });
  for (const auto& e : errors)
    line(fmt::format("{:.6e}", e.ridge), [&](const Column& column) { return column.text(e); });
}

void print_predictions(const Session& session, const data::Dataset& rows,
                       const Predictions& predictions) {
  if (!predictions.scores.known()) {
    session.say("\n{} rows without targets predicted", rows.rows());
    return;
  }
  if (predictions.scores.rows < rows.rows())
    session.say("\n{} of {} test rows have targets and are scored; all are predicted",
                predictions.scores.rows, rows.rows());
  if (!predictions.scores.confusion.has_value()) return;
  const auto& confusion = *predictions.scores.confusion;
  const Index classes = confusion.classes();
  const auto name = [&](Index t) { return rows.classes.names[static_cast<std::size_t>(t)]; };
  if (classes > kListedClasses) {
    session.say("\n{} classes: --out and --json hold the accuracy of each", classes);
    return;
  }
  const bool matrix = confusion.has_matrix() && classes <= kShownClasses;
  std::size_t width = 5, cell = 6;
  for (Index t = 0; t < classes; ++t) {
    width = std::max(width, shortened(name(t), 20).size());
    cell = std::max(cell, shortened(name(t), kCell).size());
  }
  std::string header = fmt::format("\n{:<{}}  {:>8}  {:>10}", "class", width, "rows", "accuracy");
  if (matrix) {
    header += "   predicted as";
    for (Index p = 0; p < classes; ++p)
      header += fmt::format("  {:>{}}", shortened(name(p), kCell), cell);
  }
  session.say("{}", header);
  const auto accuracies = confusion.accuracy_by_class();
  for (Index t = 0; t < classes; ++t) {
    std::string line =
        fmt::format("{:<{}}  {:>8}  {:>10}", shortened(name(t), 20), width, confusion.rows(t),
                    shown(accuracies[static_cast<std::size_t>(t)], "{:.4f}"));
    if (matrix) {
      line += std::string(15, ' ');
      for (Index p = 0; p < classes; ++p) line += fmt::format("  {:>{}}", confusion(t, p), cell);
    }
    session.say("{}", line);
  }
  if (predictions.scores.log_loss.has_value())
    session.say("log loss of the test rows {:.5f}", *predictions.scores.log_loss);
}

void note_errors(Session& session, const RidgeErrors& errors,
                 const data::Preparation& preparation) {
  auto& result = session.record().result;
  const Scores& scores = errors.scores;
  if (scores.known() && scores.rows < scores.predicted) result["rows_scored"] = scores.rows;
  for (const auto& [name, unit, value] : figures(preparation, errors.standardized_only)) {
    const auto found = value(errors);
    if (!found.has_value()) continue;
    result[name] = *found;
    if (!unit.empty()) result["units"][name] = unit;
  }
  if (!errors.scores.confusion.has_value()) return;
  const auto& confusion = *errors.scores.confusion;
  result["classes"] = preparation.classes.names;
  result["accuracy_by_class"] = confusion.accuracy_by_class();
  if (!confusion.has_matrix()) return;
  auto table = nlohmann::ordered_json::array();
  for (Index t = 0; t < confusion.classes(); ++t) {
    auto line = nlohmann::ordered_json::array();
    for (Index p = 0; p < confusion.classes(); ++p) line.push_back(confusion(t, p));
    table.push_back(std::move(line));
  }
  result["confusion"] = std::move(table);
}

void write_errors(dist::Hdf5File& file, const std::string& group,
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

void write_predictions(dist::Hdf5File& file, const data::Dataset& rows,
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

}  // namespace mercer::drivers
