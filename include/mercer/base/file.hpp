#pragma once

#include <string>

namespace mercer {

/// Throws InputError unless `path` names a regular file that can be read: "WHAT: no such file",
/// "WHAT: is not a file" (a folder; a pipe or device, which may block or never end), or "WHAT:
/// cannot be read: reason". Local.
void require_file(const std::string& path, const std::string& what);

}  // namespace mercer
