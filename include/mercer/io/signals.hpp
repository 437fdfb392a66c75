#pragma once

#include <string>

namespace mercer::io {

/// From here on a signal that ends the program (SIGINT, SIGHUP, SIGTERM, SIGXCPU, and a batch
/// system's warnings, SIGUSR1 and SIGUSR2) first removes the files that it has under way
/// (io::remove_temporaries), says so in the name of `program` (empty: another rank does), and
/// ends it with exit code 130. What is ignored, as SIGHUP is under nohup, stays so. A pipe that is
/// no longer read is an error of writing, no signal.
void leave_on_signals(const std::string& program);

/// From here on these signals are only noted: what iterates ends at its next step, and results that
/// are being written are left alone.
void note_signals();
/// Has one come, on this rank?
bool signalled();

/// Whether a product under way is to be given up for a checkpoint (gram::OperatorOptions): a signal
/// has come, and solving() was called with true last.
bool gives_up();
void solving(bool on);

}  // namespace mercer::io
