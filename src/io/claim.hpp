#pragma once

#include <string>

#include "mercer/base/index.hpp"
#include "mercer/io/temporary.hpp"

namespace mercer::io {

/// Creates the file and writes a few bytes, to prove before any work that they can be written.
/// Throws InputError. For rank 0.
void claim(const std::string& path, TemporaryFile& temporary);
/// Reserves `bytes` after `end` of the file `name` on the disk, or, where the file system cannot,
/// checks that they are free. Throws RunError, naming `path`. Local.
void take_space(const std::string& path, const std::string& name, Index end, Index bytes);
/// Throws RunError, naming `path`, where a file of so many bytes exceeds ulimit -f. Local.
void require_allowed_size(const std::string& path, Index bytes);

}  // namespace mercer::io
