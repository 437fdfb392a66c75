#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "mercer/comm/environment.hpp"
#include "scalapack_symbols.hpp"

// ScaLAPACK's own handler prints and returns, and the routine's caller continues with wrong
// results. This one takes its place (the dynamic linker prefers the program's symbol) and ends the
// run.
extern "C" void pxerbla_(const int* context, const char* name, const int* info,
                         std::size_t length) {
  (void)context;
  // INFO = -i for argument i, -(100 i + j) for entry j of the descriptor that is argument i.
  const int argument = std::abs(*info);
  const std::string routine(name, length);
  const std::string what =
      argument >= 100
          ? fmt::format("{} was called with a wrong argument {}, entry {} of a descriptor", routine,
                        argument / 100, argument % 100)
          : fmt::format("{} was called with a wrong argument {}", routine, argument);
  mercer::comm::abort_run("pxerbla", what.c_str());
}

namespace mercer::la {

int agreed_info(const dist::ProcessGrid& grid, int info) {
  const auto& all = grid.all();
  const int highest = all.all_reduce(info, comm::Op::max);
  const int lowest = all.all_reduce(info, comm::Op::min);
  return highest > 0 ? highest : lowest;
}

}  // namespace mercer::la
