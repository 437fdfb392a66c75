#pragma once

#include <string>

namespace mercer::comm {

/// MPI's life cycle, one object in main: MPI_Init_thread with MPI_THREAD_SERIALIZED (ELPA's OpenMP
/// builds need it) and MPI_Finalize. An MPI that the program has initialised itself is used as it
/// is, and the program finalises it. Collective. Throws RunError where MPI has a lower thread level
/// or is finalised already, and where the launcher started copies of "rank 0 of 1": Slurm says that
/// the job has several tasks, but MPI sees one (srun without PMIx).
class Environment {
 public:
  Environment(int& argc, char**& argv);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  bool started_ = false;  ///< by this object, which then finalises it
};

/// Ranks of MPI_COMM_WORLD on this rank's node, as the first Environment of this process counted
/// them; 0 before there is one. Local.
int ranks_on_node();

/// Name and version of the MPI library, "Open MPI v4.1.4": its version text up to the first comma.
/// Local; also before MPI_Init.
std::string mpi_library();

/// Does nothing; but a program that calls it is linked with a check of ulimit -d and -v that runs
/// before any shared library is initialised. Below what MPI and BLAS need, the program prints one
/// line and ends with exit code 3. (Without the check, a BLAS that does not get its buffers tries
/// again for ever while it is loaded, before main, and MPI aborts.)
void guard_start();

/// Ends the whole run at once, with rank, `where` and `what` on stderr: for broken invariants, on
/// which the ranks cannot agree in an orderly way. `code`: mpirun's exit code. Local.
[[noreturn]] void abort_run(const char* where, const char* what, int code = 1);

}  // namespace mercer::comm
