#pragma once

#include <string>
#include <vector>

namespace mercer::drivers {

/// From here on SIGUSR1 (a batch system's warning) and SIGTERM are only noted: what iterates ends
/// at its next step, and results that are being written are left alone.
void note_signals();
/// Has one come, on this rank?
bool signalled();

/// These files are removed where a signal ends the process (SIGINT, SIGHUP, and SIGTERM and SIGUSR1
/// until note_signals()); SIGUSR1 then ends it with exit code 130. In place of the files named
/// before. At most 16, of at most 4095 characters; others are not removed.
void remove_if_killed(const std::vector<std::string>& files);

}  // namespace mercer::drivers
