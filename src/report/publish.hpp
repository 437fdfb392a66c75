#pragma once

#include <string>

namespace mercer::report {

/// Whether `path` is there already and is neither file nor directory: a pipe, and what names an
/// open file, /dev/stdout and /dev/fd/3. Such a place is written to, at its end, never replaced.
bool is_special(const std::string& path);

/// Opens such a place to write to it. A pipe that nobody reads is an error (ENXIO), not a wait.
/// Returns a descriptor, -1 with errno set. Local.
int open_special(const std::string& path);

/// The name's ending from its last point on, in small letters: ".svg"; empty where it has none.
std::string lower_suffix(const std::string& path);

/// Writes `content` to `path` ("-": standard output), whole or not at all: by way of a
/// io::TemporaryFile. Local. Throws RunError naming the path.
void publish(const std::string& path, const std::string& content);

}  // namespace mercer::report
