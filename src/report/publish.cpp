#include "publish.hpp"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "mercer/base/error.hpp"
#include "mercer/dist/temporary.hpp"

namespace mercer::report {
namespace {

bool put(std::FILE* file, const std::string& content) {
  return std::fwrite(content.data(), 1, content.size(), file) == content.size() &&
         std::fflush(file) == 0;
}

/// False with errno set.
bool write_to(const std::string& path, const std::string& content, bool sync) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return false;
  const bool written = put(file, content) && (!sync || fsync(fileno(file)) == 0);
  const int why = errno;
  const bool closed = std::fclose(file) == 0;
  if (!written) errno = why;
  return written && closed;
}

}  // namespace

bool is_special(const std::string& path) {
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  return std::filesystem::exists(status) && !std::filesystem::is_regular_file(status) &&
         !std::filesystem::is_directory(status);
}

std::string lower_suffix(const std::string& path) {
  std::string suffix = std::filesystem::path(path).extension();
  std::ranges::transform(suffix, suffix.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return suffix;
}

void publish(const std::string& path, const std::string& content) {
  bool ok = false;
  if (path == "-") {
    ok = put(stdout, content);
  } else if (is_special(path)) {
    ok = write_to(path, content, false);
  } else {
    const std::string temporary = dist::temporary_name(path);
    ok = write_to(temporary, content, true) && std::rename(temporary.c_str(), path.c_str()) == 0;
    const int why = errno;
    if (!ok) std::remove(temporary.c_str());
    errno = why;
  }
  if (!ok)
    throw RunError("{}: cannot be written: {}", path == "-" ? "standard output" : path,
                   std::strerror(errno));
}

}  // namespace mercer::report
