#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mercer {

/// Peak resident memory of this process in bytes (VmHWM of /proc/self/status); 0 where unknown.
std::int64_t peak_memory_bytes();
/// Resident memory of this process now, in bytes (VmRSS); 0 where unknown.
std::int64_t resident_memory_bytes();

/// "4G", "512M", "1.5GiB", "1000000" -> bytes (powers of 1024). Throws InputError naming the text.
std::int64_t parse_bytes(std::string_view text);
/// 1610612736 -> "1.50 GiB".
std::string format_bytes(double bytes);

}  // namespace mercer
