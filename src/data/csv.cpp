// CSV: one row a line, the same number of fields in every row; which of them are inputs and targets
// is csv_columns.cpp's matter.
#include <cmath>

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
    contents_.csv = {request.csv_header, request.csv_index, layout_.columns, layout_.targets,
                     layout_.index_column};
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

  /// Rows, and whether the target column holds names.
  void count_rows(const Request& request) {
    const bool single = layout_.targets.size() == 1;
    const bool names = single && request.text == Request::Text::classes;
    const bool relaxed = single && request.text == Request::Text::left_out;
    bool numbers = true;
    restart();
    while ((request.max_rows < 0 || contents_.rows < request.max_rows) && lines_.next(line_)) {
      ++contents_.rows;
      if (names)
        texts_.add(label_field());
      else if (relaxed && numbers)
        numbers = is_number_or_empty(label_field());
    }
    if (contents_.rows == 0) throw InputError("{}: no rows, only a header", lines_.path());
    const bool known = test_ && !request.training->classes.empty();
    if (names && texts_.numbers() && !(known && !request.training->classes.numeric()))
      texts_.clear();
    if (texts_.too_many()) refuse_measurements(lines_.path());
    if (!numbers) layout_.notes.push_back("the target holds names and is left out");
    if (!numbers || (relaxed && test_ && request.training->outputs == 0)) layout_.targets.clear();
  }

  static bool is_number_or_empty(std::string_view field) {
    return field.empty() || parse_number(field).has_value();
  }

  /// Of the present line.
  std::string_view label_field() {
    Fields fields(line_, layout_.separator);
    std::string_view field;
    for (Index j = 0; j <= layout_.targets[0]; ++j)
      if (!fields.next(field)) return {};
    label_.assign(trimmed(field));  // the field ends with `fields`
    return label_;
  }

  void describe() {
    contents_.dimension = static_cast<Index>(layout_.inputs.size());
    contents_.outputs = static_cast<Index>(layout_.targets.size());
    contents_.notes = layout_.notes;
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
    if (column != layout_.columns)
      throw InputError("{}: row {} (counted from 1) has {} columns, the first row has {}",
                       lines_.path(), lines_.number(), column, layout_.columns);
  }

  double value(Index column, std::string_view field) const {
    const bool target = place_[at(column)] >= contents_.dimension;
    if (target && !texts_.empty() && !field.empty()) {
      const Index code = texts_.find(field);
      if (code < 0)
        throw InputError("{}: changed while it was read: row {} has another label", lines_.path(),
                         lines_.number());
      return static_cast<double>(code);
    }
    if (const auto number = parse_number(field); number && std::isfinite(*number)) return *number;
    std::string hint;
    if (!field.empty() && !parse_number(field)) {
      if (target && !test_) hint = " (--one-hot makes names classes)";
      if (layout_.separator == ';' && field.find(',') != std::string_view::npos)
        hint = " (decimals are written with a point)";
      if (next_ == 0 && !layout_.header && hint.empty())
        hint = " (--header yes takes the first row for names of the columns)";
    }
    number_at(lines_.path(), lines_.number(), column + 1, field, hint);
    return 0;
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
  std::vector<Index> place_;  ///< of each column in a row of inputs and targets
  LabelTexts texts_;          ///< where the target column holds names
  std::string label_;
  Index next_ = 0;
};

}  // namespace

std::unique_ptr<Reader> open_csv(const std::string& path, const Request& request) {
  return std::make_unique<CsvReader>(path, request);
}

}  // namespace mercer::data
