#include "text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace mercer::data {
namespace {

constexpr std::size_t kBuffer = std::size_t{1} << 18;
constexpr std::size_t kLongestLine = std::size_t{1} << 28;
constexpr std::size_t kLookedAt = 4096;  // first bytes, which tell whether a file is text
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<double> parse_number(std::string_view text) {
  text = trimmed(text);
  if (text.size() > 1 && text.front() == '+' && text[1] != '-') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || end != text.data() + text.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range)  // too large or too small: strtod tells which
    return std::strtod(std::string(text).c_str(), nullptr);
  if (error != std::errc()) return std::nullopt;
  return value;
}

std::optional<Index> parse_whole(std::string_view text) {
  text = trimmed(text);
  Index value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> parse_truth(std::string_view text) {
  text = trimmed(text);
  if (text == "True" || text == "TRUE" || text == "true") return 1;
  if (text == "False" || text == "FALSE" || text == "false") return 0;
  return std::nullopt;
}

bool is_missing(std::string_view text) {
  constexpr std::string_view known[] = {"NA", "<NA>", "N/A", "n/a", "#N/A", "NULL", "null"};
  text = trimmed(text);
  if (text.empty() || std::find(std::begin(known), std::end(known), text) != std::end(known))
    return true;
  const auto number = parse_number(text);
  return number && std::isnan(*number);
}

std::string quoted(std::string_view text) {
  constexpr std::size_t longest = 24;
  std::string shown = "'";
  for (char c : text.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(c);
    shown += byte >= 32 && byte < 127 ? c : '?';
  }
  return shown + (text.size() > longest ? "...'" : "'");
}

std::string place_in(Index row, Index column, std::string_view name) {
  return fmt::format("row {}, column {} (counted from 1){}{}", row, column,
                     name.empty() ? "" : ", ", name);
}

double number_at(const std::string& path, Index row, Index column, std::string_view text,
                 std::string_view hint, std::string_view name) {
  const auto value = parse_number(text);
  if (value && std::isfinite(*value)) return *value;
  const std::string where = fmt::format("{}: {}: ", path, place_in(row, column, name));
  if (trimmed(text).empty())
    throw InputError("{}the field is empty; every row needs all its numbers", where);
  if (!value) throw InputError("{}{} is not a number{}", where, quoted(text), hint);
  throw InputError("{}{} is not a finite number", where, quoted(text));
}

LineReader::LineReader(const std::string& path) : stream_(path), buffer_(kBuffer) {}

void LineReader::rewind() {
  stream_.seek(0);
  begin_ = end_ = 0;
  at_end_ = false;
  number_ = 0;
}

bool LineReader::next_any(std::string_view& line) {
  std::size_t searched = begin_;
  for (;;) {
    if (const void* found = std::memchr(buffer_.data() + searched, '\n', end_ - searched)) {
      const auto stop = static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data());
      line = {buffer_.data() + begin_, stop - begin_};
      begin_ = stop + 1;
      return true;
    }
    if (at_end_) {
      line = {buffer_.data() + begin_, end_ - begin_};
      begin_ = end_;
      return !line.empty();
    }
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    searched = end_;
    if (end_ == buffer_.size()) {
      if (end_ >= kLongestLine)
        throw InputError("{}: row {} is longer than {} bytes: this is not a text file", path(),
                         number_ + 1, kLongestLine);
      buffer_.resize(2 * buffer_.size());
    }
    const auto room = static_cast<Index>(buffer_.size() - end_);
    const bool start = stream_.position() == 0;
    const Index got = stream_.read(buffer_.data() + end_, room);
    end_ += static_cast<std::size_t>(got);
    at_end_ = got < room;
    if (start) expect_text();
  }
}

void LineReader::expect_text() const {
  const std::string_view start(buffer_.data(), std::min(end_, kLookedAt));
  if (start.starts_with("\x93NUMPY"))
    throw InputError("{}: is an NPY file: write npy:{}", path(), path());
  for (std::size_t i = 0; i < start.size(); ++i) {
    const auto byte = static_cast<unsigned char>(start[i]);
    if (byte >= 32 || (byte >= 9 && byte <= 13) || byte == 27) continue;
    throw InputError("{}: is not text: byte {} is {:02x}{}", path(), i, byte,
                     byte == 0 ? " (UTF-16 perhaps: UTF-8 is needed)" : "");
  }
}

bool LineReader::next(std::string_view& line) {
  while (next_any(line)) {
    ++number_;
    if (number_ == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!trimmed(line).empty()) return true;
  }
  return false;
}

}  // namespace mercer::data
