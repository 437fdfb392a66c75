#include "mercer/report/libraries.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "mercer/base/instructions.hpp"
#include "mercer/base/version.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/comm/environment.hpp"
#include "mercer/comm/same.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/la/elpa.hpp"
#include "mercer/la/scalapack.hpp"

namespace mercer::report {
namespace {

std::string text(const nlohmann::ordered_json& libraries, const char* name) {
  return libraries.at(name).get<std::string>();
}

/// "ELPA_2STAGE_REAL_AVX512_BLOCK2" -> "AVX512_BLOCK2".
std::string short_kernel(const std::string& kernel) {
  const std::string common = "ELPA_2STAGE_REAL_";
  return kernel.starts_with(common) ? kernel.substr(common.size()) : kernel;
}

/// Whether an environment variable chooses code paths in BLAS, ELPA or glibc. (Numbers of threads
/// do not: the drivers set them.)
bool decides(std::string_view variable) {
  if (variable.ends_with("_NUM_THREADS")) return false;
  for (const std::string_view start : {"OPENBLAS_", "MKL_", "BLIS_", "ELPA_", "GLIBC_TUNABLES"})
    if (variable.starts_with(start)) return true;
  return false;
}

}  // namespace

std::string blas_advice(const nlohmann::ordered_json& libraries) {
  const auto blas = text(libraries, "blas"), kernel = text(libraries, "blas_kernel");
  const auto widest = widest_instructions();
  if (widest == Instructions::baseline || std::getenv("OPENBLAS_CORETYPE") != nullptr) return "";
  for (const char* old : {"Prescott", "Core2", "Penryn", "Dunnington", "Nehalem", "Generic"})
    if (blas.starts_with("OpenBLAS") && kernel == old)
      return fmt::format(
          "{} does not know this processor and takes its {} kernels, without AVX: set "
          "OPENBLAS_CORETYPE={} in the environment of every rank; products are then several times "
          "as "
          "fast",
          blas, kernel, widest == Instructions::avx512 ? "SkylakeX" : "Haswell");
  return "";
}

std::vector<comm::Fact> environment() {
  std::vector<comm::Fact> facts;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto equal = text.find('=');
    if (equal != std::string_view::npos && decides(text.substr(0, equal)))
      facts.push_back({fmt::format("the environment's {}", text.substr(0, equal)),
                       std::string(text.substr(equal + 1))});
  }
  std::ranges::sort(facts, {}, &comm::Fact::name);
  return facts;
}

nlohmann::ordered_json libraries() {
  const auto blas = blas::build();
  const auto& elpa = la::elpa_build();
  return {{"processor", processor()},
          {"tile_loops", name(instructions())},
          {"mpi", comm::mpi_library()},
          {"blas", blas.library},
          {"blas_kernel", blas.kernel},
          {"lapack", blas::lapack_version()},
          {"scalapack", la::scalapack_version()},
          {"elpa", elpa.version},
          {"elpa_kernel", elpa.default_kernel},
          {"elpa_single_precision", elpa.single_precision},
          {"hdf5", io::hdf5_version()},
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

void require_same_machine(const comm::Communicator& comm, const nlohmann::ordered_json& libraries) {
  std::vector<comm::Fact> facts{{"the processor's instruction set", name(widest_instructions())}};
  for (const auto& [key, value] : libraries.items())
    if (key != "processor")
      facts.push_back({key, value.is_string() ? value.get<std::string>() : value.dump()});
  comm::require_same(comm, facts,
                     "they would round differently: start all on processors of one kind, with the "
                     "same libraries");
}

}  // namespace mercer::report
