#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "reader.hpp"
#include "text.hpp"

namespace mercer::data {

/// The fields of a line, one after the other, without blanks and quotes around them. Quotes may
/// hold separators, and "" for a quote; separated by blanks (' '), any number of them counts as
/// one.
class Fields {
 public:
  Fields(std::string_view line, char separator)
      : rest_(separator == ' ' ? trimmed(line) : line), separator_(separator) {}
  /// False behind the last field. `field` lives until the next call or as long as the line.
  bool next(std::string_view& field);

 private:
  std::string_view quoted_field();
  std::string_view rest_;
  char separator_;
  bool end_ = false;
  std::string buffer_;  ///< of a field with "" in it
};

/// What pandas names an index that has no name: nothing, or "Unnamed: 0" once it was read again.
bool is_unnamed_index(std::string_view name);
/// Whether the fields from `first` on are 0, 1, 2, ...: pandas' names of columns without names.
bool counts_columns(const std::vector<std::string>& fields, std::size_t first);
/// Of the first two lines of a file, of which there is at least one.
char find_separator(const std::vector<std::string>& head);

std::vector<std::string> fields_of(std::string_view line, char separator);

/// How a CSV file is read.
struct CsvLayout {
  char separator = ',';
  bool header = false;
  Index columns = 0;                   ///< all of them but empty ones at the end
  Index trailing = 0;                  ///< empty ones: lines that end with separators
  std::vector<std::string> names;      ///< of all columns; empty without header
  std::vector<Index> inputs, targets;  ///< positions from 0
  Index index_column = -1;
  CsvColumns::First first = CsvColumns::First::other;
  std::vector<std::string> notes, warnings;
};

/// Separator, header and what each column is, from the first rows (16 at most) and the request: of
/// a training set as its options say, of a test set as `request.training` says. Leaves `lines`
/// anywhere. Local. Throws InputError.
CsvLayout lay_out(LineReader& lines, const Request& request);

/// Sets inputs and targets of a test set (csv_matching.cpp). `marked`: whether its index column was
/// found by its header.
void match_columns(const std::string& path, const Request& request, CsvLayout& layout);

/// The columns that `text` names, "y1,y2" or "-1": names of the header or positions, negative ones
/// from the end. `what` is target or index, for messages. Throws InputError.
std::vector<Index> columns_named(const std::string& path, const std::string& text,
                                 const CsvLayout& layout, const char* what);

}  // namespace mercer::data
