#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "mercer/comm/communicator.hpp"
#include "mercer/io/identity.hpp"

namespace mercer::io {

/// A checkpoint of work that is done in parts, each of which is written once, by any rank, in any
/// order, without rewriting the others: for results too large to be written anew each time.
///
/// The file holds one line "Mercer parts 1 HEADER SUM": the bytes of the header, and FNV-1a of its
/// other lines; then these, "name TAB value", the identity; then each part at a place of its own, a
/// multiple of 4096 bytes, as 8 bytes of checksum and its contents. The checksum covers the
/// contents and the part's number; a part that was never written, or whose writing a crash cut off,
/// has a wrong one, and counts as not there. The file is therefore usable at every moment.
class PartsFile {
 public:
  /// Creates the file, with room for parts of the given sizes in bytes: with the header, under a
  /// temporary name, synced and renamed (io::TemporaryFile). The space is claimed, so that a full
  /// disk is found now. Throws InputError where the file cannot be created or not all ranks see it,
  /// RunError where there is no room. Collective.
  static PartsFile create(const comm::Communicator& comm, const std::string& path,
                          const Identity& identity, std::span<const Index> bytes);
  /// Opens such a file to go on from it. Throws InputError where it is missing, is none, has
  /// another identity (the first difference, with both values) or is damaged at its start.
  /// Collective.
  static PartsFile open(const comm::Communicator& comm, const std::string& path,
                        const Identity& identity, std::span<const Index> bytes);
  PartsFile(PartsFile&& other) noexcept;
  PartsFile& operator=(PartsFile&&) = delete;
  ~PartsFile();

  /// Reads a part: false where it is not there, or damaged. `contents` is of its size. Local.
  bool read(Index part, std::span<std::byte> contents) const;
  /// Writes a part. Throws RunError. Local.
  void write(Index part, std::span<const std::byte> contents);
  /// Returns when what this rank wrote is on the disk. Throws RunError. Local.
  void sync();
  /// Size in bytes of a file with such parts, but for the header. Local.
  static Index size_of(std::span<const Index> bytes);

 private:
  PartsFile(std::string path, Index header, std::span<const Index> bytes);

  std::string path_;
  std::vector<Index> begin_;  ///< of each part, and the end
  int file_ = -1;
};

}  // namespace mercer::io
