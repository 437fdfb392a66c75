#pragma once

#include <string>

namespace mercer {

/// "0.1.0", and the git commit that the library was built from ("" outside a checkout; a trailing
/// "+" says that the tree had uncommitted changes).
std::string version();
std::string git_commit();

/// The compiler, "GNU 12.2.0", and the flags of the whole build, "-O3 -DNDEBUG" (files with loops
/// of their own have more).
std::string compiler();
std::string compiler_flags();

/// The processor's own name, "Intel(R) Xeon(R) Platinum 8480+", by /proc/cpuinfo; "unknown
/// processor" where that does not say. Local.
std::string processor();

}  // namespace mercer
