#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mercer/data/dataset.hpp"

namespace mercer::data {

/// More distinct labels than these are measurements.
constexpr Index kMostClasses = 65536;

/// The distinct texts of a target column, in the order in which they are found; more than
/// kMostClasses are not kept. Local.
class LabelTexts {
 public:
  void add(std::string_view text);
  bool empty() const { return names_.empty(); }
  bool numbers() const { return numbers_; }  ///< all of them
  bool too_many() const { return names_.size() > static_cast<std::size_t>(kMostClasses); }
  const std::vector<std::string>& names() const { return names_; }
  /// The place in names(), -1 where there is none.
  Index find(std::string_view text) const;
  void clear();

 private:
  bool numbers_ = true;
  std::vector<std::string> names_;
  std::unordered_map<std::string, Index> index_;
};

/// The error of too_many().
[[noreturn]] void refuse_measurements(const std::string& name);

/// Texts as numbers of a target column: places in `texts.names()`, NaN where one is missing.
std::vector<double> coded(const std::vector<std::string>& column, LabelTexts& texts,
                          const std::string& name);

/// What the single target column of a set stands for: the value v is the number itself, or, where
/// there are names, the name names[v].
struct LabelColumn {
  const dist::RowBlock<double>& targets;
  const std::vector<std::string>& names;
  const std::vector<Index>& file_rows;  ///< of the local rows
  const std::string& spec;
};

/// The distinct labels of all rows, which have one. Collective. Memory: a copy of the rank's labels
/// and the labels of all ranks. Throws InputError: several columns, more than kMostClasses labels.
Classes find_classes(const LabelColumn& column);

/// Of the local rows, the index into `classes`, -1 for NaN. Collective. Throws InputError where a
/// label is none of them, with the row among the file's data rows, counted from 1.
std::vector<Index> find_labels(const LabelColumn& column, const Classes& classes);

}  // namespace mercer::data
