// Finds the training set's columns in a CSV test set: by name where both have names, else by
// position.
#include <algorithm>
#include <map>
#include <numeric>

#include "csv_columns.hpp"
#include "notes.hpp"

namespace mercer::data {
namespace {

/// The number of target columns in the training set's file.
Index targets_of(const Preparation& training) {
  if (training.csv.columns > 0) return static_cast<Index>(training.csv.targets.size());
  return training.one_hot ? 1 : training.outputs;
}

/// Whether another target than the training set's was asked for.
bool asked_otherwise(const Request& request) {
  return !request.csv_target.empty() && request.csv_target != request.training->csv_target;
}

/// The columns that are not in `taken`, ascending.
std::vector<Index> others(Index columns, const std::vector<Index>& taken) {
  std::vector<char> free(static_cast<std::size_t>(columns), 1);
  for (Index j : taken) free[static_cast<std::size_t>(j)] = 0;
  std::vector<Index> rest;
  for (Index j = 0; j < columns; ++j)
    if (free[static_cast<std::size_t>(j)] != 0) rest.push_back(j);
  return rest;
}

using Positions = std::map<std::string, Index>;

std::vector<Index> find_targets(const std::string& path, const Request& request,
                                const Positions& positions, CsvLayout& layout) {
  if (asked_otherwise(request))
    return request.csv_target == "none" ? std::vector<Index>()
                                        : columns_named(path, request.csv_target, layout, "target");
  const auto& names = request.training->target_names;
  std::vector<Index> targets;
  std::string missing;
  for (const auto& name : names) {
    if (const auto found = positions.find(name); found != positions.end())
      targets.push_back(found->second);
    else
      missing = name;
  }
  if (!targets.empty() && targets.size() < names.size())
    throw InputError("{}: has some of the targets {}, but not {}: all of them are needed, or none",
                     path, shortened(names), quoted(missing));
  return targets;
}

void match_by_name(const std::string& path, const Request& request, CsvLayout& layout) {
  const Preparation& training = *request.training;
  Positions positions;
  for (Index j = 0; j < layout.columns; ++j)
    positions[layout.names[static_cast<std::size_t>(j)]] = j;
  layout.targets = find_targets(path, request, positions, layout);
  for (const auto& name : training.input_names) {
    const auto found = positions.find(name);
    if (found == positions.end())
      throw InputError("{}: has no column {}, an input of the training set: its header names {}",
                       path, quoted(name), shortened(layout.names, 20));
    layout.inputs.push_back(found->second);
  }
  for (Index target : layout.targets)
    if (std::find(layout.inputs.begin(), layout.inputs.end(), target) != layout.inputs.end())
      throw InputError("{}: column {} is an input of the training set and no target", path,
                       quoted(layout.names[static_cast<std::size_t>(target)]));
  if (!std::is_sorted(layout.inputs.begin(), layout.inputs.end()))
    layout.notes.push_back(
        "columns are found by name: they are in another order than in the training set");
  auto taken = layout.inputs;
  taken.insert(taken.end(), layout.targets.begin(), layout.targets.end());
  if (layout.index_column >= 0) taken.push_back(layout.index_column);
  if (const auto extra = others(layout.columns, taken); !extra.empty())
    layout.notes.push_back(
        fmt::format("sets aside {} of the training set: {}",
                    extra.size() == 1 ? std::string("a column that is no input")
                                      : fmt::format("{} columns that are no inputs", extra.size()),
                    shortened(extra, layout.names)));
}

/// Sets the targets among the columns `left`, which are as many as the training set's inputs and
/// targets.
void place_targets(const std::string& path, const Request& request, const std::vector<Index>& left,
                   CsvLayout& layout) {
  const Preparation& training = *request.training;
  const Index count = targets_of(training);
  if (training.csv.columns > 0) {
    for (Index target : training.csv.targets) {
      const bool behind = training.csv.index_column >= 0 && target > training.csv.index_column;
      layout.targets.push_back(left[static_cast<std::size_t>(target - (behind ? 1 : 0))]);
    }
  } else if (!training.csv_target.empty() && training.csv_target != "none") {
    layout.targets = columns_named(path, training.csv_target, layout, "target");
  } else {
    layout.targets.assign(left.end() - count, left.end());
  }
}

/// Whether only one of training and test set seems to have a first column that numbers the rows,
/// and without it the test set has all of the training set's columns, or its inputs: numbers of
/// columns then fit by chance.
bool index_in_one(const Preparation& training, Index found, const CsvLayout& layout) {
  using First = CsvColumns::First;
  if (training.csv.columns == 0 || training.csv.index_column >= 0 || layout.index_column >= 0)
    return false;
  const First theirs = training.csv.first, ours = layout.first;
  const bool counted = (theirs == First::counted && ours == First::other) ||
                       (theirs == First::other && ours == First::counted);
  const Index without = ours == First::counted ? found - 1 : found + 1;
  const Index d = training.dimension, targets = targets_of(training);
  return counted && (without == d || without == d + targets);
}

/// "csv:train.csv has 5 columns, the first of which numbers its rows".
std::string shape_of(const std::string& name, Index columns, CsvColumns::First first) {
  return fmt::format(
      "{} has {} column{}{}", name, columns, columns == 1 ? "" : "s",
      first == CsvColumns::First::counted ? ", the first of which numbers its rows" : "");
}

[[noreturn]] void refuse_columns(const std::string& path, const Preparation& training, Index found,
                                 const CsvLayout& layout) {
  constexpr const char* kIndex =
      "a column that numbers the rows must be in both files, where `index` COL sets it aside, or "
      "in neither";
  const Index d = training.dimension, targets = targets_of(training);
  const std::string theirs =
      training.train.empty() ? "the model" : "the training set " + training.train;
  if (index_in_one(training, found, layout))
    throw InputError("{}; {}: {}", shape_of(path, layout.columns, layout.first),
                     shape_of(theirs, training.csv.columns, training.csv.first), kIndex);
  const bool one_more = training.csv.columns > 0 && found == d + targets + 1;
  throw InputError(
      "{}: has {} columns: {} has {} inputs, so that {} are needed, or {} with targets{}{}", path,
      found, theirs, d, d, d + std::max<Index>(targets, 1), one_more ? "; " : "",
      one_more ? kIndex : "");
}

void match_by_position(const std::string& path, const Request& request, CsvLayout& layout) {
  const Preparation& training = *request.training;
  const Index d = training.dimension, targets = targets_of(training);
  std::vector<Index> left;
  if (layout.columns == training.csv.columns && training.csv.index_column >= 0)
    layout.index_column = training.csv.index_column;
  if (training.csv.index_column == 0 && layout.first == CsvColumns::First::counted &&
      layout.columns == d + 1)  // with its index, without targets
    layout.index_column = 0;
  if (layout.index_column >= 0)
    left = others(layout.columns, {layout.index_column});
  else
    left = others(layout.columns, {});
  const auto found = static_cast<Index>(left.size());
  if (index_in_one(training, found, layout)) refuse_columns(path, training, found, layout);
  if (asked_otherwise(request)) {
    if (request.csv_target != "none")
      layout.targets = columns_named(path, request.csv_target, layout, "target");
  } else if (found == d + targets) {
    place_targets(path, request, left, layout);
  } else if (found == d) {
    layout.notes.push_back(
        fmt::format("has {} columns, as many as the {} has inputs: rows without targets", found,
                    training.train.empty() ? "model" : "training set"));
  }
  auto taken = layout.targets;
  if (layout.index_column >= 0) taken.push_back(layout.index_column);
  layout.inputs = others(layout.columns, taken);
  if (static_cast<Index>(layout.inputs.size()) != d) refuse_columns(path, training, found, layout);
}

/// Whether the names are numbers, which pandas gives to columns without names: they say no more
/// than positions.
bool names_are_numbers(const std::vector<std::string>& names, Index index_column) {
  for (Index j = 0; j < static_cast<Index>(names.size()); ++j)
    if (j != index_column && !parse_whole(names[static_cast<std::size_t>(j)])) return false;
  return true;
}

}  // namespace

void match_columns(const std::string& path, const Request& request, CsvLayout& layout) {
  const auto& theirs = request.training->input_names;
  const bool names = layout.header && !names_are_numbers(layout.names, layout.index_column);
  const bool training_names = !theirs.empty() && !names_are_numbers(theirs, -1);
  if (names == training_names && layout.header && !theirs.empty())
    match_by_name(path, request, layout);
  else
    match_by_position(path, request, layout);
  if (names != training_names && request.training->csv.columns > 0)
    layout.notes.push_back(
        "columns are taken by position: only one of training and test set has names");
}

}  // namespace mercer::data
