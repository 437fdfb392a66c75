#pragma once

#include <string>

namespace mercer {

/// Throws InputError "WHAT: no such file", "WHAT: is not a file" (a folder, a pipe, a device: what
/// has no end or waits for somebody), or "WHAT: cannot be read: reason", unless `path` names a file
/// that can be read. Local.
void require_file(const std::string& path, const std::string& what);

}  // namespace mercer
