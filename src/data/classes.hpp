#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mercer/data/dataset.hpp"

namespace mercer::data {

/// With more distinct labels than this the targets are taken for measurements, an error.
constexpr Index kMostClasses = 65536;

/// The distinct texts of a target column, in the order in which they are found; beyond kMostClasses
/// only one more is kept, so that too_many() tells. Local.
class LabelTexts {
 public:
  void add(std::string_view text);
  bool empty() const { return names_.empty(); }
  bool numbers() const { return numbers_; }  ///< every text is a number
  bool too_many() const { return names_.size() > static_cast<std::size_t>(kMostClasses); }
  const std::vector<std::string>& names() const { return names_; }
  /// Its place in names(), -1 where it is not among them.
  Index find(std::string_view text) const;
  void clear();

 private:
  bool numbers_ = true;
  std::vector<std::string> names_;
  std::unordered_map<std::string, Index> index_;
};

/// Throws the InputError for too_many(); `name`: of the file or the set.
[[noreturn]] void refuse_measurements(const std::string& name);

/// A column of texts as numbers: the place of each in texts.names(), to which it is added; NaN
/// where it is missing. Local. Throws InputError for too many texts.
std::vector<double> coded(const std::vector<std::string>& column, LabelTexts& texts,
                          const std::string& name);

/// The single target column of a set, and what its values stand for: a value v is the label itself,
/// or, where `names` is not empty, the label names[v].
struct LabelColumn {
  const dist::RowBlock<double>& targets;
  const std::vector<std::string>& names;
  const std::vector<Index>& file_rows;  ///< of the local rows
  const std::string& spec;
};

/// The distinct labels of all rows; every row must have one. Collective. Memory: a copy of the
/// rank's targets, and the distinct labels of each rank. Throws InputError: several columns, more
/// than kMostClasses labels.
Classes find_classes(const LabelColumn& column);

/// For each local row the index of its label in `classes`, -1 for NaN. Collective. Throws
/// InputError where a label is none of them, with its row among the file's data rows, counted from
/// 1.
std::vector<Index> find_labels(const LabelColumn& column, const Classes& classes);

}  // namespace mercer::data
