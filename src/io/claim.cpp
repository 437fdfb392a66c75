#include "claim.hpp"

#include <sys/resource.h>
#include <sys/statvfs.h>

#include <filesystem>

#include "mercer/base/error.hpp"
#include "mercer/base/memory.hpp"
#include "posix_file.hpp"

namespace mercer::io {
namespace {

namespace fs = std::filesystem;

std::string directory_of(const std::string& path) {
  const auto parent = fs::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

}  // namespace

void claim(const std::string& path, TemporaryFile& temporary) {
  std::error_code ignored;
  const auto status = fs::status(path, ignored);
  if (fs::exists(status) && !fs::is_regular_file(status))
    throw InputError("{}: exists and is not a regular file: give the name of a file to write",
                     path);
  if (!fs::is_directory(directory_of(temporary.name()), ignored))
    throw InputError("{}: there is no directory {}", path, directory_of(temporary.name()));
  const PosixFile file(temporary.create());
  const char probe[4096] = {};
  if (file < 0 || ::write(file, probe, sizeof probe) != sizeof probe || ::fsync(file) != 0)
    throw InputError("{}: cannot be written: {}", path, reason());
}

void take_space(const std::string& path, const std::string& name, Index end, Index bytes) {
  const PosixFile file(name, O_WRONLY);
  if (file >= 0 && ::fallocate(file, FALLOC_FL_KEEP_SIZE, end, bytes) == 0) return;
  const bool unsupported = errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL;
  if (file < 0 || !unsupported) throw RunError("{}: cannot be written: {}", path, reason());
  struct statvfs place {};
  if (::fstatvfs(file, &place) == 0 &&
      static_cast<double>(place.f_bavail) * static_cast<double>(place.f_frsize) <
          static_cast<double>(bytes))
    throw RunError("{}: cannot be written: {}", path, std::strerror(ENOSPC));
}

void require_allowed_size(const std::string& path, Index bytes) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      static_cast<rlim_t>(bytes) > limit.rlim_cur)
    throw RunError("{}: cannot be written: it would exceed the limit of {} a file (ulimit -f)",
                   path, format_bytes(static_cast<double>(limit.rlim_cur)));
}

}  // namespace mercer::io
