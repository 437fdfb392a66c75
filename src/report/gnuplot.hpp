#pragma once

#include <chrono>
#include <string>

namespace mercer::report {

/// What a run of gnuplot gave.
struct GnuplotRun {
  bool found = false;    ///< the program exists
  bool in_time = false;  ///< it ended by itself
  bool ok = false;       ///< it ended with exit code 0
  std::string drawn;     ///< its standard output: the picture
  std::string said;      ///< its standard error
};

/// Runs gnuplot on `script`. Everything goes through pipes: no file is made, and no shell runs.
/// After `limit` gnuplot and all that it has started are killed. Throws RunError where there are no
/// pipes left. Local.
GnuplotRun run_gnuplot(const std::string& script, std::chrono::seconds limit);

}  // namespace mercer::report
