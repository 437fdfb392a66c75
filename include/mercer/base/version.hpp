#pragma once

#include <string>

namespace mercer {

/// "0.1.0", and the git commit that the library was built from ("" outside a checkout; a trailing
/// "+" says that the tree had uncommitted changes).
std::string version();
std::string git_commit();

/// The compiler, "GNU 12.2.0", and the flags that every file is built with, "-O3 -DNDEBUG" (the
/// files of the vectorised loops have more).
std::string compiler();
std::string compiler_flags();

/// The processor's name in /proc/cpuinfo, "Intel(R) Xeon(R) Platinum 8480+", or "unknown
/// processor". Local.
std::string processor();

}  // namespace mercer
