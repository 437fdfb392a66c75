#include "mercer/io/checksum.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <ctime>
#include <set>
#include <tuple>
#include <vector>

#include "mercer/base/hash.hpp"
#include "mercer/comm/together.hpp"
#include "posix_file.hpp"

namespace mercer::io {
namespace {

constexpr std::string_view kTitle = "Mercer checksum 1 ";
constexpr Index kWord = 8;
constexpr Index kBuffer = Index{1} << 20;

/// Reads `bytes` at `position`; fewer only at the end of the file. Throws InputError. Local.
Index read_at(int file, const std::string& path, Index position, std::span<std::byte> bytes) {
  Index done = 0;
  const auto wanted = static_cast<Index>(bytes.size());
  while (done < wanted) {
    const auto got = ::pread(file, bytes.data() + done, static_cast<std::size_t>(wanted - done),
                             position + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw InputError("{}: cannot be read at byte {}: {}", path, position, reason());
    if (got == 0) break;
    done += got;
  }
  return done;
}

std::uint64_t little_endian(std::uint64_t word) {
  return std::endian::native == std::endian::little ? word : __builtin_bswap64(word);
}

/// The sum of the terms of bytes [first, last), counted from `begin`. Throws InputError. Local.
std::uint64_t terms_of_share(const std::string& path, const std::string& shown, Index begin,
                             Index first, Index last) {
  const PosixFile file(path, O_RDONLY);
  if (file < 0) throw InputError("{}: cannot be read: {}", shown, reason());
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(kBuffer, last - first)));
  std::uint64_t sum = 0;
  for (Index at = first; at < last; at += kBuffer) {
    const std::span piece(buffer.data(), static_cast<std::size_t>(std::min(kBuffer, last - at)));
    if (read_at(file, shown, begin + at, piece) != static_cast<Index>(piece.size()))
      throw InputError("{}: was cut short while it was read", shown);
    sum += checksum_terms(piece, at);
  }
  return sum;
}

Index size_of(const std::string& path, const std::string& shown) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0)
    throw InputError("{}: cannot be read: {}", shown, reason());
  return status.st_size;
}

/// Device, inode, size and times of a file: different after every change.
using Version = std::tuple<dev_t, ino_t, off_t, time_t, long, time_t, long>;

std::optional<Version> version_of(const std::string& path) {
  struct stat s {};
  if (::stat(path.c_str(), &s) != 0) return std::nullopt;
  return Version(s.st_dev, s.st_ino, s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec,
                 s.st_ctim.tv_sec, s.st_ctim.tv_nsec);
}

/// A hint to the kernel to write the file to the disk now, beside the reading that follows. Local.
void start_writing_back([[maybe_unused]] const std::string& path) {
#ifdef SYNC_FILE_RANGE_WRITE
  const PosixFile file(path, O_WRONLY);
  if (file >= 0) ::sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE);
#endif
}

/// What this process has verified: a run opens large files more than once.
std::set<Version>& verified() {
  static std::set<Version> versions;
  return versions;
}

/// Not for a file that was changed just now: another change within the clock's tick would not show.
void note_verified(const std::string& path) {
  const auto version = version_of(path);
  constexpr time_t kSeconds = 3;
  if (version && std::get<5>(*version) + kSeconds < std::time(nullptr)) verified().insert(*version);
}

/// Whether every rank has verified the file as it is. Collective.
bool is_verified(const comm::Communicator& comm, const std::string& path) {
  const auto version = version_of(path);
  return comm.all_reduce(version && verified().contains(*version) ? 1 : 0, comm::Op::min) != 0;
}

/// The checksum in the file's block; nothing where the file has none. Throws InputError. Local.
std::optional<Checksum> stored_checksum(const std::string& path) {
  const PosixFile file(path, O_RDONLY);
  if (file < 0) throw InputError("{}: cannot be read: {}", path, reason());
  std::string block(static_cast<std::size_t>(kUserBlock), '\0');
  const Index got = read_at(file, path, 0, std::as_writable_bytes(std::span(block)));
  block.resize(static_cast<std::size_t>(got));
  if (!has_checksum(block)) return std::nullopt;
  const auto checksum = parse_checksum_block(block);
  if (!checksum)
    throw InputError(
        "{}: is damaged or cut short: the line with the checksum, at its start, cannot be read",
        path);
  return checksum;
}

}  // namespace

std::uint64_t checksum_terms(std::span<const std::byte> bytes, Index position) {
  const auto words = bytes.size() / kWord, rest = bytes.size() % kWord;
  std::uint64_t key = static_cast<std::uint64_t>(position / kWord) * kGolden, sum = 0;
  for (std::size_t i = 0; i < words; ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i * kWord, kWord);
    key += kGolden;
    sum += mix(little_endian(word) ^ key);
  }
  if (rest == 0) return sum;
  std::uint64_t word = 0;
  std::memcpy(&word, bytes.data() + words * kWord, rest);
  return sum + mix(little_endian(word) ^ (key + kGolden));
}

Checksum checksum_of_file(const comm::Communicator& comm, const std::string& path,
                          const std::string& shown, Index begin) {
  Checksum checksum;
  checksum.size = comm::together(comm, [&] { return comm.root() ? size_of(path, shown) : 0; });
  comm.broadcast(std::span<Index>(&checksum.size, 1), 0);
  const Index bytes = std::max<Index>(0, checksum.size - begin);
  const Index share = ceil_div(ceil_div(bytes, comm.size()), kWord) * kWord;
  const Index first = std::min(bytes, comm.rank() * share), last = std::min(bytes, first + share);
  const std::uint64_t own =
      comm::together(comm, [&] { return terms_of_share(path, shown, begin, first, last); });
  checksum.sum = comm.all_reduce(own, comm::Op::sum);
  return checksum;
}

std::string checksum_block(const Checksum& checksum) {
  std::string block = fmt::format("{}{} {:016x}\n", kTitle, checksum.size, checksum.sum);
  block.resize(static_cast<std::size_t>(kUserBlock), '\0');
  return block;
}

bool has_checksum(std::string_view start) {
  std::size_t same = 0;
  for (std::size_t i = 0; i < std::min(start.size(), kTitle.size()); ++i)
    same += start[i] == kTitle[i];
  return 2 * same >= kTitle.size();
}

std::optional<Checksum> parse_checksum_block(std::string_view block) {
  Checksum checksum;
  const char* const end = block.data() + block.size();
  if (block.size() <= kTitle.size()) return std::nullopt;
  const auto size = std::from_chars(block.data() + kTitle.size(), end, checksum.size);
  if (size.ec != std::errc() || size.ptr == end) return std::nullopt;
  const auto sum = std::from_chars(size.ptr + 1, end, checksum.sum, 16);
  if (sum.ec != std::errc() || checksum_block(checksum) != block) return std::nullopt;
  return checksum;
}

bool verify_checksum(const comm::Communicator& comm, const std::string& path) {
  const auto stored = comm::together(comm, [&]() -> std::vector<Checksum> {
    if (!comm.root()) return {};
    const auto checksum = stored_checksum(path);
    return checksum ? std::vector{*checksum} : std::vector<Checksum>();
  });
  int there = stored.empty() ? 0 : 1;
  comm.broadcast(std::span<int>(&there, 1), 0);
  if (there == 0) return false;
  if (is_verified(comm, path)) return true;
  const Checksum found = checksum_of_file(comm, path, path);
  comm::together(comm, [&] {
    if (!comm.root() || stored[0] == found) return;
    if (stored[0].size != found.size)
      throw InputError(
          "{}: is damaged or was changed after Mercer wrote it ({} bytes then, {} now)", path,
          stored[0].size, found.size);
    throw InputError(
        "{}: is damaged or was changed after Mercer wrote it (checksum {:016x} then, {:016x} now)",
        path, stored[0].sum, found.sum);
  });
  note_verified(path);
  return true;
}

void write_checksum(const comm::Communicator& comm, const std::string& path,
                    const std::string& shown) {
  if (comm.root()) start_writing_back(path);
  const Checksum checksum = checksum_of_file(comm, path, shown);
  comm::together(comm, [&] {
    if (!comm.root()) return;
    const PosixFile file(path, O_WRONLY);
    const std::string block = checksum_block(checksum);
    if (file < 0 || ::pwrite(file, block.data(), block.size(), 0) != kUserBlock)
      throw RunError("{}: cannot be written: {}", shown, reason());
  });
}

}  // namespace mercer::io
