#pragma once

#include <string>
#include <vector>

#include "mercer/data/dataset.hpp"

namespace mercer::data {

/// The names, "a, b, c"; where there are more than `most`, the first three and the last, "a, b, c
/// ... z".
std::string shortened(const std::vector<std::string>& names, std::size_t most = 8);
/// shortened() of the columns' names, or of their numbers from 1 where they have none.
std::string shortened(const std::vector<Index>& columns, const std::vector<std::string>& names);

/// A line on what was read: "reads 3 inputs a, b, c and the target y from 300 rows". Local.
std::string reading(const Dataset& set);

/// A line that suggests one_hot where targets to be regressed look like classes: one column of 2 to
/// 64 distinct whole numbers in at least three times as many rows; else "". Collective.
std::string classes_forgotten(const dist::RowBlock<double>& targets);

}  // namespace mercer::data
