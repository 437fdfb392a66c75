#pragma once

#include <string>

namespace mercer::io {

/// From here on a signal that ends the program (SIGINT, SIGHUP, SIGTERM, SIGXCPU, and a batch
/// system's warnings, SIGUSR1 and SIGUSR2) first removes its temporary files
/// (io::remove_temporaries), prints a line in the name of `program` (empty: another rank does), and
/// after 0.3 seconds, in which the other ranks do the same, ends the program with exit code 130
/// (SIGINT: by the signal itself, which shells show as 130). Ignored signals, such as SIGHUP under
/// nohup, stay ignored. SIGPIPE is ignored: writing to a pipe that nobody reads returns an error.
/// Local.
void leave_on_signals(const std::string& program);

/// While one lives, a signal that leave_on_signals() answers waits: for the moment in which a file
/// is there, but not yet among those to be removed. Local; may be nested.
class SignalsHeld {
 public:
  SignalsHeld();
  ~SignalsHeld();
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;
};

/// From here on these signals are only noted: an iteration stops at its next step, and results that
/// are being written are completed. Local.
void note_signals();
/// Whether one has been noted on this rank. Local.
bool signalled();

/// Whether a block product in progress is to be abandoned for a checkpoint
/// (gram::OperatorOptions::interrupted): a signal has been noted, and the last call of solving()
/// was with true. Local.
bool gives_up();
void solving(bool on);

}  // namespace mercer::io
