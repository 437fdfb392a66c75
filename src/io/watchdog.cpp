#include "watchdog.hpp"

#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "mercer/base/error.hpp"

namespace mercer::io {
namespace {

constexpr unsigned kLater = 5;  // seconds that other ranks wait for rank 0's line

/// The handler of crashes. What it needs is laid out beforehand: a handler may only write and end.
class CrashLine {
 public:
  static CrashLine& get() {
    static CrashLine line;
    return line;
  }
  void begin(const std::string& path, int rank) {
    if (depth_++ > 0) return;
    text_ = fmt::format("mercer: {}: is damaged: HDF5 crashes while it reads it\n", path);
    wait_ = rank == 0 ? 0 : kLater;
#ifndef __SANITIZE_ADDRESS__
    struct sigaction action {};
    action.sa_handler = &CrashLine::end;
    for (std::size_t i = 0; i < kSignals.size(); ++i)
      ::sigaction(kSignals[i], &action, &before_[i]);
#endif
  }
  void finish() {
    if (--depth_ > 0) return;
#ifndef __SANITIZE_ADDRESS__
    for (std::size_t i = 0; i < kSignals.size(); ++i)
      ::sigaction(kSignals[i], &before_[i], nullptr);
#endif
  }

 private:
  static void end(int) {
    const CrashLine& line = get();
    if (line.wait_ > 0) ::sleep(line.wait_);
    [[maybe_unused]] const auto written =
        ::write(STDERR_FILENO, line.text_.data(), line.text_.size());
    ::_exit(static_cast<int>(ExitCode::bad_input));
  }

  static constexpr std::array kSignals{SIGSEGV, SIGBUS, SIGABRT, SIGFPE};
  std::array<struct sigaction, kSignals.size()> before_{};
  std::string text_;
  unsigned wait_ = 0;
  int depth_ = 0;
};

}  // namespace

Watchdog::Watchdog(std::string path, int rank, double seconds)
    : path_(std::move(path)), limit_(rank == 0 ? seconds : seconds + kLater) {
  CrashLine::get().begin(path_, rank);
  if (::pthread_getcpuclockid(::pthread_self(), &clock_) != 0) return;
  start_ = computed();
  thread_ = std::thread([this] { watch(); });
}

Watchdog::~Watchdog() {
  CrashLine::get().finish();
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
