#include "shared/score_output.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

namespace mercer::drivers {

using jobs::Predictions;
using jobs::RidgeErrors;
using jobs::Scores;

namespace {

constexpr Index kShownClasses = 12;   // at most, in a printed confusion matrix
constexpr Index kListedClasses = 50;  // at most, in the printed accuracies
constexpr std::size_t kCell = 10;     // most bytes of a class's name above its column

std::string shown(const std::optional<double>& value, const char* digits) {
  return value.has_value() && std::isfinite(*value) ? fmt::format(fmt::runtime(digits), *value)
                                                    : "-";
}

/// `name` in at most `width` bytes, cut between UTF-8 characters.
std::string shortened(const std::string& name, std::size_t width) {
  if (name.size() <= width) return name;
  std::size_t end = width - 1;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return name.substr(0, end) + "~";
}

}  // namespace

void print_errors(const Session& session, const data::Preparation& preparation,
                  const std::vector<RidgeErrors>& errors) {
  struct Column {
    std::string title;
    int width;
    std::function<std::string(const RidgeErrors&)> text;
  };
  const bool standardized = jobs::standardized_only(errors);
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
      "\nerrors in {}{}",
      standardized ? jobs::prepared_unit(preparation) : jobs::unit_of(preparation),
      preparation.one_hot ? fmt::format(" (1 - 1/{0} or -1/{0})", preparation.classes.size()) : "");
  const bool timed = errors.front().time.has_value();
  line(timed ? "time t" : "ridge", [](const Column& column) { return column.title; });
  for (const auto& e : errors)
    line(fmt::format("{:.6e}", e.time.value_or(e.ridge)),
         [&](const Column& column) { return column.text(e); });
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
  for (const auto& [name, unit, value] : jobs::figures(preparation, errors.standardized_only)) {
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

}  // namespace mercer::drivers
