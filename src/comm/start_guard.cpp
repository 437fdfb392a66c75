#include "mercer/comm/environment.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <initializer_list>

namespace mercer::comm {
namespace {

/// Memory that MPI and BLAS take before any data are read (measured on one rank: 220 MiB of data,
/// 420 MiB of address space).
constexpr rlim_t kLeastData = rlim_t{256} << 20, kLeastAddresses = rlim_t{512} << 20;

/// Whether this process prints: only the first of the ranks that a launcher starts does.
bool speaks(char** environment) {
  for (char** entry = environment; *entry != nullptr; ++entry)
    for (const char* rank : {"OMPI_COMM_WORLD_RANK=", "PMIX_RANK=", "PMI_RANK=", "SLURM_PROCID="})
      if (std::strncmp(*entry, rank, std::strlen(rank)) == 0)
        return std::strcmp(*entry + std::strlen(rank), "0") == 0;
  return true;
}

void require(int which, rlim_t least, const char* name, const char* program, char** environment) {
  rlimit limit{};
  if (::getrlimit(static_cast<__rlimit_resource>(which), &limit) != 0 || limit.rlim_cur >= least)
    return;
  if (speaks(environment)) {
    const char* slash = std::strrchr(program, '/');
    char line[256];
    const int length = std::snprintf(line, sizeof line,
                                     "%s: %s is %llu KiB, MPI and BLAS alone need %llu: raise it\n",
                                     slash != nullptr ? slash + 1 : program, name,
                                     static_cast<unsigned long long>(limit.rlim_cur >> 10),
                                     static_cast<unsigned long long>(least >> 10));
    if (length > 0) (void)!::write(STDERR_FILENO, line, static_cast<std::size_t>(length));
  } else {
    ::sleep(1);  // at the first exit a launcher may kill the others: let the printing one end first
  }
  ::_exit(3);
}

void look(int, char** arguments, char** environment) {
  require(RLIMIT_DATA, kLeastData, "ulimit -d", arguments[0], environment);
  require(RLIMIT_AS, kLeastAddresses, "ulimit -v", arguments[0], environment);
}

/// Functions of this section run before the constructors of shared libraries.
[[gnu::section(".preinit_array"), gnu::used]] void (*const kLook)(int, char**, char**) = look;

}  // namespace

void guard_start() {}

}  // namespace mercer::comm
