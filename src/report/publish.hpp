#pragma once

#include <string>

namespace mercer::report {

/// Whether `path` exists and is neither a regular file nor a directory (a pipe, a device), or names
/// an open file (/dev/stdout, /dev/fd/3). Such a place is appended to, never replaced. Local.
bool is_special(const std::string& path);

/// Opens such a place for writing. Returns a descriptor, or -1 with errno set: a pipe that nobody
/// reads gives ENXIO at once. Local.
int open_special(const std::string& path);

/// The name's ending from its last point on, in lower case: ".svg"; empty where it has none.
std::string lower_suffix(const std::string& path);

/// Writes `content` to `path`: to a file whole or not at all (io::TemporaryFile), to standard
/// output ("-") and special places directly. Throws RunError, naming the path. Local.
void publish(const std::string& path, const std::string& content);

}  // namespace mercer::report
