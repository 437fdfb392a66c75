#include "mercer/io/parts_file.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <sstream>
#include <string_view>
#include <utility>

#include "claim.hpp"
#include "mercer/base/error.hpp"
#include "mercer/base/file.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/io/checksum.hpp"
#include "mercer/io/temporary.hpp"
#include "posix_file.hpp"

namespace mercer::io {
namespace {

constexpr std::string_view kTitle = "Mercer parts 1 ";
constexpr Index kPage = 4096;
constexpr Index kSum = 8;  // bytes of a part's checksum
constexpr Index kMostHeader = Index{1} << 20;

Index whole_pages(Index bytes) {
  return ceil_div(bytes, kPage) * kPage;
}

/// Never 0, which is what a part that was not written begins with.
std::uint64_t checksum_of(Index part, std::span<const std::byte> contents) {
  const auto number = static_cast<std::uint64_t>(part + 1) * kGolden;
  return std::max<std::uint64_t>(1, mix(checksum_terms(contents, 0) ^ number));
}

std::string header_of(const Identity& identity) {
  std::string lines;
  for (const auto& [name, value] : identity) lines += name + '\t' + value + '\n';
  const auto first = [&](Index bytes) {
    return fmt::format("{}{:8} {:016x}\n", kTitle, bytes, hash_of(lines));
  };
  const Index bytes = whole_pages(std::ssize(first(0)) + std::ssize(lines));
  std::string header = first(bytes) + lines;
  header.resize(static_cast<std::size_t>(bytes), '\0');
  return header;
}

/// All of `bytes` at `position`. Local.
bool read_all(int file, Index position, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const auto got = ::pread(file, bytes.data(), bytes.size(), position);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(got));
    position += got;
  }
  return true;
}
bool write_all(int file, Index position, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto put = ::pwrite(file, bytes.data(), bytes.size(), position);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    position += put;
  }
  return true;
}

/// The header of an existing file. Throws InputError. Local.
std::string read_header(const std::string& path) {
  require_file(path, "`resume` " + path);
  const PosixFile file(path, O_RDONLY);
  if (file < 0) throw InputError("`resume`: {} cannot be read: {}", path, reason());
  std::string header(static_cast<std::size_t>(kPage), '\0');
  const bool page = read_all(file, 0, std::as_writable_bytes(std::span(header)));
  if (!page || !header.starts_with(kTitle))
    throw InputError("`resume`: {} is not a checkpoint of a kernel matrix", path);
  std::istringstream line(header.substr(kTitle.size(), kPage / 2));
  Index bytes = 0;
  std::string sum;
  line >> bytes >> sum;
  const bool sane = bytes >= kPage && bytes <= kMostHeader && bytes % kPage == 0;
  header.resize(static_cast<std::size_t>(sane ? bytes : kPage), '\0');
  const bool all = sane && read_all(file, 0, std::as_writable_bytes(std::span(header)));
  const std::size_t lines = header.find('\n') + 1;
  const std::size_t end = header.find('\0');
  if (!all || lines == 0 || end == std::string::npos || end < lines ||
      hash_text(hash_of(std::string_view(header).substr(lines, end - lines))) != sum)
    throw InputError("`resume`: {} is damaged: its first bytes are not what Mercer wrote", path);
  return header;
}

/// Throws InputError unless `header`, of a file, holds this identity. Local.
void check_identity(const std::string& path, const std::string& header, const Identity& identity) {
  std::istringstream text(header.substr(0, header.find('\0')));
  std::string line;
  std::getline(text, line);
  Identity there;
  while (std::getline(text, line)) {
    const auto tab = line.find('\t');
    there.emplace_back(line.substr(0, tab), tab == std::string::npos ? "" : line.substr(tab + 1));
  }
  const auto value = [](const Identity& list, const std::string& name) -> std::string {
    const auto found = std::ranges::find(list, name, &Identity::value_type::first);
    return found == list.end() ? "absent" : found->second;
  };
  for (const auto& [name, here] : identity) require_same(path, name, value(there, name), here);
  for (const auto& [name, was] : there) require_same(path, name, was, value(identity, name));
}

}  // namespace

PartsFile::PartsFile(std::string path, Index header, std::span<const Index> bytes)
    : path_(std::move(path)), begin_{header} {
  for (const Index size : bytes) begin_.push_back(begin_.back() + whole_pages(kSum + size));
}

PartsFile::PartsFile(PartsFile&& other) noexcept
    : path_(std::move(other.path_)),
      begin_(std::move(other.begin_)),
      file_(std::exchange(other.file_, -1)) {}

PartsFile::~PartsFile() {
  if (file_ >= 0) ::close(file_);
}

Index PartsFile::size_of(std::span<const Index> bytes) {
  return PartsFile("", 0, bytes).begin_.back();
}

PartsFile PartsFile::create(const comm::Communicator& comm, const std::string& path,
                            const Identity& identity, std::span<const Index> bytes) {
  const std::string header = header_of(identity);
  PartsFile result(path, std::ssize(header), bytes);
  comm::together(comm, [&] {
    if (!comm.root()) return;
    remove_leftovers(path);  // of killed runs
    TemporaryFile temporary(path);
    claim(path, temporary);
    const Index size = result.begin_.back();
    require_allowed_size(path, size);
    take_space(path, temporary.name(), 0, size);
    {
      const PosixFile file(temporary.name(), O_WRONLY);
      if (file < 0 || !write_all(file, 0, std::as_bytes(std::span(header))) ||
          ::ftruncate(file, size) != 0)
        throw RunError("{}: cannot be written: {}", path, reason());
    }
    temporary.publish();
  });
  comm::together(comm, [&] {
    if (PosixFile(path, O_RDWR) < 0)
      throw InputError("{}: is not seen by every rank: give a place that all share", path);
  });
  return open(comm, path, identity, bytes);
}

PartsFile PartsFile::open(const comm::Communicator& comm, const std::string& path,
                          const Identity& identity, std::span<const Index> bytes) {
  return comm::together(comm, [&] {
    const std::string header = read_header(path);
    check_identity(path, header, identity);
    PartsFile result(path, std::ssize(header), bytes);
    result.file_ = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (result.file_ < 0) throw InputError("{}: cannot be written: {}", path, reason());
    return result;
  });
}

bool PartsFile::read(Index part, std::span<std::byte> contents) const {
  const Index at = begin_[static_cast<std::size_t>(part)];
  std::uint64_t sum = 0;
  return read_all(file_, at, std::as_writable_bytes(std::span(&sum, 1))) && sum != 0 &&
         read_all(file_, at + kSum, contents) && sum == checksum_of(part, contents);
}

void PartsFile::write(Index part, std::span<const std::byte> contents) {
  const Index at = begin_[static_cast<std::size_t>(part)];
  const std::uint64_t sum = checksum_of(part, contents);
  std::vector<std::byte> whole(static_cast<std::size_t>(kSum) + contents.size());
  std::memcpy(whole.data(), &sum, sizeof sum);
  std::ranges::copy(contents, whole.begin() + kSum);
  if (!write_all(file_, at, whole)) throw RunError("{}: cannot be written: {}", path_, reason());
}

void PartsFile::sync() {
  if (::fdatasync(file_) != 0) throw RunError("{}: cannot be written: {}", path_, reason());
}

}  // namespace mercer::io
