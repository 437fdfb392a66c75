#pragma once

#include <pthread.h>

#include <condition_variable>
#include <ctime>
#include <mutex>
#include <string>
#include <thread>

namespace mercer::io {

/// Guards calls of HDF5 on a file that may be damaged: HDF5 searches some such files for ever, and
/// crashes on others. Ends the program with one line and ExitCode::bad_input where the thread that
/// made the watchdog takes `seconds` of processor time before the watchdog is destroyed, and where
/// the program gets a signal of a crash meanwhile (not in a build with the address sanitizer, which
/// reports these itself). Time spent waiting, for a disk or for other ranks, does not count. Ranks
/// other than 0 wait 5 s more, so that rank 0 alone prints the line. For one thread at a time.
/// Local.
class Watchdog {
 public:
  Watchdog(std::string path, int rank, double seconds);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void watch();
  [[noreturn]] void end() const;
  double computed() const;

  std::string path_;
  double limit_;
  clockid_t clock_{};
  double start_ = 0;
  std::mutex mutex_;
  std::condition_variable done_;
  bool finished_ = false;
  std::thread thread_;
};

}  // namespace mercer::io
