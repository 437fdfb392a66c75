#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "byte_stream.hpp"

namespace mercer::data {

std::string_view trimmed(std::string_view text);
/// A decimal number with nothing else around it but blanks; "nan", "inf" and what overflows count
/// as numbers that are not finite. Nothing where it is no number. Local.
std::optional<double> parse_number(std::string_view text);
std::optional<Index> parse_whole(std::string_view text);
/// True and False as pandas, NumPy, R and JSON write them: 1 and 0. Local.
std::optional<double> parse_truth(std::string_view text);
/// Whether a field says that its value is not known: nothing, nan (in any case), NA, <NA>, N/A,
/// NULL. Local.
bool is_missing(std::string_view text);
/// For messages: short, printable, in quotes.
std::string quoted(std::string_view text);
/// "row 3, column 2 (counted from 1), price"; `name` is "" where there is none.
std::string place_in(Index row, Index column, std::string_view name = {});
/// parse_number, or an InputError that says where and what: empty, no number (then with `hint`),
/// not finite.
double number_at(const std::string& path, Index row, Index column, std::string_view text,
                 std::string_view hint = {}, std::string_view name = {});

/// The lines of a text file that are not blank, without their ends (LF or CR LF). Local. Throws
/// InputError where the file is no text: NUL or other control characters at its start, or the name
/// of its format where that is known.
class LineReader {
 public:
  explicit LineReader(const std::string& path);
  /// False at the end of the file. `line` lives until the next call.
  bool next(std::string_view& line);
  /// Of the last line, blank ones counted, from 1.
  Index number() const { return number_; }
  void rewind();
  const std::string& path() const { return stream_.path(); }

 private:
  bool next_any(std::string_view& line);
  void expect_text() const;
  ByteStream stream_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // what of the buffer has not been handed out
  bool at_end_ = false;
  Index number_ = 0;
};

}  // namespace mercer::data
