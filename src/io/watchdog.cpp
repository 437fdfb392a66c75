#include "watchdog.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "mercer/base/error.hpp"

namespace mercer::io {

Watchdog::Watchdog(std::string path, int rank, double seconds)
    : path_(std::move(path)), limit_(rank == 0 ? seconds : seconds + 5) {
  if (::pthread_getcpuclockid(::pthread_self(), &clock_) != 0) return;
  start_ = computed();
  thread_ = std::thread([this] { watch(); });
}

Watchdog::~Watchdog() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  done_.notify_one();
  thread_.join();
}

void Watchdog::watch() {
  std::unique_lock lock(mutex_);
  while (!done_.wait_for(lock, std::chrono::milliseconds(200), [this] { return finished_; }))
    if (computed() - start_ > limit_) end();
}

double Watchdog::computed() const {
  timespec now{};
  ::clock_gettime(clock_, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void Watchdog::end() const {
  fmt::print(stderr, "mercer: {}: is damaged: HDF5 does not finish reading it\n", path_);
  std::fflush(stderr);
  std::_Exit(static_cast<int>(ExitCode::bad_input));
}

}  // namespace mercer::io
