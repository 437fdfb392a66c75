#include "mercer/base/memory.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <fstream>
#include <string>

#include "mercer/base/error.hpp"

namespace mercer {
namespace {

std::int64_t status_field(std::string_view name) {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line))
    if (line.compare(0, name.size(), name) == 0)
      return std::strtoll(line.c_str() + name.size(), nullptr, 10) * 1024;
  return 0;
}

}  // namespace

std::int64_t peak_memory_bytes() {
  return status_field("VmHWM:");
}
std::int64_t resident_memory_bytes() {
  return status_field("VmRSS:");
}

std::int64_t parse_bytes(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  double factor = 1;
  bool ok = error == std::errc{} && std::isfinite(value) && value > 0;
  if (!unit.empty()) {
    const auto power = std::string_view("KMGT").find(static_cast<char>(std::toupper(unit[0])));
    const auto rest = unit.substr(1);
    ok = ok && (power != std::string_view::npos ? (rest.empty() || rest == "B" || rest == "iB")
                                                : unit == "B");
    if (power != std::string_view::npos) factor = std::pow(1024.0, static_cast<double>(power) + 1);
  }
  ok = ok && value * factor < 9e18;
  if (!ok)
    throw InputError("'{}' is not an amount of memory: give it as 4G, 512M or in bytes", text);
  return static_cast<std::int64_t>(value * factor);
}

std::string format_bytes(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  int u = 0;
  while (bytes >= 1024 && u < 5) {
    bytes /= 1024;
    ++u;
  }
  return u == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.2f} {}", bytes, units[u]);
}

}  // namespace mercer
