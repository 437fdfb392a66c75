#include "mercer/base/memory.hpp"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>

#include "mercer/base/error.hpp"

namespace mercer {
namespace {

/// The number behind `name` in a file of lines "name number"; nothing where there is none.
std::optional<double> field(const std::string& file, std::string_view name) {
  std::ifstream lines(file);
  std::string line;
  while (std::getline(lines, line))
    if (line.compare(0, name.size(), name) == 0)
      return std::strtod(line.c_str() + name.size(), nullptr);
  return std::nullopt;
}

/// The file's only number; nothing where there is none ("max").
std::optional<double> number_in(const std::string& file) {
  std::ifstream text(file);
  double value = 0;
  if (text >> value) return value;
  return std::nullopt;
}

std::int64_t status_field(std::string_view name) {
  return static_cast<std::int64_t>(1024 * field("/proc/self/status", name).value_or(0));
}

void take_less(MemoryRoom& room, double bytes, const std::string& whose) {
  if (bytes < room.bytes) room = {std::max(bytes, 0.0), whose};
}

/// One cgroup version's files for the limit and for what a group holds, and the field of
/// memory.stat for what it can reclaim.
struct GroupFiles {
  const char *limit, *held, *reclaimable;
};
constexpr GroupFiles kFirst{"memory.limit_in_bytes", "memory.usage_in_bytes",
                            "total_inactive_file"};
constexpr GroupFiles kSecond{"memory.max", "memory.current", "inactive_file"};

/// Applies the limits of the group at `mount`/`path` and of the groups above it. (In a container
/// the mount may be the group itself: `path` then does not exist below it, and only the files of
/// `mount` count.)
void take_groups(MemoryRoom& room, const std::string& mount, std::string path,
                 const GroupFiles& names) {
  for (;;) {
    const std::string group = mount + path + "/";
    if (const auto limit = number_in(group + names.limit); limit && *limit < 1e18) {
      const double held = number_in(group + names.held).value_or(0);
      const double cache = field(group + "memory.stat", names.reclaimable).value_or(0);
      take_less(room, *limit - std::max(held - cache, 0.0),
                fmt::format("the control group {}", path.empty() ? "/" : path));
    }
    if (path.empty()) return;
    path.resize(path.rfind('/'));
  }
}

}  // namespace

MemoryRoom machine_room(const std::string& root) {
  MemoryRoom room;
  if (const auto kilobytes = field(root + "/proc/meminfo", "MemAvailable:"))
    take_less(room, 1024 * *kilobytes, "this machine");
  std::ifstream groups(root + "/proc/self/cgroup");
  const std::string mount = root + "/sys/fs/cgroup";
  for (std::string line; std::getline(groups, line);) {  // "4:memory:/job_7", "0::/job_7"
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const auto controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    if (controllers == ",,") {
      take_groups(room, mount, path, kSecond);
      take_groups(room, mount + "/unified", path, kSecond);
    } else if (controllers.find(",memory,") != std::string::npos) {
      take_groups(room, mount + "/memory", path, kFirst);
    }
  }
  return room;
}

MemoryRoom process_room() {
  MemoryRoom room;
  const auto take = [&](auto which, std::string_view used, const char* whose) {
    rlimit limit{};
    if (::getrlimit(which, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
      take_less(room, static_cast<double>(limit.rlim_cur) - static_cast<double>(status_field(used)),
                whose);
  };
  take(RLIMIT_AS, "VmSize:", "ulimit -v");
  take(RLIMIT_DATA, "VmData:", "ulimit -d");
  return room;
}

std::int64_t peak_memory_bytes() {
  return status_field("VmHWM:");
}
std::int64_t resident_memory_bytes() {
  return status_field("VmRSS:");
}

void release_freed_memory() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
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
