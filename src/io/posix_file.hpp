#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace mercer::io {

/// A file descriptor that closes itself.
class PosixFile {
 public:
  PosixFile(const std::string& path, int flags)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  explicit PosixFile(int descriptor) : fd_(descriptor) {}
  ~PosixFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;
  operator int() const { return fd_; }

 private:
  int fd_;
};

/// Why the last system call failed, by errno.
inline std::string reason() {
  return std::strerror(errno);
}

}  // namespace mercer::io
