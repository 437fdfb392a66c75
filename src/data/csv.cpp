// CSV: numbers separated by commas, one row a line, the same number in every row; blanks and double
// quotes around a number are allowed; a first row without any number is the header.
#include <cmath>

#include "reader.hpp"
#include "text.hpp"

namespace mercer::data {
namespace {

std::string_view unquoted(std::string_view field) {
  field = trimmed(field);
  if (field.size() >= 2 && field.front() == '"' && field.back() == '"')
    field = field.substr(1, field.size() - 2);
  return field;
}

/// The field that `line` starts with, taken off it; `more` tells whether another one follows.
std::string_view take_field(std::string_view& line, bool& more) {
  const auto comma = line.find(',');
  more = comma != std::string_view::npos;
  const std::string_view field = unquoted(line.substr(0, comma));
  line.remove_prefix(more ? comma + 1 : line.size());
  return field;
}

std::vector<std::string> fields_of(std::string_view line) {
  std::vector<std::string> fields;
  for (bool more = true; more;) fields.emplace_back(take_field(line, more));
  return fields;
}

class CsvReader : public Reader {
 public:
  CsvReader(const std::string& path, const std::string& target, Index max_rows) : lines_(path) {
    find_columns(target);
    while ((max_rows < 0 || rows_ < max_rows) && lines_.next(line_)) ++rows_;
    if (rows_ == 0) throw InputError("{}: no rows, only a header", path);
    restart();
  }

  Contents contents() const override {
    return {.rows = rows_,
            .dimension = columns_ - (target_ >= 0 ? 1 : 0),
            .outputs = target_ >= 0 ? 1 : 0,
            .image = {}};
  }

  void read(Index first, Index count, double* rows) override {
    if (first < next_) restart();
    for (; next_ < first; ++next_) lines_.next(line_);
    for (Index i = 0; i < count; ++i, ++next_) {
      if (!lines_.next(line_))
        throw InputError("{}: changed while it was read: row {} is gone", lines_.path(), next_ + 1);
      parse(line_, rows + i * columns_);
    }
  }

 private:
  /// Reads the first row: number of columns, header or not, which column is the target.
  void find_columns(const std::string& target) {
    const std::string& path = lines_.path();
    if (!lines_.next(line_)) throw InputError("{}: the file has no rows, only blank lines", path);
    const auto fields = fields_of(line_);
    columns_ = static_cast<Index>(fields.size());
    Index numbers = 0, names = 0;
    for (const auto& field : fields) {
      if (parse_number(field))
        ++numbers;
      else if (!field.empty())
        ++names;
    }
    header_ = numbers == 0 && names > 0;
    target_ = target_column(path, target, fields);
    if (columns_ - (target_ >= 0 ? 1 : 0) < 1)
      throw InputError(
          "{}: has one column, which is the target: no inputs are left (the target "
          "'none' makes it an input)",
          path);
    if (!header_) lines_.rewind();
  }

  Index target_column(const std::string& path, const std::string& target,
                      const std::vector<std::string>& fields) const {
    if (target == "none") return -1;
    if (target.empty()) return columns_ - 1;
    if (header_)
      for (std::size_t j = 0; j < fields.size(); ++j)
        if (fields[j] == target) return static_cast<Index>(j);
    const auto number = parse_whole(target);
    if (number && *number >= 0 && *number < columns_) return *number;
    if (number)
      throw InputError("{}: there is no target column {}: its columns are 0 to {}", path, *number,
                       columns_ - 1);
    throw InputError("{}: there is no target column {}: {}", path, quoted(target),
                     header_ ? "the header does not name it"
                             : "the file has no header, give the column's number from 0");
  }

  void parse(std::string_view line, double* row) {
    Index column = 0, input = 0;
    for (bool more = true; more; ++column) {
      const auto field = take_field(line, more);
      if (column >= columns_) continue;  // counted for the message below
      const double value = number_at(lines_.path(), lines_.number(), column + 1, field);
      row[column == target_ ? columns_ - 1 : input++] = value;
    }
    if (column != columns_)
      throw InputError("{}: row {} (counted from 1) has {} columns, the first row has {}",
                       lines_.path(), lines_.number(), column, columns_);
  }

  void restart() {
    lines_.rewind();
    if (header_) lines_.next(line_);
    next_ = 0;
  }

  LineReader lines_;
  std::string_view line_;
  Index columns_ = 0, target_ = -1, rows_ = 0, next_ = 0;
  bool header_ = false;
};

}  // namespace

std::unique_ptr<Reader> open_csv(const std::string& path, const Request& request) {
  return std::make_unique<CsvReader>(path, request.csv_target, request.max_rows);
}

}  // namespace mercer::data
