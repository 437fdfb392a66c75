#pragma once

namespace mercer::drivers {

/// Whatever calls it is linked with a look at ulimit that runs before any library is initialised:
/// where BLAS does not get the memory for its buffers, it tries again for ever while it is loaded,
/// before main, and MPI aborts. With less than they need the program prints one line and ends with
/// exit code 3. Does nothing itself.
void guard_start();

}  // namespace mercer::drivers
