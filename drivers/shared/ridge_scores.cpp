#include "shared/ridge_scores.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mercer::drivers {

using dist::RowBlock;

namespace {

constexpr Index kShownClasses = 12;  // of a printed confusion matrix
constexpr Index kListedClasses = 50;

/// The numbers that predicted_classes() takes: only their count matters for names.
std::vector<double> numbers_of(const data::Classes& classes) {
  if (classes.numeric()) return classes.values;
  std::vector<double> places(static_cast<std::size_t>(classes.size()));
  std::iota(places.begin(), places.end(), 0.0);
  return places;
}

/// Rows of test targets in their own units.
RowBlock<double> own_targets(const data::Dataset& rows, const data::Preparation& preparation) {
  auto targets = rows.targets.copy();
  data::to_target_units(preparation.standardization, targets);
  return targets;
}

/// Mean over the outputs of a square, of every output told in its training deviation.
double in_own_units(const std::vector<double>& squares, const data::Standardization& s) {
  double sum = 0;
  for (std::size_t o = 0; o < squares.size(); ++o)
    sum += squares[o] * s.target_deviation[o] * s.target_deviation[o];
  return sum / static_cast<double>(squares.size());
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
  if (temperature.has_value()) {
    result.probabilities = krr::probabilities(result.values, *temperature);
    if (rows.outputs() > 0)
      scores.log_loss = krr::log_loss(result.values, rows.labels, *temperature);
  }
  if (rows.outputs() > 0 && !standardization.target_deviation.empty())
    scores.rmse_standardized = krr::rmse(result.values, rows.targets);
  data::to_target_units(standardization, result.values);
  if (rows.outputs() == 0) return result;
  const auto targets = own_targets(rows, preparation);
  scores.mse = krr::mse(result.values, targets);
  scores.rmse = std::sqrt(*scores.mse);
  scores.r2 = krr::r_squared(result.values, targets);
  if (!rows.classes.empty()) {
    const auto predicted = krr::predicted_classes(result.values, numbers_of(rows.classes));
    scores.confusion.emplace(result.values.comm(), predicted, rows.labels, rows.classes.size());
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
  const bool standardized = !s.target_deviation.empty();
  std::vector<double> loo_mse;
  for (const double rmse : fit.loo_rmse_by_output) loo_mse.push_back(rmse * rmse);
  if (fit.loo_rmse >= 0) {
    errors.loo_rmse = standardized ? std::sqrt(in_own_units(loo_mse, s)) : fit.loo_rmse;
    if (standardized) errors.loo_rmse_standardized = fit.loo_rmse;
  }
  if (fit.gcv >= 0) {
    errors.gcv = standardized ? in_own_units(fit.gcv_by_output, s) : fit.gcv;
    if (standardized) errors.gcv_standardized = fit.gcv;
  }
  return errors;
}

void print_errors(const Session& session, const data::Preparation& preparation,
                  const std::vector<RidgeErrors>& errors) {
  struct Column {
    std::string title;
    int width;
    std::function<std::string(const RidgeErrors&)> text;
  };
  const std::vector<Column> all = {
      {"test rmse", 14, [](const auto& e) { return shown(e.scores.rmse, "{:.8g}"); }},
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
      "\nerrors in {}{}", unit_of(preparation),
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
  if (!predictions.scores.confusion.has_value()) return;
  const auto& confusion = *predictions.scores.confusion;
  const Index classes = confusion.classes();
  const auto name = [&](Index t) { return rows.classes.names[static_cast<std::size_t>(t)]; };
  if (classes > kListedClasses) {
    session.say("\n{} classes: --out and --json hold the accuracy of each", classes);
    return;
  }
  const bool matrix = confusion.has_matrix() && classes <= kShownClasses;
  std::size_t width = 5;
  for (Index t = 0; t < classes; ++t) width = std::max(width, shortened(name(t), 20).size());
  std::string header = fmt::format("\n{:<{}}  {:>8}  {:>10}", "class", width, "rows", "accuracy");
  if (matrix) {
    header += "   predicted as";
    for (Index p = 0; p < classes; ++p) header += fmt::format(" {:>8}", shortened(name(p), 8));
  }
  session.say("{}", header);
  const auto accuracies = confusion.accuracy_by_class();
  for (Index t = 0; t < classes; ++t) {
    std::string line =
        fmt::format("{:<{}}  {:>8}  {:>10}", shortened(name(t), 20), width, confusion.rows(t),
                    shown(accuracies[static_cast<std::size_t>(t)], "{:.4f}"));
    if (matrix) {
      line += std::string(15, ' ');
      for (Index p = 0; p < classes; ++p) line += fmt::format(" {:>8}", confusion(t, p));
    }
    session.say("{}", line);
  }
  if (predictions.scores.log_loss.has_value())
    session.say("log loss of the test rows {:.5f}", *predictions.scores.log_loss);
}

void note_scores(Session& session, const Scores& scores, const data::Preparation& preparation) {
  auto& result = session.record().result;
  if (!scores.known()) return;
  const auto note = [&](const char* name, const std::optional<double>& value) {
    if (value.has_value()) result[name] = *value;
  };
  note("rmse", scores.rmse);
  note("mse", scores.mse);
  note("r2", scores.r2);
  note("rmse_standardized", scores.rmse_standardized);
  note("accuracy", scores.accuracy);
  note("log_loss", scores.log_loss);
  auto& units = result["units"];
  const std::string unit = preparation.one_hot ? "one-hot output" : "target";
  units["rmse"] = unit;
  units["mse"] = unit + "^2";
  if (scores.rmse_standardized.has_value())
    units["rmse_standardized"] = "deviation of the training targets";
  if (!scores.confusion.has_value()) return;
  const auto& confusion = *scores.confusion;
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

void note_errors(Session& session, const RidgeErrors& errors,
                 const data::Preparation& preparation) {
  note_scores(session, errors.scores, preparation);
  auto& result = session.record().result;
  const std::string unit = preparation.one_hot ? "one-hot output" : "target";
  const std::string standardized = "deviation of the training targets";
  const auto note = [&](const std::string& name, const std::optional<double>& value,
                        const std::string& told_in) {
    if (!value.has_value()) return;
    result[name] = *value;
    result["units"][name] = told_in;
  };
  note("loo_rmse", errors.loo_rmse, unit);
  note("loo_rmse_standardized", errors.loo_rmse_standardized, standardized);
  note("gcv", errors.gcv, unit + "^2");
  note("gcv_standardized", errors.gcv_standardized, fmt::format("({})^2", standardized));
}

void write_errors(dist::Hdf5File& file, const std::string& group,
                  const std::vector<RidgeErrors>& errors) {
  const auto column = [&](const char* name, auto&& value) {
    std::vector<double> values;
    for (const auto& e : errors)
      if (const std::optional<double> v = value(e)) values.push_back(*v);
    if (!values.empty() && values.size() == errors.size()) file.write(group + "/" + name, values);
  };
  column("rmse", [](const auto& e) { return e.scores.rmse; });
  column("mse", [](const auto& e) { return e.scores.mse; });
  column("r2", [](const auto& e) { return e.scores.r2; });
  column("rmse_standardized", [](const auto& e) { return e.scores.rmse_standardized; });
  column("accuracy", [](const auto& e) { return e.scores.accuracy; });
  column("log_loss", [](const auto& e) { return e.scores.log_loss; });
  column("loo_rmse", [](const auto& e) { return e.loo_rmse; });
  column("loo_rmse_standardized", [](const auto& e) { return e.loo_rmse_standardized; });
  column("gcv", [](const auto& e) { return e.gcv; });
  column("gcv_standardized", [](const auto& e) { return e.gcv_standardized; });
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
    file.write("/targets", own_targets(rows, preparation));
    return;
  }
  RowBlock<double> labels(rows.inputs.comm(), rows.rows(), 1);
  const auto numbers = numbers_of(classes);
  for (Index i = 0; i < labels.local_rows(); ++i)
    labels.row(i)[0] = numbers[static_cast<std::size_t>(rows.labels[static_cast<std::size_t>(i)])];
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
