#include "mercer/io/signals.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "mercer/base/error.hpp"
#include "mercer/io/temporary.hpp"

namespace mercer::io {
namespace {

volatile std::sig_atomic_t noted = 0, waiting = 0, leaving = 0;
std::atomic<int> held = 0;  // without a lock: a handler reads it
static_assert(std::atomic<int>::is_always_lock_free);
bool in_solver = false;

constexpr int kEnding[] = {SIGINT, SIGHUP, SIGTERM, SIGXCPU, SIGUSR1, SIGUSR2};
std::array<char, 256> farewell{};  // plain memory, which a signal handler may read
std::size_t farewell_length = 0;

extern "C" void note_signal(int) {
  noted = 1;
}

extern "C" void remove_and_leave(int signal) {
  if (leaving != 0) return;  // another signal came before
  if (held > 0) {
    waiting = signal;
    return;
  }
  leaving = 1;
  remove_temporaries();
  static_cast<void>(!::write(STDERR_FILENO, farewell.data(), farewell_length));
  // The others remove their files meanwhile: Open MPI's mpirun 4.1 waits a second between SIGTERM and
  // SIGKILL, but kills them all at once when the first rank has ended (SIGCHLD ends its sleep).
  timespec others_remove{.tv_sec = 0, .tv_nsec = 300'000'000};
  while (::nanosleep(&others_remove, &others_remove) != 0) {  // what a signal has left of it
  }
  if (signal != SIGINT) std::_Exit(static_cast<int>(ExitCode::interrupted));
  std::signal(signal, SIG_DFL);  // a shell's loop ends only then, and shows 130 as well
  std::raise(signal);
}

void handle(void (*handler)(int)) {
  for (const int signal : kEnding)
    if (std::signal(signal, handler) == SIG_IGN) std::signal(signal, SIG_IGN);
}

}  // namespace

void leave_on_signals(const std::string& program) {
  if (!program.empty()) {
    const auto text =
        program + ": interrupted: files are as they were, unfinished ones are removed\n";
    farewell_length = std::min(text.size(), farewell.size());
    std::copy_n(text.data(), farewell_length, farewell.data());
  }
  handle(remove_and_leave);
  std::signal(SIGPIPE, SIG_IGN);
}

SignalsHeld::SignalsHeld() {
  ++held;
}

SignalsHeld::~SignalsHeld() {
  if (--held == 0 && waiting != 0) std::raise(std::exchange(waiting, 0));
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

}  // namespace mercer::io
