#include "mercer/io/places.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "mercer/base/error.hpp"
#include "mercer/comm/same.hpp"
#include "mercer/comm/together.hpp"

namespace mercer::io {
namespace {

namespace fs = std::filesystem;

/// Device and inode of a regular file; nothing where there is none.
std::optional<std::pair<dev_t, ino_t>> file_at(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  return std::pair(status.st_dev, status.st_ino);
}

/// The path without links and dots: how files that do not exist yet are compared.
std::string canonical(const std::string& path) {
  std::error_code error;
  const auto whole = fs::weakly_canonical(fs::absolute(followed(path), error), error);
  return error ? path : whole.string();
}

/// False for standard output, and for what exists and is not a regular file, such as /dev/null: any
/// number of outputs may go there.
bool is_place(const std::string& path) {
  std::error_code ignored;
  const auto status = fs::status(path, ignored);
  return !path.empty() && path != "-" && (!fs::exists(status) || fs::is_regular_file(status));
}

bool same_file(const std::string& a, const std::string& b) {
  const auto here = file_at(a), there = file_at(b);
  if (here && there) return *here == *there;
  return !here && !there && canonical(a) == canonical(b);
}

/// Whether rank 0 alone reads `file` and sends every rank its rows.
bool read_once(const std::string& spec, const std::string& file) {
  return spec.starts_with("csv:") || spec.starts_with("libsvm:") || file.ends_with(".gz");
}

/// Size, inode and time of change: equal where all ranks see one file. Not for messages.
std::string identity(const std::string& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return "";
  return fmt::format("{} {} {}.{}", status.st_size, status.st_ino, status.st_mtim.tv_sec,
                     status.st_mtim.tv_nsec);
}

/// "3224 bytes, hash 0123456789abcdef", FNV-1a over words of eight bytes; or "not there".
std::string contents(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  if (!file) return "not there";
  std::vector<std::uint64_t> words(1 << 17);
  std::uint64_t hash = 0xcbf29ce484222325;
  std::size_t size = 0;
  for (;;) {
    std::ranges::fill(words, 0);
    const std::size_t bytes = std::fread(words.data(), 1, 8 * words.size(), file.get());
    for (std::size_t w = 0; 8 * w < bytes; ++w) hash = (hash ^ words[w]) * 0x100000001b3;
    size += bytes;
    if (bytes < 8 * words.size()) break;
  }
  return fmt::format("{} bytes, hash {:016x}", size, hash);
}

/// The inode of the folder that a file lies in: it differs where a relative name means another
/// place.
std::string folder(const std::string& file) {
  const auto parent = fs::path(file).parent_path();
  struct stat status {};
  const std::string name = parent.empty() ? "." : parent.string();
  return ::stat(name.c_str(), &status) == 0 ? fmt::format("{}", status.st_ino) : "";
}

std::string absolute(const std::string& file) {
  std::error_code error;
  const auto whole = fs::absolute(file, error);
  return error ? file : whole.lexically_normal().string();
}

/// of(FILE), for every file that each rank opens and every file behind it, as a fact.
template <class Of>
std::vector<comm::Fact> facts(const comm::Communicator& comm, const std::vector<NamedFile>& reads,
                              Of&& of) {
  std::vector<comm::Fact> facts;
  for (const auto& [who, spec] : reads)
    for (const auto& file : files_in(spec)) {
      if (read_once(spec, file)) continue;
      facts.push_back({fmt::format("the file {} of {}", file, who), of(file)});
      for (const auto& behind : files_behind(file, comm.rank()))
        facts.push_back(
            {fmt::format("the file {} behind {} of {}", behind, file, who), of(behind)});
    }
  return facts;
}

}  // namespace

std::vector<std::string> files_in(const std::string& spec) {
  constexpr std::size_t kMostCuts = 40;  // an expression for g may have many
  std::vector<std::size_t> cuts{0};
  for (std::size_t i = 0; i < spec.size() && cuts.size() < kMostCuts; ++i)
    if (spec[i] == ':' || spec[i] == ',') cuts.push_back(i + 1);
  cuts.push_back(spec.size() + 1);
  std::vector<std::string> files;
  for (std::size_t first = 0; first + 1 < cuts.size(); ++first)
    for (std::size_t last = first + 1; last < cuts.size(); ++last) {
      const auto part = spec.substr(cuts[first], cuts[last] - 1 - cuts[first]);
      if (!part.empty() && file_at(part)) files.push_back(part);
    }
  return files;
}

OutputPlaces::OutputPlaces(const comm::Communicator& comm, const std::vector<NamedFile>& reads,
                           const std::vector<NamedFile>& writes,
                           const std::function<bool(const NamedFile&)>& locked)
    : comm_(comm) {
  for (const auto& output : writes)
    if (is_place(output.path)) outputs_.push_back(output);
  comm::together(comm, [&] {
    if (!comm.root()) return;
    for (std::size_t i = 0; i < outputs_.size(); ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (same_file(outputs_[i].path, outputs_[j].path))
          throw InputError("{} {} and {} {} are one file: give each its own", outputs_[j].who,
                           outputs_[j].path, outputs_[i].who, outputs_[i].path);
    for (const auto& [owner, path] : outputs_)
      for (const auto& [who, other] : outputs_)
        if (canonical(other) == canonical(path) + ".lock")
          throw InputError("{} {}: is the lock file of {} {}: give another name", who, other, owner,
                           path);
    for (const auto& read : reads) refuse_overwriting(read);
    for (const auto& output : outputs_)
      if (locked(output)) {
        locks_.emplace_back(output.who, output.path);
        locked_.push_back(output.path);
        remove_leftovers(output.path);
      }
  });
}

OutputPlaces::~OutputPlaces() {
  for (const auto& path : locked_) remove_leftovers(path);
}

void OutputPlaces::refuse_overwriting(const NamedFile& read) const {
  for (const auto& file : files_in(read.path)) {
    auto files = files_behind(file);
    files.push_back(file);
    for (const auto& [who, path] : outputs_)
      for (const auto& one : files)
        if (same_file(one, path))
          throw InputError("{} {}: is read by {} ({}): give another file to write", who, path,
                           read.who, read.path);
  }
}

void OutputPlaces::require_not_written(const NamedFile& read) const {
  comm::together(comm_, [&] {
    if (comm_.root()) refuse_overwriting(read);
  });
}

void require_same_files(const comm::Communicator& comm, const std::vector<NamedFile>& reads,
                        const std::vector<NamedFile>& writes) {
  std::vector<comm::Fact> folders;
  for (const auto& [who, path] : writes)
    folders.push_back({fmt::format("the folder of {} {}", who, path), folder(path)});
  if (!comm::same(comm, folders)) {
    for (std::size_t i = 0; i < writes.size(); ++i) folders[i].value = absolute(writes[i].path);
    comm::require_same(comm, folders, "every rank writes its part, in one folder that all share");
    throw InputError("{} {}: its folder is not the same on all ranks: give one that all share",
                     writes[0].who, writes[0].path);
  }
  if (comm::same(comm, facts(comm, reads, identity))) return;
  comm::require_same(comm, facts(comm, reads, contents),
                     "every rank reads its part: give all the same file");
}

}  // namespace mercer::io
