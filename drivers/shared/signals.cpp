#include "shared/signals.hpp"

#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "mercer/base/error.hpp"

namespace mercer::drivers {
namespace {

volatile std::sig_atomic_t noted = 0;
extern "C" void note_signal(int) {
  noted = 1;
}

// What a handler may look at: plain memory, and how much of it is valid.
constexpr int kMostFiles = 16;
constexpr std::size_t kMostCharacters = 4096;
std::array<std::array<char, kMostCharacters>, kMostFiles> removed;
volatile std::sig_atomic_t removed_count = 0;

extern "C" void remove_and_leave(int signal) {
  for (int i = 0; i < removed_count; ++i) ::unlink(removed[static_cast<std::size_t>(i)].data());
  if (signal == SIGUSR1) std::_Exit(static_cast<int>(ExitCode::interrupted));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

void note_signals() {
  std::signal(SIGUSR1, note_signal);
  std::signal(SIGTERM, note_signal);
}

bool signalled() {
  return noted != 0;
}

void remove_if_killed(const std::vector<std::string>& files) {
  removed_count = 0;
  int count = 0;
  for (const auto& file : files) {
    if (count == kMostFiles || file.size() >= kMostCharacters) continue;
    std::memcpy(removed[static_cast<std::size_t>(count)].data(), file.c_str(), file.size() + 1);
    ++count;
  }
  removed_count = count;
  if (count == 0) return;
  for (const int signal : {SIGINT, SIGHUP, SIGTERM, SIGUSR1}) {
    const auto before = std::signal(signal, remove_and_leave);
    if (before == note_signal || (signal != SIGUSR1 && before == SIG_IGN))
      std::signal(signal, before);
  }
}

}  // namespace mercer::drivers
