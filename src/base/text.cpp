#include "mercer/base/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "mercer/base/error.hpp"

namespace mercer {

std::string counted(Index count, std::string_view noun, std::string_view plural) {
  if (count == 1) return fmt::format("1 {}", noun);
  return plural.empty() ? fmt::format("{} {}s", count, noun) : fmt::format("{} {}", count, plural);
}

std::vector<std::string> words(const std::string& text, char separator) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

std::vector<double> parse_numbers(const std::string& name, const std::string& text) {
  std::vector<double> numbers;
  std::stringstream stream(text);
  std::string piece;
  while (std::getline(stream, piece, ',')) {
    std::size_t used = 0;
    double value = 0;
    try {
      value = std::stod(piece, &used);
    } catch (const std::exception&) {
      used = 0;
    }
    if (used == 0 || used != piece.size())
      throw InputError("{} {}: '{}' is not a number", name, text, piece);
    numbers.push_back(value);
  }
  if (numbers.empty()) throw InputError("{}: give a number", name);
  return numbers;
}

std::vector<Index> parse_whole_numbers(const std::string& name, const std::string& text,
                                       double least, double most) {
  std::vector<Index> numbers;
  for (const double x : parse_numbers(name, text)) {
    if (!(x >= least && x <= most && x == std::floor(x)))
      throw InputError("{} {}: {} is not a whole number from {} to {}", name, text, x, least, most);
    numbers.push_back(static_cast<Index>(x));
  }
  return numbers;
}

std::vector<double> parse_shares(const std::string& name, const std::string& text) {
  auto numbers = parse_numbers(name, text);
  for (const double x : numbers)
    if (!(x > 0 && x <= 1))
      throw InputError("{} {}: {} is not a positive number up to 1", name, text, x);
  return numbers;
}

double parse_number(const std::string& name, const std::string& text) {
  const auto numbers = parse_numbers(name, text);
  if (numbers.size() != 1) throw InputError("{} {}: give one number", name, text);
  return numbers.front();
}

std::string in_one_line(const std::string& text) {
  constexpr std::size_t kMost = 4000;
  std::string line;
  for (const char c : text.substr(0, kMost)) {
    const auto byte = static_cast<unsigned char>(c);
    line += byte < 0x20 || byte == 0x7f ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return text.size() > kMost ? line + " ..." : line;
}

}  // namespace mercer
