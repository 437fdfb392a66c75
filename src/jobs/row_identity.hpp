#pragma once

#include "mercer/data/dataset.hpp"
#include "mercer/gram/source.hpp"

namespace mercer::jobs {

/// The rows of a set, to compare with those of a stored kernel; `name`: "training", "test". Local.
inline gram::RowIdentity identity_of(const char* name, const data::Dataset& set) {
  return {fmt::format("the {} rows ({})", name, set.spec), set.hash, set.rows()};
}

}  // namespace mercer::jobs
