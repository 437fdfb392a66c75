#pragma once

#include <string>

#include "mercer/base/timer.hpp"

namespace mercer::report {

enum class ProgressMode { automatic, always, never };

/// Progress of one long stage on standard error: a bar with the time left on a terminal, a line now
/// and then (every 10 seconds) in a log; `always` prints the lines without a terminal from the
/// start, `never` nothing. Nothing is printed for a stage that ends within two seconds, nor where
/// `speaks` is false (all ranks but one). Local. Observation never changes the computation.
class Progress {
 public:
  Progress(std::string stage, ProgressMode mode, bool speaks);
  ~Progress();  ///< clears the bar
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// `share` done, 0 ... 1, and what else is worth a word.
  void update(double share, const std::string& note = {});

 private:
  std::string stage_;
  bool active_ = false;
  bool terminal_ = false;
  bool shown_ = false;
  double last_printed_ = 0;
  ProgressMode mode_;
  Timer timer_;
};

}  // namespace mercer::report
