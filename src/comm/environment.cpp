#include "mercer/comm/environment.hpp"

#include <mpi.h>

#include <cstdio>
#include <cstdlib>

#include "mercer/base/error.hpp"

namespace mercer::comm {
namespace {

/// srun without a PMI that Open MPI understands starts N unconnected programs. Only a launch by srun
/// sets SLURM_PROCID for each; mpirun inside an allocation leaves its own marks.
void refuse_singletons(int size) {
  const char* tasks = std::getenv("SLURM_NTASKS");
  const char* started_by_srun = std::getenv("SLURM_PROCID");
  const char* started_by_mpirun = std::getenv("OMPI_COMM_WORLD_SIZE");
  if (tasks == nullptr || started_by_srun == nullptr || started_by_mpirun != nullptr) return;
  if (size == 1 && std::atoi(tasks) > 1)
    throw RunError(
        "srun started {} separate copies of this program instead of {} ranks: use mpirun, or "
        "'srun --mpi=pmix' where Open MPI was built with PMIx",
        tasks, tasks);
}

}  // namespace

Environment::Environment(int& argc, char**& argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &provided);
  int size = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  try {
    if (provided < MPI_THREAD_SERIALIZED)
      throw RunError("this MPI offers no MPI_THREAD_SERIALIZED, which ELPA needs");
    refuse_singletons(size);
  } catch (...) {
    MPI_Finalize();
    throw;
  }
}

Environment::~Environment() { MPI_Finalize(); }

void abort_run(const char* where, const char* what) {
  int initialized = 0, rank = 0;
  MPI_Initialized(&initialized);
  if (initialized) MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  std::fprintf(stderr, "mercer: rank %d: %s: %s\n", rank, where, what);
  std::fflush(stderr);
  if (initialized) MPI_Abort(MPI_COMM_WORLD, 1);
  std::abort();
}

}  // namespace mercer::comm
