#include "mercer/base/instructions.hpp"

#include <algorithm>
#include <mutex>

#include "mercer/base/error.hpp"

namespace mercer {
namespace {

constexpr Instructions kAll[] = {Instructions::baseline, Instructions::avx2, Instructions::avx512};

std::mutex g_mutex;
Instructions g_most = Instructions::avx512;
bool g_chosen = false;

}  // namespace

std::string name(Instructions set) {
  switch (set) {
    case Instructions::avx512:
      return "avx512";
    case Instructions::avx2:
      return "avx2";
    default:
      return "baseline";
  }
}

Instructions parse_instructions(const std::string& text) {
  for (const Instructions set : kAll)
    if (text == name(set)) return set;
  throw InputError("instructions {}: give baseline, avx2 or avx512", text);
}

Instructions widest_instructions() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd"))
    return Instructions::avx512;
  if (has_avx2) return Instructions::avx2;
#endif
  return Instructions::baseline;
}

Instructions instructions() {
  const std::lock_guard lock(g_mutex);
  g_chosen = true;
  return std::min(g_most, widest_instructions());
}

void hold_instructions(Instructions most) {
  const std::lock_guard lock(g_mutex);
  if (g_chosen)
    throw RunError("instructions {}: the loops are chosen already: call this first in main",
                   name(most));
  g_most = most;
}

}  // namespace mercer
