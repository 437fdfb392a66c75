// comm::Environment in a program that starts MPI itself: own_init
// serialized|single|twice|finalized. Prints what happened from rank 0; 0: as it should be.
#include <mpi.h>

#include <cstdio>
#include <string>

#include "mercer/base/error.hpp"
#include "mercer/comm/communicator.hpp"
#include "mercer/comm/environment.hpp"

namespace {

using mercer::comm::Communicator;
using mercer::comm::Environment;

bool initialized() {
  int yes = 0;
  MPI_Initialized(&yes);
  return yes != 0;
}
bool finalized() {
  int yes = 0;
  MPI_Finalized(&yes);
  return yes != 0;
}

/// Mercer works, and the sum over the ranks is right.
bool works() {
  const auto world = Communicator::world();
  const int sum = world.all_reduce(world.rank(), mercer::comm::Op::sum);
  return sum == world.size() * (world.size() - 1) / 2;
}

std::string refusal(int& argc, char**& argv) {
  try {
    const Environment mpi(argc, argv);
  } catch (const mercer::RunError& error) {
    return error.what();
  }
  return "";
}

/// The program's own start with MPI_THREAD_SERIALIZED: used, and not finalised.
bool serialized(int& argc, char**& argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &provided);
  bool ok = provided >= MPI_THREAD_SERIALIZED;
  {
    const Environment mpi(argc, argv);
    ok = ok && works();
  }
  ok = ok && !finalized() && works();
  MPI_Finalize();
  return ok;
}

/// A start that allows no threads: one line, and MPI as it was.
bool single(int& argc, char**& argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_SINGLE, &provided);
  const std::string text = refusal(argc, argv);
  const bool said = text.find("MPI_THREAD_SINGLE") != std::string::npos &&
                    text.find("MPI_THREAD_SERIALIZED") != std::string::npos &&
                    text.find('\n') == std::string::npos;
  const bool ok = (provided >= MPI_THREAD_SERIALIZED ? text.empty() : said) && !finalized();
  MPI_Finalize();
  return ok;
}

/// The first of two objects owns MPI; a program that finalises by itself is not finalised again.
bool twice(int& argc, char**& argv) {
  const Environment first(argc, argv);
  bool ok = works();
  {
    const Environment second(argc, argv);
    ok = ok && works();
  }
  ok = ok && !finalized() && works();
  MPI_Finalize();
  return ok;
}

bool after_the_end(int& argc, char**& argv) {
  MPI_Init(&argc, &argv);
  MPI_Finalize();
  return initialized() && refusal(argc, argv).find("finalised") != std::string::npos;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string how = argc > 1 ? argv[1] : "";
  const bool ok = how == "serialized"  ? serialized(argc, argv)
                  : how == "single"    ? single(argc, argv)
                  : how == "twice"     ? twice(argc, argv)
                  : how == "finalized" ? after_the_end(argc, argv)
                                       : false;
  if (!ok) std::fprintf(stderr, "own_init %s: failed\n", how.c_str());
  return ok ? 0 : 1;
}
