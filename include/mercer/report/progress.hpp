#pragma once

#include <string>

#include "mercer/base/timer.hpp"

namespace mercer::report {

enum class ProgressMode { automatic, always, never };

/// Progress of one long stage on standard error, with the time left: a bar on a terminal, else a
/// line every 10 seconds. `automatic` prints nothing in the first two seconds of a stage, `always`
/// from the start on, `never` nothing. `speaks` is true on one rank, which prints. Local.
/// Observation never changes the computation.
class Progress {
 public:
  Progress(std::string stage, ProgressMode mode, bool speaks);
  ~Progress();  ///< clears the bar
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// `share`: the part that is done, 0 ... 1. The first call marks the start: what is
  /// done by then, as in a run that is resumed, does not count for the time left. `note`: printed
  /// behind the time left.
  void update(double share, const std::string& note = {});

 private:
  std::string stage_;
  bool active_ = false;
  bool terminal_ = false;
  bool shown_ = false;
  double last_printed_ = 0;
  double begin_share_ = -1, begin_ = 0;  ///< of the first call, and its time
  ProgressMode mode_;
  Timer timer_;
};

}  // namespace mercer::report
