#include "mercer/io/temporary.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "mercer/base/error.hpp"
#include "mercer/io/signals.hpp"
#include "posix_file.hpp"

namespace mercer::io {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMark = ".tmp-";
constexpr const char* kSays = "mercer: ";  // how a lock file begins

std::string host() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

/// A hash of host, boot and process namespace, eight hexadecimal digits (FNV-1a of 32 bits).
std::string machine() {
  std::string boot, text = host();
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  std::error_code ignored;
  text += boot + fs::read_symlink("/proc/self/ns/pid", ignored).string();
  std::uint32_t hash = 2166136261u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return fmt::format("{:08x}", hash);
}

struct Process {
  char state = 0;           ///< Z: has ended, but its parent has not taken note yet
  std::uint64_t start = 0;  ///< ticks since the boot
};

/// What /proc says of process `pid`; nothing where it shows none.
std::optional<Process> process(long pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto name_end = text.rfind(')');  // the name may hold blanks and parentheses
  if (name_end == std::string::npos || name_end + 2 >= text.size()) return {};
  Process found{.state = text[name_end + 2]};
  std::size_t at = name_end + 1;
  for (int field = 3; field < 22 && at != std::string::npos; ++field) at = text.find(' ', at + 1);
  if (at == std::string::npos) return {};
  const auto parsed = std::from_chars(text.data() + at + 1, text.data() + text.size(), found.start);
  return parsed.ec == std::errc() ? std::optional(found) : std::nullopt;
}

template <class T>
bool read_number(const std::string& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

struct Owner {
  std::string machine;
  long pid = 0;
  std::uint64_t start = 0;
};

/// The owner in "MACHINE-PID-START-COUNT"; nothing for other text.
std::optional<Owner> owner_of(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char c : name)
    c == '-' ? static_cast<void>(parts.emplace_back()) : parts.back().push_back(c);
  Owner owner;
  if (parts.size() != 4 || parts[0].size() != 8 || !read_number(parts[1], owner.pid) ||
      !read_number(parts[2], owner.start))
    return {};
  owner.machine = parts[0];
  return owner;
}

bool is_under_way(const Owner& owner) {
  if (::kill(static_cast<pid_t>(owner.pid), 0) != 0 && errno == ESRCH) return false;
  const auto found = process(owner.pid);
  if (!found) return true;
  const bool ended = found->state == 'Z' || found->state == 'X';
  return !ended && found->start == owner.start;  // otherwise another has its number now
}

bool untouched_for_a_day(const std::string& path) {
  std::error_code error;
  const auto time = fs::last_write_time(path, error);
  return !error && fs::file_time_type::clock::now() - time > std::chrono::hours(24);
}

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

/// The one line of a lock file.
std::string content(int descriptor) {
  char text[512] = {};
  const auto length = ::pread(descriptor, text, sizeof text - 1, 0);
  std::string line(text, length > 0 ? static_cast<std::size_t>(length) : 0);
  return line.substr(0, line.find('\n'));
}

/// Whether the open file is still the one at `path`: its last holder may have removed it meanwhile.
bool is_file(int descriptor, const std::string& path) {
  struct stat open {};
  struct stat named {};
  return ::fstat(descriptor, &open) == 0 && ::stat(path.c_str(), &named) == 0 &&
         open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

/// The permissions of a regular file; nothing where there is none.
std::optional<::mode_t> permissions(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  return status.st_mode & 0777;
}

/// A name for remove_temporaries(): plain memory, which a signal handler may read.
struct Remembered {
  std::atomic<bool> in_use{false};
  std::array<char, 4096> name{};
};
std::array<Remembered, 64> remembered;

void remember(const std::string& name) {
  for (Remembered& one : remembered) {
    if (one.in_use || name.size() >= one.name.size()) continue;
    std::memcpy(one.name.data(), name.c_str(), name.size() + 1);
    one.in_use = true;
    return;
  }
}

void forget(const std::string& name) {
  for (Remembered& one : remembered)
    if (one.in_use && name == one.name.data()) {
      one.in_use = false;
      return;
    }
}

/// PATH.tmp-MACHINE-PID-START-COUNT: no two runs have the same, on any machines.
std::string temporary_name(const std::string& target) {
  static std::atomic<int> count{0};
  static const std::string own = fmt::format("{}-{}-{}", machine(), static_cast<long>(::getpid()),
                                             process(::getpid()).value_or(Process{}).start);
  return fmt::format("{}{}{}-{}", target, kMark, own, count++);
}

}  // namespace

std::string followed(const std::string& path) {
  constexpr int kMostLinks = 40;
  fs::path at = path;
  std::error_code error;
  for (int i = 0; i < kMostLinks && fs::is_symlink(fs::symlink_status(at, error)); ++i) {
    const auto next = fs::read_symlink(at, error);
    if (error) return path;
    at = next.is_absolute() ? next : at.parent_path() / next;
  }
  return at.string();
}

TemporaryFile::TemporaryFile(const std::string& path)
    : path_(path), target_(followed(path)), name_(temporary_name(target_)) {
  remember(name_);
}

TemporaryFile::~TemporaryFile() {
  if (name_.empty()) return;
  ::unlink(name_.c_str());
  forget(name_);
}

int TemporaryFile::create() {
  const ::mode_t mode = permissions(target_) ? 0600 : 0666;
  return ::open(name_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);
}

void TemporaryFile::publish() {
  const auto check = [&](bool ok) {
    if (!ok) throw RunError("{}: cannot be written: {}", path_, reason());
  };
  {
    const PosixFile file(name_, O_RDONLY);
    check(file >= 0);
    const auto replaced = permissions(target_);
    check(!replaced || ::fchmod(file, *replaced) == 0);
    check(::fsync(file) == 0);
  }
  check(::rename(name_.c_str(), target_.c_str()) == 0);
  forget(name_);
  name_.clear();
  const auto folder = fs::path(target_).parent_path();
  const PosixFile directory(folder.empty() ? "." : folder.string(), O_RDONLY | O_DIRECTORY);
  if (directory >= 0) ::fsync(directory);
}

void remove_temporaries() noexcept {
  for (const Remembered& one : remembered)
    if (one.in_use) ::unlink(one.name.data());
}

bool is_leftover(const std::string& path) {
  const auto at = path.rfind(kMark);
  if (at == std::string::npos) return false;
  const auto owner = owner_of(path.substr(at + std::string(kMark).size()));
  if (!owner) return false;
  static const std::string here = machine();
  return owner->machine == here ? !is_under_way(*owner) : untouched_for_a_day(path);
}

void remove_leftovers(const std::string& path) {
  const fs::path target = followed(path);
  const auto prefix = target.filename().string() + kMark;
  const auto parent = target.parent_path();
  std::error_code ignored;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(parent.empty() ? "." : parent, ignored))
    if (entry.path().filename().string().starts_with(prefix) && is_leftover(entry.path().string()))
      found.push_back(entry.path());
  for (const auto& file : found) fs::remove(file, ignored);
}

PathLock::PathLock(const std::string& option, const std::string& path) {
  const std::string file = followed(path) + ".lock";
  const SignalsHeld until_remembered;
  for (int attempt = 0; attempt < 100; ++attempt) {
    const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (descriptor < 0) return;
    const std::string holder = content(descriptor);
    if (!holder.empty() && !holder.starts_with(kSays)) {  // not a lock file
      ::close(descriptor);
      return;
    }
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      const bool taken = errno == EWOULDBLOCK;
      ::close(descriptor);
      if (!taken) {  // this file system has no locks
        if (holder.empty()) ::unlink(file.c_str());
        return;
      }
      throw InputError("{} {}: is being written by another job{}", option, path,
                       holder.empty() ? "" : " (" + holder.substr(std::string(kSays).size()) + ")");
    }
    if (!is_file(descriptor, file)) {
      ::close(descriptor);
      continue;
    }
    const std::string line = fmt::format("{}pid {} on {} since {}\n", kSays,
                                         static_cast<long>(::getpid()), host(), now_utc());
    if (::ftruncate(descriptor, 0) == 0)
      static_cast<void>(!::pwrite(descriptor, line.data(), line.size(), 0));
    descriptor_ = descriptor;
    file_ = file;
    remember(file_);
    return;
  }
}

PathLock::PathLock(PathLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), file_(std::exchange(other.file_, {})) {}

PathLock& PathLock::operator=(PathLock&& other) noexcept {
  release();
  descriptor_ = std::exchange(other.descriptor_, -1);
  file_ = std::exchange(other.file_, {});
  return *this;
}

PathLock::~PathLock() {
  release();
}

void PathLock::release() {
  if (descriptor_ < 0) return;
  ::unlink(file_.c_str());  // before unlocking: who locks it next then sees that the name is gone
  ::close(descriptor_);
  descriptor_ = -1;
  forget(file_);
  file_.clear();
}

}  // namespace mercer::io
