#include "classes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

#include "mercer/comm/together.hpp"
#include "notes.hpp"
#include "text.hpp"

namespace mercer::data {
namespace {

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

template <class T>
void make_distinct(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

void expect_few(std::size_t distinct, const std::string& spec) {
  if (distinct > static_cast<std::size_t>(kMostClasses)) refuse_measurements(spec);
}

/// The distinct values of the target column over all ranks, ascending. Collective.
std::vector<double> distinct_values(const LabelColumn& column) {
  const auto& targets = column.targets;
  auto values = comm::together(targets.comm(), [&] {
    std::vector<double> mine(targets.values().begin(), targets.values().end());
    for (double& value : mine) value += 0.0;  // -0 is 0
    make_distinct(mine);
    expect_few(mine.size(), column.spec);
    return mine;
  });
  values = targets.comm().all_gather(std::span<const double>(values));
  make_distinct(values);
  expect_few(values.size(), column.spec);
  return values;
}

/// From here on neighbouring whole numbers are not distinct as doubles.
constexpr double kExact = 0x1p53;

/// A label as a number, where it is one that is distinct from every other number in text.
std::optional<double> label_number(std::string_view text) {
  const auto value = parse_number(text);
  return value && std::isfinite(*value) && std::abs(*value) < kExact ? value : std::nullopt;
}

}  // namespace

void refuse_measurements(const std::string& name) {
  throw InputError(
      "`one_hot`: {} has more than {} distinct labels: these look like measurements, not labels",
      name, kMostClasses);
}

void LabelTexts::add(std::string_view text) {
  numbers_ = numbers_ && label_number(text).has_value();
  if (too_many()) return;
  const auto [place, fresh] =
      index_.try_emplace(std::string(text), static_cast<Index>(names_.size()));
  if (fresh) names_.push_back(place->first);
}

Index LabelTexts::find(std::string_view text) const {
  const auto found = index_.find(std::string(text));
  return found == index_.end() ? -1 : found->second;
}

void LabelTexts::clear() {
  names_.clear();
  index_.clear();
}

std::vector<double> coded(const std::vector<std::string>& column, LabelTexts& texts,
                          const std::string& name) {
  std::vector<double> codes;
  for (const auto& field : column) {
    const auto text = trimmed(field);
    if (is_missing(text)) {
      codes.push_back(std::numeric_limits<double>::quiet_NaN());
      continue;
    }
    texts.add(text);
    if (texts.too_many()) refuse_measurements(name);
    codes.push_back(static_cast<double>(texts.find(text)));
  }
  return codes;
}

Classes classes_of(std::vector<double> labels) {
  for (double& label : labels) label += 0.0;
  make_distinct(labels);
  for (const double label : labels)
    if (!(std::abs(label) < kExact))
      throw InputError(
          "`one_hot`: the label {} cannot be a class: whole numbers from 2^53 on are not distinct "
          "as float64; number the classes from 0, or give names in a CSV file",
          label);
  Classes classes;
  classes.values = std::move(labels);
  for (double value : classes.values) classes.names.push_back(fmt::format("{}", value));
  return classes;
}

Classes classes_of(std::vector<std::string> labels) {
  std::vector<double> values;
  for (const auto& label : labels)
    if (const auto value = label_number(label)) values.push_back(*value);
  if (values.size() == labels.size()) return classes_of(std::move(values));
  make_distinct(labels);
  Classes classes;
  classes.names = std::move(labels);
  return classes;
}

Index Classes::find(double label) const {
  const auto found = std::lower_bound(values.begin(), values.end(), label);
  return found != values.end() && *found == label ? found - values.begin() : -1;
}

Index Classes::find(const std::string& label) const {
  if (numeric()) {
    const auto value = parse_number(label);
    return value ? find(*value) : -1;
  }
  const auto found = std::lower_bound(names.begin(), names.end(), label);
  return found != names.end() && *found == label ? found - names.begin() : -1;
}

Classes find_classes(const LabelColumn& column) {
  if (column.targets.cols() != 1)
    throw InputError("`one_hot`: {} has {} target columns: one column of labels is needed",
                     column.spec, column.targets.cols());
  auto values = distinct_values(column);
  if (column.names.empty()) return classes_of(std::move(values));
  std::vector<std::string> names;
  for (double value : values) names.push_back(column.names[static_cast<std::size_t>(value)]);
  return classes_of(std::move(names));
}

std::vector<Index> find_labels(const LabelColumn& column, const Classes& classes) {
  const auto& targets = column.targets;
  if (targets.cols() != 1)
    throw InputError("`one_hot`: {} has {} target columns: one column of labels is needed",
                     column.spec, targets.cols());
  std::vector<Index> of_name;
  for (const auto& name : column.names) of_name.push_back(classes.find(name));
  return comm::together(targets.comm(), [&] {
    std::vector<Index> labels(at(targets.local_rows()));
    for (Index i = 0; i < targets.local_rows(); ++i) {
      const double value = targets.row(i)[0];
      if (std::isnan(value)) {
        labels[at(i)] = -1;
        continue;
      }
      const bool named = !column.names.empty();
      const auto name = static_cast<std::size_t>(named ? value : 0);
      labels[at(i)] = named ? of_name[name] : classes.find(value);
      if (labels[at(i)] < 0)
        throw InputError(
            "{}: data row {} (counted from 1) has the label {}, which no training row has: the "
            "labels are {}",
            column.spec, column.file_rows[at(i)] + 1,
            named ? quoted(column.names[name]) : fmt::format("{}", value),
            shortened(classes.names));
    }
    return labels;
  });
}

}  // namespace mercer::data
