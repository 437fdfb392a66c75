#include "shared/places.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "mercer/base/error.hpp"
#include "mercer/comm/together.hpp"

namespace mercer::drivers {
namespace {

namespace fs = std::filesystem;

/// Options whose files are only read.
constexpr std::string_view kRead[] = {
    "config",          "data",     "data2",   "eval",  "g",
    "init-parameters", "kernel",   "machine", "model", "parameters",
    "split",           "spectrum", "start",   "test",  "train"};

/// Device and number of a regular file; nothing where there is none.
std::optional<std::pair<dev_t, ino_t>> file_at(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  return std::pair(status.st_dev, status.st_ino);
}

/// Where nothing is: the path without links and dots.
std::string canonical(const std::string& path) {
  std::error_code error;
  const auto whole = fs::weakly_canonical(fs::absolute(dist::followed(path), error), error);
  return error ? path : whole.string();
}

/// Neither standard output nor what is there and no file, such as /dev/null: they take any number.
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

/// A job that starts anew would overwrite what an interrupted one has kept.
void refuse_losing(const std::string& checkpoint) {
  std::error_code ignored;
  const auto bytes = fs::file_size(checkpoint, ignored);
  if (!ignored && bytes > 0)
    throw InputError(
        "--checkpoint {}: is there already: give --resume to go on from it, or another name, or "
        "remove it to start anew",
        checkpoint);
}

}  // namespace

bool is_read(const std::string& option) {
  return std::ranges::find(kRead, option) != std::end(kRead);
}

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

Places::Places(const CommandLine& line, bool dry_run, const comm::Communicator& comm)
    : comm_(comm) {
  std::vector<std::pair<std::string, std::string>> inputs;
  for (const auto& [name, value] : line.file_options()) {
    if (is_read(name))
      inputs.emplace_back("--" + name, value);
    else if (is_place(value))
      outputs_.push_back({"--" + name, value});
  }
  comm::together(comm, [&] {
    if (!comm.root()) return;
    for (std::size_t i = 0; i < outputs_.size(); ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (same_file(outputs_[i].path, outputs_[j].path))
          throw InputError("{} {} and {} {} are one file: give each a name of its own",
                           outputs_[j].option, outputs_[j].path, outputs_[i].option,
                           outputs_[i].path);
    for (const auto& [lock_of, locked] : outputs_)
      for (const auto& [option, path] : outputs_)
        if (canonical(path) == canonical(locked) + ".lock")
          throw InputError("{} {}: is the name of the lock of {} {}: give another one", option,
                           path, lock_of, locked);
    for (const auto& [option, value] : inputs) refuse_overwriting(option, value);
    for (const auto& [option, path] : outputs_) {
      if (dry_run && option != "--json") continue;
      locks_.emplace_back(option, path);
      dist::remove_leftovers(path);
      if (option == "--checkpoint" && !line.given("resume")) refuse_losing(path);
    }
  });
}

void Places::refuse_overwriting(const std::string& reader, const std::string& value) const {
  for (const auto& file : files_in(value))
    for (const auto& [option, path] : outputs_)
      if (same_file(file, path))
        throw InputError("{} {}: is what {} reads ({}): give another file to write", option, path,
                         reader, value);
}

void Places::require_not_written(const std::string& who, const std::string& spec) const {
  comm::together(comm_, [&] {
    if (comm_.root()) refuse_overwriting(who, spec);
  });
}

}  // namespace mercer::drivers
