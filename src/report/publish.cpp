#include "publish.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "mercer/base/error.hpp"
#include "mercer/io/temporary.hpp"

namespace mercer::report {
namespace {

bool put(std::FILE* file, const std::string& content) {
  return std::fwrite(content.data(), 1, content.size(), file) == content.size() &&
         std::fflush(file) == 0;
}

/// Writes to an open descriptor and closes it. Returns false with errno set where that fails.
bool write_to(int descriptor, const std::string& content) {
  if (descriptor < 0) return false;
  std::FILE* file = ::fdopen(descriptor, "w");
  if (file == nullptr) {
    ::close(descriptor);
    return false;
  }
  const bool written = put(file, content);
  const int why = errno;
  const bool closed = std::fclose(file) == 0;
  if (!written) errno = why;
  return written && closed;
}

}  // namespace

bool is_special(const std::string& path) {
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  for (const char* open : {"/dev/fd/", "/dev/std", "/proc/"})
    if (path.starts_with(open)) return std::filesystem::exists(status);
  return std::filesystem::exists(status) && !std::filesystem::is_regular_file(status) &&
         !std::filesystem::is_directory(status);
}

std::string lower_suffix(const std::string& path) {
  std::string suffix = std::filesystem::path(path).extension();
  std::ranges::transform(suffix, suffix.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return suffix;
}

int open_special(const std::string& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC);
  if (file >= 0) ::fcntl(file, F_SETFL, O_WRONLY | O_APPEND);  // from here on it waits
  return file;
}

void publish(const std::string& path, const std::string& content) {
  const auto check = [&](bool ok) {
    if (!ok)
      throw RunError("{}: cannot be written: {}", path == "-" ? "standard output" : path,
                     std::strerror(errno));
  };
  if (path == "-" || path == "/dev/stdout") return check(put(stdout, content));
  if (is_special(path)) return check(write_to(open_special(path), content));
  io::TemporaryFile file(path);
  check(write_to(file.create(), content));
  file.publish();
}

}  // namespace mercer::report
