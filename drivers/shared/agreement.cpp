#include "shared/agreement.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string_view>

#include "mercer/base/instructions.hpp"
#include "mercer/base/text.hpp"
#include "mercer/base/version.hpp"
#include "mercer/comm/same.hpp"
#include "mercer/comm/together.hpp"
#include "shared/places.hpp"

namespace mercer::drivers {
namespace {

namespace fs = std::filesystem;
using Options = std::vector<std::pair<std::string, std::string>>;

/// Of the environment: what chooses code paths in BLAS, ELPA and glibc. (Numbers of threads do not:
/// --threads sets them.)
bool decides(std::string_view variable) {
  if (variable.ends_with("_NUM_THREADS")) return false;
  for (const std::string_view start : {"OPENBLAS_", "MKL_", "BLIS_", "ELPA_", "GLIBC_TUNABLES"})
    if (variable.starts_with(start)) return true;
  return false;
}

std::vector<comm::Fact> environment() {
  std::vector<comm::Fact> facts;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto equal = text.find('=');
    if (equal != std::string_view::npos && decides(text.substr(0, equal)))
      facts.push_back({fmt::format("the environment's {}", text.substr(0, equal)),
                       std::string(text.substr(equal + 1))});
  }
  std::ranges::sort(facts, {}, &comm::Fact::name);
  return facts;
}

/// Rank 0 alone reads it and sends every rank its rows.
bool read_once(const std::string& option, const std::string& value, const std::string& file) {
  return value.starts_with("csv:") || value.starts_with("libsvm:") || file.ends_with(".gz") ||
         option == "--split" || option == "--config";  // what that says is compared
}

/// Size, number and time of change: equal where all ranks see one file. Not to be shown.
std::string identity(const std::string& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return "";
  return fmt::format("{} {} {}.{}", status.st_size, status.st_ino, status.st_mtim.tv_sec,
                     status.st_mtim.tv_nsec);
}

/// "3224 bytes, hash 0123456789abcdef"; FNV-1a over words of eight bytes.
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

/// The number of the folder that a file lies in: another one where a relative name means another
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

}  // namespace

void require_same_options(const comm::Communicator& comm, const std::string& program,
                          const Options& options) {
  std::vector<comm::Fact> facts{
      {"the program", fmt::format("{} {} ({})", program, version(), git_commit())}};
  for (const auto& [name, value] : options) facts.push_back({"--" + name, value});
  for (auto& fact : environment()) facts.push_back(std::move(fact));
  comm::require_same(comm, facts, "start all ranks alike");
}

void require_same_files(const comm::Communicator& comm, const Options& reads,
                        const Options& writes) {
  std::vector<comm::Fact> identities, folders;
  for (const auto& [option, value] : reads)
    for (const auto& file : files_in(value))
      if (!read_once(option, value, file))
        identities.push_back({fmt::format("the file {} of {}", file, option), identity(file)});
  for (const auto& [option, path] : writes)
    folders.push_back({fmt::format("the folder of {} {}", option, path), folder(path)});
  if (!comm::same(comm, folders)) {
    for (std::size_t i = 0; i < writes.size(); ++i) folders[i].value = absolute(writes[i].second);
    comm::require_same(comm, folders, "every rank writes its part, in one folder that all share");
    throw InputError("{} {}: its folder is another one on some ranks: give one that all share",
                     writes[0].first, writes[0].second);
  }
  if (comm::same(comm, identities)) return;
  std::vector<comm::Fact> found;
  for (const auto& [option, value] : reads)
    for (const auto& file : files_in(value))
      if (!read_once(option, value, file))
        found.push_back({fmt::format("the file {} of {}", file, option), contents(file)});
  comm::require_same(comm, found, "every rank reads its part: give all the same file");
}

void require_same_machine(const comm::Communicator& comm, const nlohmann::ordered_json& libraries) {
  std::vector<comm::Fact> facts{{"the processor's instruction set", name(widest_instructions())}};
  for (const auto& [key, value] : libraries.items())
    if (key != "processor")
      facts.push_back({key, value.is_string() ? value.get<std::string>() : value.dump()});
  comm::require_same(comm, facts,
                     "ranks that round differently do not agree; start them on processors of one "
                     "kind, with the same libraries");
}

}  // namespace mercer::drivers
