#pragma once

#include <string>

namespace mercer::comm {

/// MPI's life cycle, one object in main: MPI_Init_thread with MPI_THREAD_SERIALIZED (ELPA's OpenMP
/// builds need it) and MPI_Finalize. Where the program has initialised MPI itself, it is used as it
/// stands and left to the program to finalise. Collective. Throws RunError where MPI was
/// initialised with a lower thread level or is finalised already, and when the launcher started
/// copies of "rank 0 of 1": Slurm says that the job has several tasks and MPI sees one (srun
/// without PMIx).
class Environment {
 public:
  Environment(int& argc, char**& argv);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  bool started_ = false;  ///< by this object, which then finalises it
};

/// Name and version of the MPI library, "Open MPI v4.1.4": the first words of what it says. Local;
/// also before MPI_Init.
std::string mpi_library();

/// Whatever calls it is linked with a look at ulimit that runs before any library is initialised:
/// where BLAS does not get the memory for its buffers, it tries again for ever while it is loaded,
/// before main, and MPI aborts. With less than they need the program prints one line and ends with
/// exit code 3. Does nothing itself.
void guard_start();

/// Ends the whole run at once with rank and place on stderr: for broken invariants, where the other
/// ranks cannot be reached in an orderly way. `code`: mpirun's exit code. Local.
[[noreturn]] void abort_run(const char* where, const char* what, int code = 1);

}  // namespace mercer::comm
