#pragma once

#include <string>

namespace mercer {

/// "0.1.0", and the git commit that the library was built from ("" outside a checkout; a trailing
/// "+" says that the tree had uncommitted changes).
std::string version();
std::string git_commit();

}  // namespace mercer
