#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mercer/io/hdf5.hpp"

namespace mercer::io {

/// What a checkpoint must belong to: names and values, e.g. {"architecture", "dense(64) relu
/// dense(1)"}, {"data hash", "..."}, {"`rate`", "auto"}: all that makes another problem. Backticks
/// mark fields of options, as in messages; attributes go without them.
using Identity = std::vector<std::pair<std::string, std::string>>;

/// As attributes of the root under their own names, and `checkpoint_identity`, the list of the
/// names. Collective.
void write_identity(Hdf5File& file, const Identity& identity);
/// Throws InputError, naming the first difference with both values, unless `file` holds this
/// identity and no more, but for the names in `settings`, which earlier versions counted as part
/// of it. Collective.
void check_identity(const Hdf5File& file, const Identity& identity, const Identity& settings = {});

/// What may be another one in the run that goes on, because the problem and its solution stay the
/// same: the number of ranks, tolerances, limits. Rounding differs then. Written and read in the
/// same form. Collective.
void write_settings(Hdf5File& file, const Identity& settings);
/// What differs, as "was written with tolerance 1e-08, ranks 2; goes on with tolerance 1e-06, ranks
/// 3: other last bits", the end where one of those differs that are `of_rounding`; "" where nothing
/// does. Names that the file does not have are left out. Collective.
std::string differences(const Hdf5File& file, const Identity& settings,
                        std::span<const std::string> of_rounding);
/// The same for one name: `there` in the file at `path`, `here` now. Local.
void require_same(const std::string& path, const std::string& name, const std::string& there,
                  const std::string& here);

}  // namespace mercer::io
