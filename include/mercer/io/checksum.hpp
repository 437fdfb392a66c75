#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mercer/comm/communicator.hpp"

namespace mercer::io {

/// Bytes before the HDF5 data of every file that Mercer writes: HDF5's user block, which readers of
/// HDF5 pass over. It holds one line of text, the checksum, and zeros.
inline constexpr Index kUserBlock = 512;

/// What the line says: the bytes of the whole file, and the checksum of those behind the block,
///
///     sum over i of mix(w_i xor (i + 1) kGolden)   modulo 2^64,
///
/// where w_0, w_1, ... are the bytes as little-endian 64-bit words, the last one filled up with
/// zeros, and mix() is that of base/hash.hpp. Each term is a bijection of its word, so that damage
/// within one word always changes the sum; damage of several is missed once in 2^64. Terms can be
/// added in any order: the sum does not depend on how many ranks share the file.
struct Checksum {
  Index size = 0;
  std::uint64_t sum = 0;
  friend bool operator==(const Checksum&, const Checksum&) = default;
};

/// The terms of `bytes`, which lie `position` bytes behind the block, a multiple of 8. All but the
/// last piece of a file are multiples of 8 bytes too. Local. Cost: about 0.1 s/GB.
std::uint64_t checksum_terms(std::span<const std::byte> bytes, Index position);

/// The checksum of a file as it stands, of its bytes from `begin` on, each rank reading its share
/// of them. Throws InputError where it cannot be read, under the name `shown`. Collective. Memory:
/// 1 MiB.
Checksum checksum_of_file(const comm::Communicator& comm, const std::string& path,
                          const std::string& shown, Index begin = kUserBlock);

/// The block: "Mercer checksum 1 SIZE SUM", the sum as 16 hexadecimal digits, a newline and zeros.
/// Local.
std::string checksum_block(const Checksum& checksum);
/// Whether a file that begins with `start` is one of Mercer's, by its first bytes, of which up to a
/// half may be damaged. Local.
bool has_checksum(std::string_view start);
/// The inverse of checksum_block(); nothing where a single byte differs from what that gives.
/// Local.
std::optional<Checksum> parse_checksum_block(std::string_view block);

/// Verifies the checksum of the file at `path`; true where it has one that is right, false where it
/// has none. A file that this process has verified is not read again while its size and its times
/// stay what they are. Throws InputError where the file is not what was written. Collective. Cost:
/// the file is read once, each rank its share.
bool verify_checksum(const comm::Communicator& comm, const std::string& path);
/// Writes the block of a file at `path` that begins with kUserBlock bytes for it. Throws RunError,
/// under the name `shown`. Collective. Cost: the file is read once, each rank its share.
void write_checksum(const comm::Communicator& comm, const std::string& path,
                    const std::string& shown);

}  // namespace mercer::io
