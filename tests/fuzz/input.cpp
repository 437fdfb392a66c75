#include <unistd.h>

#include <bit>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "fuzz.hpp"

namespace mercer::fuzz {

std::uint8_t Input::byte() {
  if (rest_.empty()) return 0;
  const auto first = rest_.front();
  rest_ = rest_.subspan(1);
  return first;
}

double Input::number() {
  constexpr double kHard[] = {0.0,
                              -0.0,
                              1.0,
                              -1.0,
                              1e308,
                              -1e308,
                              5e-324,
                              1e-310,
                              1e154,
                              2147483648.0,
                              9.3e18,
                              0.5,
                              3.0,
                              1e9,
                              std::numeric_limits<double>::infinity(),
                              std::numeric_limits<double>::quiet_NaN()};
  const auto which = below(std::size(kHard) + 4);
  if (which < std::size(kHard)) return kHard[which];
  std::uint64_t bits = 0;
  for (int i = 0; i < 8; ++i) bits = bits << 8 | byte();
  return std::bit_cast<double>(bits);
}

std::string Input::text(std::size_t most) {
  std::string result;
  for (auto length = below(most + 1); length > 0 && !empty(); --length)
    result += static_cast<char>(byte());
  return result;
}

std::string as_file(const std::string& bytes, const std::string& ending) {
  namespace fs = std::filesystem;
  static const std::string place = [] {
    std::string name =
        fs::exists("/dev/shm") ? "/dev/shm/mercer-fuzz-XXXXXX" : "/tmp/mercer-fuzz-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    static const std::string kept = name;
    std::atexit([] { fs::remove_all(kept); });
    return name;
  }();
  const std::string path = place + "/f" + ending;
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  return path;
}

}  // namespace mercer::fuzz
