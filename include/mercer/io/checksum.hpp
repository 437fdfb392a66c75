#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mercer/comm/communicator.hpp"

namespace mercer::io {

/// Bytes before the HDF5 data of every HDF5 file that Mercer writes: HDF5's user block, which
/// readers of HDF5 skip. It holds one line of text, with the checksum, and zeros.
inline constexpr Index kUserBlock = 512;

/// What the line holds: the file's size in bytes, and the checksum of the bytes after the block,
///
///     sum over i of mix(w_i xor (i + 1) kGolden)   modulo 2^64,
///
/// where w_0, w_1, ... are the bytes as little-endian 64-bit words, the last one filled up with
/// zeros, and mix() is that of base/hash.hpp. Each term is a bijection of its word, so that damage
/// within one word always changes the sum; damage to several words goes unnoticed with probability
/// 2^-64. The sum does not depend on the number of ranks that share the file.
struct Checksum {
  Index size = 0;
  std::uint64_t sum = 0;
  friend bool operator==(const Checksum&, const Checksum&) = default;
};

/// The sum of the terms of `bytes`, a piece of a file that begins `position` bytes after the block.
/// `position` is a multiple of 8, and so is the size of all pieces but a file's last. Local. Cost:
/// about 0.1 s/GB.
std::uint64_t checksum_terms(std::span<const std::byte> bytes, Index position);

/// The size of a file, and the checksum of its bytes from `begin` on, each rank reading its share.
/// Throws InputError, under the name `shown`, where it cannot be read. Collective. Memory: 1 MiB.
Checksum checksum_of_file(const comm::Communicator& comm, const std::string& path,
                          const std::string& shown, Index begin = kUserBlock);

/// The block, kUserBlock bytes: "Mercer checksum 1 SIZE SUM", the sum as 16 hexadecimal digits, a
/// newline and zeros. Local.
std::string checksum_block(const Checksum& checksum);
/// Whether a file that begins with `start` has a checksum of Mercer: at least half of the bytes of
/// "Mercer checksum 1 " are there, so that damage to the others is recognised as such. Local.
bool has_checksum(std::string_view start);
/// The inverse of checksum_block(); nothing where any byte differs from what that function writes.
/// Local.
std::optional<Checksum> parse_checksum_block(std::string_view block);

/// Verifies the checksum of the file at `path`: true where it has a right one, false where it has
/// none. Throws InputError where the file is not what was written. Collective. Cost: the file is
/// read once, each rank its share; not again while its inode, size and times stay the same.
bool verify_checksum(const comm::Communicator& comm, const std::string& path);
/// Writes the block of the file at `path`, whose first kUserBlock bytes are left for it. Throws
/// RunError where it cannot be written, InputError where it cannot be read, under the name `shown`.
/// Collective. Cost: the file is read once, each rank its share.
void write_checksum(const comm::Communicator& comm, const std::string& path,
                    const std::string& shown);

}  // namespace mercer::io
