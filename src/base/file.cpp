#include "mercer/base/file.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "mercer/base/error.hpp"

namespace mercer {

namespace fs = std::filesystem;

void require_file(const std::string& path, const std::string& what) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) throw InputError("{}: no such file", what);
  if (fs::exists(status) && !fs::is_regular_file(status))
    throw InputError("{}: is not a file", what);
  if (::access(path.c_str(), R_OK) != 0)
    throw InputError("{}: cannot be read: {}", what, std::strerror(errno));
}

}  // namespace mercer
