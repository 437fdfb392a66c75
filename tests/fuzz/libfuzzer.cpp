// The targets driven by libFuzzer, whose mutations are led by what parts of the program they reach.
// All of Mercer is compiled for it, with the address sanitizer (clang and its runtime: Debian's
// packages clang and libclang-rt-14-dev):
//
//   cmake --preset fuzz && cmake --build --preset fuzz --target fuzz_tables
//   build-fuzz/tests/fuzz/fuzz_tables CORPUS -timeout=20 -rss_limit_mb=4000 -malloc_limit_mb=200
//
// CORPUS is a folder, which the seeds are written to. MERCER_FUZZ_FILES: the files of results.cpp,
// separated by blanks.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "fuzz.hpp"
#include "mercer/base/error.hpp"
#include "mercer/comm/environment.hpp"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  static const mercer::comm::Environment mpi(*argc, *argv);
  const char* named = std::getenv("MERCER_FUZZ_FILES");
  std::istringstream words(named != nullptr ? named : "");
  std::vector<std::string> files;
  for (std::string file; words >> file;) files.push_back(file);
  const auto seeds = mercer::fuzz::seeds(files);
  for (int i = 1; i < *argc; ++i) {
    const std::string folder = (*argv)[i];
    if (!std::filesystem::is_directory(folder)) continue;
    for (std::size_t s = 0; s < seeds.size(); ++s)
      std::ofstream(folder + "/seed" + std::to_string(s), std::ios::binary) << seeds[s];
    break;
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    mercer::fuzz::try_input(mercer::fuzz::Input({data, size}));
  } catch (const mercer::Error&) {  // an answer
  }
  return 0;
}
