#pragma once

namespace mercer::drivers {

/// From here on SIGUSR1 (a batch system's warning) and SIGTERM are only noted: what iterates ends
/// at its next step, and results that are being written are left alone.
void note_signals();
/// Has one come, on this rank?
bool signalled();

}  // namespace mercer::drivers
