#pragma once

#include <string>
#include <vector>

#include "mercer/data/dataset.hpp"

namespace mercer::data {

/// "a, b, c ... z": the first three names and the last where there are more than `most`.
std::string shortened(const std::vector<std::string>& names, std::size_t most = 8);
/// shortened() of the columns' names, or of their numbers from 1 where they have none.
std::string shortened(const std::vector<Index>& columns, const std::vector<std::string>& names);

/// "reads 3 inputs a, b, c and the target y from 300 rows". Local.
std::string reading(const Dataset& set);

/// A line where targets that are regressed look like classes: one column of at most 64 whole
/// numbers among at least three times as many rows; "" elsewhere. Collective.
std::string classes_forgotten(const dist::RowBlock<double>& targets);

}  // namespace mercer::data
