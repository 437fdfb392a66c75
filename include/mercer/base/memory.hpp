#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mercer {

/// Peak resident memory of this process in bytes (VmHWM of /proc/self/status); 0 where unknown.
std::int64_t peak_memory_bytes();
/// Resident memory of this process now, in bytes (VmRSS); 0 where unknown.
std::int64_t resident_memory_bytes();

/// An amount of memory, and what sets it: "the control group /job_7", "ulimit -v"; 1e18 bytes where
/// nothing does.
struct MemoryRoom {
  double bytes = 1e18;
  std::string whose;
};
/// What the processes of this machine, or of this process's control groups, may still take
/// together: the least of MemAvailable and of the groups' limits (cgroup v1 and v2, and the groups
/// above) less what they hold that cannot be reclaimed. `root`: of another tree of /proc and /sys,
/// for tests. Local.
MemoryRoom machine_room(const std::string& root = "");
/// What this process alone may still take: ulimit -v (address space) and -d (data). Local.
MemoryRoom process_room();

/// "4G", "512M", "1.5GiB", "1000000" -> bytes (powers of 1024). Throws InputError naming the text.
std::int64_t parse_bytes(std::string_view text);
/// 1610612736 -> "1.50 GiB".
std::string format_bytes(double bytes);

}  // namespace mercer
