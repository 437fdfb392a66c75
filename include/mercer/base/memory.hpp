#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mercer {

/// Peak resident memory of this process in bytes (VmHWM of /proc/self/status); 0 where unknown.
std::int64_t peak_memory_bytes();
/// Resident memory of this process now, in bytes (VmRSS); 0 where unknown.
std::int64_t resident_memory_bytes();
/// Gives freed memory back to the machine. Otherwise glibc keeps freed blocks of up to 32 MiB,
/// which count in the peak of later stages. Cost: a walk over the free blocks. Local.
void release_freed_memory();

/// An amount of memory, and what limits it: "this machine", "the control group /job_7",
/// "ulimit -v". Without a limit: 1e18 bytes and no name.
struct MemoryRoom {
  double bytes = 1e18;
  std::string whose;
};
/// What all processes of this machine, or of this process's control groups, may still take
/// together: the least of MemAvailable and, for each of its groups and the groups above them
/// (cgroup v1 and v2), the limit less what the group holds and cannot reclaim. `root`: a folder
/// with another /proc and /sys, for tests. Local.
MemoryRoom machine_room(const std::string& root = "");
/// What this process alone may still take: ulimit -v (address space) and -d (data). Local.
MemoryRoom process_room();

/// "4G", "512M", "1.5GiB", "1000000" -> bytes (powers of 1024). Throws InputError, naming the text,
/// for any other text and for amounts that are not positive.
std::int64_t parse_bytes(std::string_view text);
/// 1610612736 -> "1.50 GiB".
std::string format_bytes(double bytes);

}  // namespace mercer
