#pragma once

#include <chrono>
#include <string>

namespace mercer::report {

/// What a run of gnuplot has brought.
struct GnuplotRun {
  bool found = false;    ///< there is such a program
  bool in_time = false;  ///< it came to an end by itself
  bool ok = false;       ///< with exit code 0
  std::string drawn;     ///< its standard output: the picture
  std::string said;      ///< its standard error
};

/// Runs gnuplot on `script`. Everything goes through pipes: no file is made, and no shell runs.
/// Past `limit` it is killed with all that it has started. Local.
GnuplotRun run_gnuplot(const std::string& script, std::chrono::seconds limit);

}  // namespace mercer::report
