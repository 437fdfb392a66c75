#include "notes.hpp"

#include <algorithm>
#include <cmath>

namespace mercer::data {
namespace {

constexpr std::size_t kMostForgotten = 64;

std::string counted(Index count, const char* one, const char* several) {
  return fmt::format("{} {}", count, count == 1 ? one : several);
}

}  // namespace

std::string shortened(const std::vector<std::string>& names, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names.size() > most && i >= 3) return text + " ... " + names.back();
    text += (i > 0 ? ", " : "") + (names[i].empty() ? std::string("''") : names[i]);
  }
  return text;
}

std::string shortened(const std::vector<Index>& columns, const std::vector<std::string>& names) {
  std::vector<std::string> texts;
  for (Index column : columns)
    texts.push_back(names.empty() ? std::to_string(column + 1)
                                  : names[static_cast<std::size_t>(column)]);
  return shortened(texts);
}

namespace {

/// "reads 3 inputs a, b, c and the target y from 90 rows".
std::string reading_text(Index inputs, const std::vector<std::string>& input_names, Index outputs,
                         const std::vector<std::string>& target_names, Index count, Index known) {
  std::string text = "reads " + counted(inputs, "input", "inputs");
  if (!input_names.empty()) text += fmt::format(" {}", shortened(input_names));
  const std::string rows = counted(count, "row", "rows");
  if (outputs == 0 || known == 0) return text + " from " + rows + " without targets";
  if (target_names.empty())
    text += outputs == 1 ? " and the target" : fmt::format(" and {} targets", outputs);
  else
    text += (outputs == 1 ? " and the target " : " and the targets ") + shortened(target_names);
  text += " from " + rows;
  const Index unknown = count - known;
  return unknown == 0 ? text
                      : text + fmt::format(", {} of them without {}", unknown,
                                           outputs == 1 ? "targets" : "all of their targets");
}

}  // namespace

std::string reading(const Dataset& set) {
  return reading_text(set.dimension(), set.input_names, set.outputs(), set.target_names, set.rows(),
                      set.known_rows);
}

std::string reading(const Preparation& preparation, Index rows) {
  const Index outputs = preparation.one_hot ? 1 : preparation.outputs;
  return reading_text(preparation.dimension, preparation.input_names, outputs,
                      preparation.target_names, rows, rows);
}

std::string input_text(const Preparation& p) {
  std::vector<std::string> parts;
  if (p.scale != 1) parts.push_back(fmt::format("multiplied by {}", p.scale));
  if (!p.standardization.input_mean.empty()) parts.emplace_back("standardized");
  if (p.unit_norm) parts.emplace_back("divided by their norms");
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string difference(const Preparation& there, const Preparation& here) {
  constexpr const char* kUnchanged = "taken as they are";
  const auto inputs = [](const Preparation& p) {
    const auto text = input_text(p);
    return text.empty() ? kUnchanged : text;
  };
  const auto targets = [](const Preparation& p) {
    if (p.one_hot) return "one-hot";
    return p.standardization.target_mean.empty() ? kUnchanged : "standardized";
  };
  const auto& a = there.standardization;
  const auto& b = here.standardization;
  std::vector<std::string> parts;
  if (inputs(there) != inputs(here))
    parts.push_back(fmt::format("inputs are {} there and {} here", inputs(there), inputs(here)));
  else if (a.input_mean != b.input_mean || a.input_deviation != b.input_deviation)
    parts.emplace_back("inputs are standardized with other means and deviations");
  if (std::string(targets(there)) != targets(here))
    parts.push_back(fmt::format("targets are {} there and {} here", targets(there), targets(here)));
  else if (a.target_mean != b.target_mean || a.target_deviation != b.target_deviation)
    parts.emplace_back("targets are standardized with other means and deviations");
  else if (there.one_hot && there.classes != here.classes)
    parts.push_back(fmt::format("the classes are {} there and {} here",
                                shortened(there.classes.names), shortened(here.classes.names)));
  return fmt::format("{}", fmt::join(parts, "; "));
}

std::string classes_forgotten(const dist::RowBlock<double>& targets) {
  const auto& comm = targets.comm();
  std::vector<double> values;  // distinct ones; with more than kMostForgotten these are no classes
  bool whole = targets.cols() == 1;
  for (Index i = 0; whole && i < targets.local_rows(); ++i) {
    const double value = targets.row(i)[0] + 0.0;
    whole = value == std::floor(value) && std::abs(value) < 0x1p53;
    const auto place = std::lower_bound(values.begin(), values.end(), value);
    if (place == values.end() || *place != value) values.insert(place, value);
    whole = whole && values.size() <= kMostForgotten;
  }
  if (comm.all_reduce(Index{!whole}, comm::Op::max) != 0) return "";
  values = comm.all_gather(std::span<const double>(values));
  const Classes classes = classes_of(std::move(values));
  const Index c = classes.size();
  if (c < 2 || c > static_cast<Index>(kMostForgotten) || targets.rows() < 3 * c) return "";
  return fmt::format(
      "the targets are {} whole numbers ({}), regressed as numbers; `one_hot` makes them classes",
      c, shortened(classes.names));
}

}  // namespace mercer::data
