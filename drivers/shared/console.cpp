#include "shared/console.hpp"

#include <cerrno>
#include <cstring>

namespace mercer::drivers {
namespace {

int lost = 0;  // errno of the first failure

}  // namespace

void print(std::FILE* stream, const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stream) == text.size();
  if ((!written || std::fflush(stream) != 0) && stream == stdout && lost == 0)
    lost = errno != 0 ? errno : EIO;
}

std::string lost_output() {
  if (lost == 0 && (std::fflush(stdout) != 0 || std::ferror(stdout) != 0))
    lost = errno != 0 ? errno : EIO;
  return lost != 0 ? std::strerror(lost) : "";
}

}  // namespace mercer::drivers
