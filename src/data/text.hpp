#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "byte_stream.hpp"

namespace mercer::data {

/// Without blanks, tabs and carriage returns at both ends. Local.
std::string_view trimmed(std::string_view text);
/// A decimal number, or a whole one, with nothing but blanks around it; "nan", "inf" and numbers
/// that overflow are numbers that are not finite. nullopt where it is not a number. Local.
std::optional<double> parse_number(std::string_view text);
std::optional<Index> parse_whole(std::string_view text);
/// True and False, as pandas, NumPy, R and JSON write them, are 1 and 0; else nullopt. Local.
std::optional<double> parse_truth(std::string_view text);
/// Whether a field says that its value is missing: it is empty, nan (in any case), NA, <NA>, N/A,
/// #N/A or NULL. Local.
bool is_missing(std::string_view text);
/// The text in quotes for messages: its first 24 bytes, '?' for what is not printable. Local.
std::string quoted(std::string_view text);
/// "row 3, column 2 (counted from 1), price"; `name`: the column's, "" where it has none. Local.
std::string place_in(Index row, Index column, std::string_view name = {});
/// The finite number in a field. Throws InputError with place and reason: empty, not a number (then
/// `hint` is added), not finite. Local.
double number_at(const std::string& path, Index row, Index column, std::string_view text,
                 std::string_view hint = {}, std::string_view name = {});

/// The lines of a text file that are not blank, without their ends (LF or CR LF). Local. Throws
/// InputError where the file is not text: NUL or other control characters in its first 4 KiB; an
/// NPY file is named as such.
class LineReader {
 public:
  explicit LineReader(const std::string& path);
  /// False at the end of the file. `line` is valid until the next call.
  bool next(std::string_view& line);
  /// The number of the last line, from 1, blank lines counted too.
  Index number() const { return number_; }
  void rewind();
  const std::string& path() const { return stream_.path(); }

 private:
  bool next_any(std::string_view& line);
  void expect_text() const;
  ByteStream stream_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // the part of the buffer that has not been returned
  bool at_end_ = false;
  Index number_ = 0;
};

}  // namespace mercer::data
