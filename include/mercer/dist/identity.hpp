#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mercer/dist/hdf5.hpp"

namespace mercer::dist {

/// What a checkpoint must belong to: names and values, e.g. {"architecture", "dense(64) relu
/// dense(1)"}, {"data hash", "..."}, {"--lr", "auto"}: all that changes the numbers of a run.
using Identity = std::vector<std::pair<std::string, std::string>>;

/// As attributes of the root under their own names, and `checkpoint_identity`, the list of the
/// names. Collective.
void write_identity(Hdf5File& file, const Identity& identity);
/// Throws InputError, naming the first difference with both values, unless `file` holds this
/// identity and no more. Collective.
void check_identity(const Hdf5File& file, const Identity& identity);
/// The same for one name: `there` in the file at `path`, `here` now. Local.
void require_same(const std::string& path, const std::string& name, const std::string& there,
                  const std::string& here);

}  // namespace mercer::dist
