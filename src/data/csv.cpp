// CSV: one row a line, the same number of fields in every row. Which of them are inputs and targets
// is decided in csv_columns.cpp.
#include <cmath>
#include <limits>

#include "classes.hpp"
#include "csv_columns.hpp"
#include "reader.hpp"
#include "text.hpp"

namespace mercer::data {
namespace {

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

class CsvReader : public Reader {
 public:
  CsvReader(const std::string& path, const Request& request)
      : lines_(path), layout_(lay_out(lines_, request)), test_(request.training != nullptr) {
    contents_.csv = {request.csv_header, request.csv_index,    layout_.columns,
                     layout_.targets,    layout_.index_column, layout_.first};
    count_rows(request);
    describe();
    restart();
  }

  Contents contents() const override { return contents_; }

  void read(Index first, Index count, double* rows) override {
    if (first < next_) restart();
    for (; next_ < first; ++next_) lines_.next(line_);
    for (Index i = 0; i < count; ++i, ++next_) {
      if (!lines_.next(line_))
        throw InputError("{}: changed while it was read: row {} is gone", lines_.path(), next_ + 1);
      parse(rows + i * (contents_.dimension + contents_.outputs));
    }
  }

 private:
  static constexpr Index kSkipped = -1;

  /// Counts the rows (up to request.max_rows), and finds out whether the target column holds names.
  void count_rows(const Request& request) {
    const bool single = layout_.targets.size() == 1;
    const bool names = single && request.text == Request::Text::classes;
    const bool relaxed = single && request.text == Request::Text::left_out;
    bool numbers = true;
    restart();
    while ((request.max_rows < 0 || contents_.rows < request.max_rows) && lines_.next(line_)) {
      ++contents_.rows;
      if (!names && !(relaxed && numbers)) continue;
      const auto field = label_field();
      if (is_missing(field)) continue;
      if (names)
        texts_.add(field);
      else
        numbers = parse_number(field) || parse_truth(field);
    }
    if (contents_.rows == 0) throw InputError("{}: no rows, only a header", lines_.path());
    const bool known = test_ && !request.training->classes.empty();
    if (names && texts_.numbers() && !(known && !request.training->classes.numeric()))
      texts_.clear();
    if (texts_.too_many()) refuse_measurements(lines_.path());
    if (!numbers) layout_.notes.push_back("the target holds names and is left out");
    if (!numbers || (relaxed && test_ && request.training->outputs == 0)) layout_.targets.clear();
  }

  /// The target field of the current line.
  std::string_view label_field() {
    Fields fields(line_, layout_.separator);
    std::string_view field;
    for (Index j = 0; j <= layout_.targets[0]; ++j)
      if (!fields.next(field)) return {};
    label_.assign(trimmed(field));  // `field` may live no longer than `fields`
    return label_;
  }

  void describe() {
    contents_.dimension = static_cast<Index>(layout_.inputs.size());
    contents_.outputs = static_cast<Index>(layout_.targets.size());
    contents_.notes = layout_.notes;
    contents_.warnings = layout_.warnings;
    contents_.label_names = texts_.names();
    place_.assign(at(layout_.columns), kSkipped);
    Index place = 0;
    for (const auto* columns : {&layout_.inputs, &layout_.targets})
      for (Index j : *columns) place_[at(j)] = place++;
    if (!layout_.header) return;
    for (Index j : layout_.inputs) contents_.input_names.push_back(layout_.names[at(j)]);
    for (Index j : layout_.targets) contents_.target_names.push_back(layout_.names[at(j)]);
  }

  void parse(double* row) {
    Fields fields(line_, layout_.separator);
    Index column = 0;
    for (std::string_view field; fields.next(field); ++column) {
      if (column >= layout_.columns || place_[at(column)] == kSkipped) continue;
      row[place_[at(column)]] = value(column, trimmed(field));
    }
    if (column != layout_.columns + layout_.trailing)
      throw InputError(
          "{}: row {} (counted from 1) has {} columns, the first row has {}{}", lines_.path(),
          lines_.number(), column, layout_.columns + layout_.trailing,
          layout_.header && column == layout_.columns + 1
              ? " (a name is missing in the header, or the row has a separator too many)"
              : "");
  }

  bool is_target(Index column) const { return place_[at(column)] >= contents_.dimension; }

  double value(Index column, std::string_view field) {
    const bool target = is_target(column), label = target && !texts_.empty();
    const auto number = label ? std::nullopt : parse_number(field);
    if (number && std::isfinite(*number)) return *number;
    if (is_missing(field)) {
      if (target) return std::numeric_limits<double>::quiet_NaN();
      refuse_missing(column, std::string(field));
    }
    if (label) {
      const Index code = texts_.find(field);
      if (code < 0)
        throw InputError("{}: changed while it was read: row {} has another label", lines_.path(),
                         lines_.number());
      return static_cast<double>(code);
    }
    if (const auto truth = parse_truth(field)) return *truth;
    number_at(lines_.path(), lines_.number(), column + 1, field, hint(column, field), name(column));
    return 0;
  }

  /// What to do about a field that is not a number; may be empty.
  std::string hint(Index column, std::string_view field) const {
    if (parse_number(field)) return "";  // infinite
    if (field.find(',') != std::string_view::npos &&
        field.find_first_not_of("0123456789.,+-eE") == std::string_view::npos)
      return " (decimals are written with a point, thousands without a separator)";
    if (next_ == 0 && !layout_.header)
      return " (`header` yes takes the first row as names of the columns)";
    if (!is_target(column))
      return fmt::format(
          " (inputs must be numbers: turn names into columns of 0 and 1, for instance with "
          "pandas.get_dummies; `index` {} sets the column aside)",
          column);
    return test_ ? "" : " (`one_hot` makes names classes)";
  }

  std::string_view name(Index column) const {
    return layout_.header ? std::string_view(layout_.names[at(column)]) : std::string_view();
  }

  /// Throws for an input of the current row that is missing, with the number of such inputs in all
  /// rows.
  [[noreturn]] void refuse_missing(Index column, const std::string& field) {
    const Index row = lines_.number();
    Index values = 0, rows = 0;
    restart();
    for (Index i = 0; i < contents_.rows && lines_.next(line_); ++i) {
      const Index before = values;
      Fields fields(line_, layout_.separator);
      Index j = 0;
      for (std::string_view f; fields.next(f) && j < layout_.columns; ++j)
        if (place_[at(j)] != kSkipped && !is_target(j) && is_missing(f)) ++values;
      if (values > before) ++rows;
    }
    throw InputError(
        "{}: {}: {}; {}: fill in what is missing, or leave out these rows or columns (pandas: "
        "fillna, dropna)",
        lines_.path(), place_in(row, column + 1, name(column)),
        field.empty() ? "the field is empty" : quoted(field) + " is no finite number",
        values == 1
            ? std::string("1 input is missing")
            : fmt::format("{} inputs in {} row{} are missing", values, rows, rows == 1 ? "" : "s"));
  }

  void restart() {
    lines_.rewind();
    if (layout_.header) lines_.next(line_);
    next_ = 0;
  }

  LineReader lines_;
  std::string_view line_;
  CsvLayout layout_;
  bool test_;
  Contents contents_;
  std::vector<Index> place_;  ///< of each column: its place in a row of inputs, then targets
  LabelTexts texts_;          ///< where the target column holds names
  std::string label_;
  Index next_ = 0;
};

}  // namespace

std::unique_ptr<Reader> open_csv(const std::string& path, const Request& request) {
  return std::make_unique<CsvReader>(path, request);
}

}  // namespace mercer::data
