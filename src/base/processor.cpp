#include <fstream>
#include <string>

#include "mercer/base/version.hpp"

namespace mercer {

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const auto colon = line.find(": ");
    // "model name" on x86-64, "cpu" on POWER, "Processor" on some ARM.
    const bool named = line.starts_with("model name") || line.starts_with("cpu\t") ||
                       line.starts_with("Processor");
    if (named && colon != std::string::npos && colon + 2 < line.size())
      return line.substr(colon + 2);
  }
  return "unknown processor";
}

}  // namespace mercer
