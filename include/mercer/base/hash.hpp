#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mercer {

/// 2^64 over the golden ratio, rounded down: odd, so that i kGolden modulo 2^64 are different keys
/// for different i.
inline constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;

/// The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection of 64-bit words, each
/// bit of whose result depends on all bits of x. Detects damage and mix-ups, not tampering.
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// FNV-1a of 64 bits (Fowler, Noll and Vo).
std::uint64_t hash_of(std::string_view text);

/// A hash as files and records hold it: 16 hexadecimal digits.
std::string hash_text(std::uint64_t hash);
/// The inverse; 0 where `text` is not a hexadecimal number of 64 bits.
std::uint64_t parse_hash(std::string_view text);

}  // namespace mercer
