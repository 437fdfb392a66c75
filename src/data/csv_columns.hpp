#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "reader.hpp"
#include "text.hpp"

namespace mercer::data {

/// The fields of a line, one after the other, without the blanks and quotes around them. A quoted
/// field may hold separators, and "" stands for a quote in it. Where the separator is ' ', any
/// number of blanks counts as one.
class Fields {
 public:
  Fields(std::string_view line, char separator)
      : rest_(separator == ' ' ? trimmed(line) : line), separator_(separator) {}
  /// False after the last field. `field` is valid until the next call, and as long as the line.
  bool next(std::string_view& field);

 private:
  std::string_view quoted_field();
  std::string_view rest_;
  char separator_;
  bool end_ = false;
  std::string buffer_;  ///< a field that had "" in it
};

/// Whether it is pandas' name of an index without a name: nothing, or "Unnamed: 0" where it was
/// written, read and written again.
bool is_unnamed_index(std::string_view name);
/// Whether the fields from `first` on are 0, 1, 2, ...: pandas' names of columns without names.
bool counts_columns(const std::vector<std::string>& fields, std::size_t first);
/// The separator of a file, from its first two lines (or its only one).
char find_separator(const std::vector<std::string>& head);

std::vector<std::string> fields_of(std::string_view line, char separator);

/// How a CSV file is read.
struct CsvLayout {
  char separator = ',';
  bool header = false;
  Index columns = 0;                   ///< without the trailing ones
  Index trailing = 0;                  ///< empty columns at the end: lines end with separators
  std::vector<std::string> names;      ///< of all columns; empty without header
  std::vector<Index> inputs, targets;  ///< positions from 0
  Index index_column = -1;
  CsvColumns::First first = CsvColumns::First::other;
  std::vector<std::string> notes, warnings;
};

/// Separator, header and what each column is, from the first rows (16 at most; all rows where these
/// end with separators) and the request: of a training set as its options say, of a test set as
/// `request.training` says. `lines` must be rewound afterwards. Local. Throws InputError.
CsvLayout lay_out(LineReader& lines, const Request& request);

/// Sets inputs, targets, index column and notes of a test set's `layout`, whose index column is set
/// where its header marks it (csv_matching.cpp). Local. Throws InputError.
void match_columns(const std::string& path, const Request& request, CsvLayout& layout);

/// The columns that `text` names, "y1,y2" or "-1": names of the header or positions, negative ones
/// from the end. `what`: "target", "index" or "split", for messages. Throws InputError.
std::vector<Index> columns_named(const std::string& path, const std::string& text,
                                 const CsvLayout& layout, const char* what);

}  // namespace mercer::data
