#include "mercer/report/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace mercer::report {
namespace {

constexpr double kSilence = 2;        // seconds before anything is shown
constexpr double kBarInterval = 0.2;  // seconds between drawings of the bar
constexpr double kLogInterval = 10;
constexpr int kBarWidth = 30;

std::string duration(double seconds) {
  const long s = std::lround(seconds);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{}:{:02} min", s / 60, s % 60);
  return fmt::format("{}:{:02} h", s / 3600, s % 3600 / 60);
}

}  // namespace

Progress::Progress(std::string stage, ProgressMode mode, bool speaks)
    : stage_(std::move(stage)),
      active_(speaks && mode != ProgressMode::never),
      terminal_(isatty(STDERR_FILENO) != 0),
      mode_(mode) {}

Progress::~Progress() {
  if (shown_ && terminal_) std::fputs("\r\033[K", stderr);
}

void Progress::update(double share, const std::string& note) {
  if (!active_) return;
  const double elapsed = timer_.seconds();
  share = std::clamp(share, 0.0, 1.0);
  if (begin_share_ < 0) begin_share_ = share, begin_ = elapsed;
  if (elapsed < kSilence && mode_ != ProgressMode::always) return;
  if (shown_ && elapsed - last_printed_ < (terminal_ ? kBarInterval : kLogInterval)) return;
  const double done = share - begin_share_;
  std::string left = done > 0 ? duration((elapsed - begin_) / done * (1 - share)) + " left"
                              : std::string("starting");
  if (!note.empty()) left += "; " + note;
  std::string line;
  if (terminal_) {
    const int filled = static_cast<int>(share * kBarWidth);
    line = fmt::format("\r\033[K{:<10} [{}{}] {:3.0f}%  {}", stage_, std::string(filled, '#'),
                       std::string(kBarWidth - filled, '.'), 100 * share, left);
  } else {
    line = fmt::format("{}: {:.0f}% after {}, {}\n", stage_, 100 * share, duration(elapsed), left);
  }
  std::fputs(line.c_str(), stderr);  // a failure to write is ignored
  std::fflush(stderr);
  shown_ = true;
  last_printed_ = elapsed;
}

}  // namespace mercer::report
