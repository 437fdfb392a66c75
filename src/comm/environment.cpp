#include "mercer/comm/environment.hpp"

#include <mpi.h>

#include <cstdio>
#include <cstdlib>

#include "mercer/base/error.hpp"

namespace mercer::comm {
namespace {

int number(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? 0 : std::atoi(value);
}

/// srun without a PMI that this MPI understands starts N unconnected programs, each "rank 0 of 1".
/// Only srun sets a number of tasks of the step; mpirun inside such a step sets its own variables.
bool started_by_srun() {
  return number("SLURM_STEP_NUM_TASKS") > 1 && std::getenv("OMPI_COMM_WORLD_SIZE") == nullptr;
}

[[noreturn]] void refuse_singletons() {
  throw RunError(
      "srun started {0} separate copies of this program instead of {0} ranks: use mpirun, or 'srun "
      "--mpi=pmix' where MPI was built with PMIx",
      number("SLURM_STEP_NUM_TASKS"));
}

const char* name_of(int thread_level) {
  switch (thread_level) {
    case MPI_THREAD_SINGLE:
      return "MPI_THREAD_SINGLE";
    case MPI_THREAD_FUNNELED:
      return "MPI_THREAD_FUNNELED";
    default:
      return "less than MPI_THREAD_SERIALIZED";
  }
}

int on_node = 0;  // written once

/// Collective over MPI_COMM_WORLD.
void count_ranks_on_node() {
  MPI_Comm node = MPI_COMM_NULL;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  MPI_Comm_size(node, &on_node);
  MPI_Comm_free(&node);
}

/// Whether the program has initialised MPI itself. Throws RunError where Mercer cannot use that
/// MPI.
bool already_started() {
  int initialized = 0, finalized = 0, provided = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  if (finalized)
    throw RunError("MPI has been finalised already: create comm::Environment before MPI_Finalize");
  if (!initialized) return false;
  MPI_Query_thread(&provided);
  if (provided < MPI_THREAD_SERIALIZED)
    throw RunError(
        "MPI was initialised with {}, but ELPA needs MPI_THREAD_SERIALIZED: call "
        "MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &provided) in place of MPI_Init, or "
        "leave it to comm::Environment",
        name_of(provided));
  return true;
}

}  // namespace

Environment::Environment(int& argc, char**& argv) {
  if (already_started()) {
    if (on_node == 0) count_ranks_on_node();
    return;
  }
  // Some MPIs (Open MPI 4.1) print a page and end the program where srun offers no PMI.
  const bool offered_pmi =
      std::getenv("PMIX_RANK") != nullptr || std::getenv("PMI_RANK") != nullptr;
  if (started_by_srun() && !offered_pmi) refuse_singletons();
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &provided);
  started_ = true;
  int size = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  try {
    if (provided < MPI_THREAD_SERIALIZED)
      throw RunError(
          "this MPI does not offer MPI_THREAD_SERIALIZED, which ELPA needs: use another");
    if (size == 1 && started_by_srun()) refuse_singletons();
  } catch (...) {
    MPI_Finalize();
    throw;
  }
  count_ranks_on_node();
}

int ranks_on_node() {
  return on_node;
}

Environment::~Environment() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (started_ && !finalized) MPI_Finalize();
}

std::string mpi_library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);
  std::string name;
  for (const char c : std::string(text, static_cast<std::size_t>(length))) {
    if (c == ',' || c == '\n' || c == '\0') break;
    const bool blank = c == ' ' || c == '\t';
    if (!blank || (!name.empty() && name.back() != ' ')) name += blank ? ' ' : c;
  }
  return name.empty() ? "unknown MPI" : name;
}

void abort_run(const char* where, const char* what, int code) {
  int initialized = 0, rank = 0;
  MPI_Initialized(&initialized);
  if (initialized) MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  std::fprintf(stderr, "mercer: rank %d: %s: %s\n", rank, where, what);
  std::fflush(stderr);
  if (initialized) MPI_Abort(MPI_COMM_WORLD, code);
  std::abort();
}

}  // namespace mercer::comm
