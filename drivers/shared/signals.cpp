#include "shared/signals.hpp"

#include <csignal>
#include <cstdlib>

#include "mercer/base/error.hpp"
#include "mercer/dist/temporary.hpp"

namespace mercer::drivers {
namespace {

volatile std::sig_atomic_t noted = 0;
bool in_solver = false;

constexpr int kEnding[] = {SIGINT, SIGHUP, SIGTERM, SIGUSR1, SIGUSR2};

extern "C" void note_signal(int) {
  noted = 1;
}

extern "C" void remove_and_leave(int signal) {
  dist::remove_temporaries();
  if (signal == SIGUSR1 || signal == SIGUSR2) std::_Exit(static_cast<int>(ExitCode::interrupted));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void handle(void (*handler)(int)) {
  for (const int signal : kEnding)
    if (std::signal(signal, handler) == SIG_IGN) std::signal(signal, SIG_IGN);
}

}  // namespace

void leave_on_signals() {
  handle(remove_and_leave);
  std::signal(SIGPIPE, SIG_IGN);
}

void note_signals() {
  handle(note_signal);
}

bool signalled() {
  return noted != 0;
}

bool gives_up() {
  return in_solver && signalled();
}

void solving(bool on) {
  in_solver = on;
}

}  // namespace mercer::drivers
