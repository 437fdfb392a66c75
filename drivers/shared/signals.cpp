#include "shared/signals.hpp"

#include <csignal>

namespace mercer::drivers {
namespace {

volatile std::sig_atomic_t noted = 0;
extern "C" void note_signal(int) {
  noted = 1;
}

}  // namespace

void note_signals() {
  std::signal(SIGUSR1, note_signal);
  std::signal(SIGTERM, note_signal);
}

bool signalled() {
  return noted != 0;
}

}  // namespace mercer::drivers
