#pragma once

#include "mercer/base/error.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/data/dataset.hpp"
#include "mercer/gram/source.hpp"

namespace mercer::jobs {

/// The rows of a set, to compare with those of a stored kernel; `name`: "training", "test". Local.
inline gram::RowIdentity identity_of(const char* name, const data::Dataset& set) {
  return {fmt::format("the {} rows ({})", name, set.spec), set.hash, set.rows()};
}

/// Throws InputError unless `set` is the one whose hash a plan holds. Local.
inline void require_planned(std::uint64_t hash, const data::Dataset& set) {
  if (hash != set.hash)
    throw InputError("the plan is for other training rows (hash {}, these have {})",
                     hash_text(hash), hash_text(set.hash));
}

}  // namespace mercer::jobs
