#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mercer/io/hdf5.hpp"

namespace mercer::io {

/// The problem that a checkpoint belongs to, as names and values: {"architecture", "dense(64) relu
/// dense(1)"}, {"data hash", "..."}, {"`rate`", "auto"}. Where one differs, it is another problem.
/// Backticks mark fields of options, as in messages; the names of attributes omit them.
using Identity = std::vector<std::pair<std::string, std::string>>;

/// Writes attributes of the root: each value under its name, and `checkpoint_identity`, the list of
/// the names. Collective.
void write_identity(Hdf5File& file, const Identity& identity);
/// Throws InputError, naming the first difference with both values, unless `file` holds exactly
/// this identity. Names in `settings` may be part of the file's identity too: earlier versions
/// counted them so. Collective.
void check_identity(const Hdf5File& file, const Identity& identity, const Identity& settings = {});

/// Writes settings that may change when a run is resumed, because the problem and its solution stay
/// the same: the number of ranks, tolerances, limits. They are attributes like those of an
/// identity. Collective.
void write_settings(Hdf5File& file, const Identity& settings);
/// How `file` differs from `settings`: "was written with tolerance 1e-08, ranks 2; goes on with
/// tolerance 1e-06, ranks 3: the last bits may differ", where the end is for names in
/// `of_rounding`; "" without a difference. Names that the file does not have are left out.
/// Collective.
std::string differences(const Hdf5File& file, const Identity& settings,
                        std::span<const std::string> of_rounding);
/// Throws InputError unless the value of `name` in the checkpoint at `path`, `there`, is that of
/// this run, `here`. Local.
void require_same(const std::string& path, const std::string& name, const std::string& there,
                  const std::string& here);

}  // namespace mercer::io
