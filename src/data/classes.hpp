#pragma once

#include <string>
#include <vector>

#include "mercer/data/dataset.hpp"

namespace mercer::data {

/// More distinct labels than these are measurements.
constexpr Index kMostClasses = 65536;

/// What the single target column of a set stands for: the value v is the number itself, or, where
/// there are names, the name names[v].
struct LabelColumn {
  const dist::RowBlock<double>& targets;
  const std::vector<std::string>& names;
  const std::vector<Index>& file_rows;  ///< of the local rows
  const std::string& spec;
};

/// The distinct labels of all rows. Collective. Memory: a copy of the rank's labels and the labels
/// of all ranks. Throws InputError: several columns, more than kMostClasses labels.
Classes find_classes(const LabelColumn& column);

/// Of the local rows, the index into `classes`. Collective. Throws InputError where a label is none
/// of them, with the row among the file's data rows, counted from 1.
std::vector<Index> find_labels(const LabelColumn& column, const Classes& classes);

}  // namespace mercer::data
