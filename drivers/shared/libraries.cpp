#include "shared/libraries.hpp"

#include <fmt/format.h>

#include "mercer/base/instructions.hpp"
#include "mercer/base/version.hpp"
#include "mercer/comm/environment.hpp"
#include "mercer/dist/hdf5.hpp"
#include "mercer/la/elpa.hpp"
#include "mercer/la/scalapack.hpp"

namespace mercer::drivers {
namespace {

std::string text(const nlohmann::ordered_json& libraries, const char* name) {
  return libraries.at(name).get<std::string>();
}

/// "ELPA_2STAGE_REAL_AVX512_BLOCK2" -> "AVX512_BLOCK2".
std::string short_kernel(const std::string& kernel) {
  const std::string common = "ELPA_2STAGE_REAL_";
  return kernel.starts_with(common) ? kernel.substr(common.size()) : kernel;
}

}  // namespace

nlohmann::ordered_json libraries() {
  const auto blas = la::blas_build();
  const auto& elpa = la::elpa_build();
  return {{"processor", processor()},
          {"tile_loops", name(instructions())},
          {"mpi", comm::mpi_library()},
          {"blas", blas.library},
          {"blas_kernel", blas.kernel},
          {"lapack", la::lapack_version()},
          {"scalapack", la::scalapack_version()},
          {"elpa", elpa.version},
          {"elpa_kernel", elpa.default_kernel},
          {"elpa_single_precision", elpa.single_precision},
          {"hdf5", dist::hdf5_version()},
          {"compiler", compiler()},
          {"compiler_flags", compiler_flags()}};
}

std::string libraries_text(const nlohmann::ordered_json& l) {
  std::string lines;
  const auto line = [&](const char* name, const std::string& what) {
    lines += fmt::format("  {:<11} {}\n", name, what);
  };
  line("processor", text(l, "processor"));
  line("tile loops", text(l, "tile_loops"));
  line("MPI", text(l, "mpi"));
  line("BLAS", fmt::format("{}, kernel {}", text(l, "blas"), text(l, "blas_kernel")));
  line("LAPACK", text(l, "lapack"));
  line("ScaLAPACK", text(l, "scalapack"));
  line("ELPA", fmt::format("{}, kernel {}, {}", text(l, "elpa"), text(l, "elpa_kernel"),
                           l.at("elpa_single_precision").get<bool>() ? "both precisions"
                                                                     : "no single precision"));
  line("HDF5", text(l, "hdf5"));
  line("compiler", fmt::format("{}, {}", text(l, "compiler"), text(l, "compiler_flags")));
  return lines;
}

std::string libraries_line(const nlohmann::ordered_json& l) {
  return fmt::format("{}; tiles {}; {} {}; ELPA {} {}; {}", text(l, "processor"),
                     text(l, "tile_loops"), text(l, "blas"), text(l, "blas_kernel"),
                     text(l, "elpa"), short_kernel(text(l, "elpa_kernel")), text(l, "mpi"));
}

}  // namespace mercer::drivers
