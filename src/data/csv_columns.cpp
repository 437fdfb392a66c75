#include "csv_columns.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "notes.hpp"

namespace mercer::data {
namespace {

constexpr const char* kPandasIndex = "Unnamed: 0";  // what read_csv calls a column without a name
constexpr std::size_t kHeadRows = 16, kHeadBytes = std::size_t{1} << 22;

bool blank(char c) {
  return c == ' ' || c == '\t';
}

/// The first rows: at least two, then as many as fit in kHeadBytes, at most kHeadRows.
std::vector<std::string> head_of(LineReader& lines) {
  std::vector<std::string> head;
  std::size_t bytes = 0;
  std::string_view line;
  while (head.size() < kHeadRows && (head.size() < 2 || bytes < kHeadBytes) && lines.next(line)) {
    head.emplace_back(line);
    bytes += line.size();
  }
  if (head.empty()) throw InputError("{}: the file has no rows, only blank lines", lines.path());
  return head;
}

bool all_numbers(const std::vector<std::string>& fields) {
  return std::all_of(fields.begin(), fields.end(),
                     [](const std::string& f) { return parse_number(f).has_value(); });
}

/// The fields of the rows in `head` below the first one.
std::vector<std::vector<std::string>> rows_below(const std::vector<std::string>& head,
                                                 const CsvLayout& layout) {
  std::vector<std::vector<std::string>> rows;
  for (std::size_t row = 1; row < head.size(); ++row)
    rows.push_back(fields_of(head[row], layout.separator));
  return rows;
}

/// Whole numbers, each larger than the one before it, by `step` where that is given.
bool grows(const std::vector<std::string>& fields, Index step = 0) {
  for (std::size_t j = 0; j < fields.size(); ++j) {
    const auto value = parse_whole(fields[j]), last = parse_whole(fields[j > 0 ? j - 1 : 0]);
    if (!value || (j > 0 && (step > 0 ? *value - *last != step : *value <= *last))) return false;
  }
  return true;
}

/// The first row has no name over a column of whole numbers, and one over every other column.
bool names_all_but_index(const std::vector<std::string>& first,
                         const std::vector<std::vector<std::string>>& below) {
  return first.size() > 1 && is_unnamed_index(first[0]) && !below.empty() &&
         std::none_of(first.begin() + 1, first.end(), is_missing) &&
         std::all_of(below.begin(), below.end(),
                     [](const auto& row) { return parse_whole(row[0]).has_value(); });
}

/// The first row holds the name of every input of the training set, and else only names of its
/// targets.
bool names_training_columns(const std::vector<std::string>& first, const Preparation* training) {
  if (training == nullptr || training->input_names.empty()) return false;
  const std::set<std::string_view> found(first.begin(), first.end());
  std::set<std::string_view> names(training->input_names.begin(), training->input_names.end());
  const bool inputs = std::includes(found.begin(), found.end(), names.begin(), names.end());
  names.insert(training->target_names.begin(), training->target_names.end());
  return inputs && found.size() == first.size() &&
         std::includes(names.begin(), names.end(), found.begin(), found.end());
}

bool is_header(const std::string& path, const std::vector<std::string>& head,
               const std::vector<std::string>& first, const std::string& asked,
               const Preparation* training, CsvLayout& layout) {
  if (asked != "auto") return asked == "yes";
  const auto number = [](const std::string& f) { return parse_number(f).has_value(); };
  const auto name = [&](const std::string& f) { return !f.empty() && !number(f); };
  if (std::none_of(first.begin(), first.end(), number))
    return std::any_of(first.begin(), first.end(), name);
  const auto below = rows_below(head, layout);
  const auto whole_numbers = [&](auto&& which) {
    return which(below.begin(), below.end(), [&](const auto& row) {
      return which(row.begin(), row.end(),
                   [](const auto& f) { return parse_whole(f).has_value(); });
    });
  };
  const auto all = [](auto begin, auto end, auto is) { return std::all_of(begin, end, is); };
  const auto any = [](auto begin, auto end, auto is) { return std::any_of(begin, end, is); };
  const bool several = first.size() > 2;
  const bool sure = (is_unnamed_index(first[0]) && counts_columns(first, 1)) ||
                    names_all_but_index(first, below) ||
                    (several && names_training_columns(first, training)) ||
                    (several && !counts_columns(first, 0) && below.size() > 1 && grows(first) &&
                     !whole_numbers(any));
  if (!sure && (!counts_columns(first, 0) || head.size() == 1)) {
    if (several && grows(first, 1))
      layout.warnings.push_back(fmt::format(
          "{}: the first row, {}, looks like names of the columns but was taken as data (`header` "
          "yes takes it as names, `header` no as data)",
          path, shortened(first)));
    return false;
  }
  if (!sure && whole_numbers(all) == several)
    throw InputError(
        "{}: the first row is {}: names of the columns, or data? Give `header` yes or `header` no",
        path, shortened(first));
  const bool header = sure || several;
  layout.notes.push_back(fmt::format("the first row, {}, was taken as {} (`header` {})",
                                     shortened(first), header ? "names of the columns" : "data",
                                     header ? "no takes it as data" : "yes takes it as names"));
  return header;
}

void expect_distinct(const std::string& path, const std::vector<std::string>& names) {
  std::set<std::string_view> seen;
  for (const auto& name : names)
    if (!seen.insert(name).second)
      throw InputError("{}: two columns have the name {}: give every column a name of its own",
                       path, quoted(name));
}

/// Whether the first column numbers the rows of `head`, or holds whole numbers.
CsvColumns::First first_column(const std::vector<std::string>& head, const CsvLayout& layout) {
  constexpr std::size_t kLeast = 3;  // fewer rows may be numbered by chance
  std::vector<std::string> column;
  for (std::size_t row = layout.header ? 1 : 0; row < head.size(); ++row)
    column.push_back(fields_of(head[row], layout.separator)[0]);
  if (column.size() >= kLeast && grows(column, 1)) return CsvColumns::First::counted;
  const bool whole = std::all_of(column.begin(), column.end(),
                                 [](const auto& f) { return parse_whole(f).has_value(); });
  return whole ? CsvColumns::First::whole_numbers : CsvColumns::First::other;
}

/// Drops columns at the end that are empty in every row and have no name. A test set keeps as many
/// columns as its training set has: the last ones may be targets that are not known.
void drop_trailing(LineReader& lines, const std::vector<std::string>& head, const Request& request,
                   std::vector<std::string>& first, CsvLayout& layout) {
  const Index kept = request.training != nullptr ? request.training->csv.columns : 0;
  const auto last_is_empty = [&](std::string_view line) {
    const auto fields = fields_of(line, layout.separator);
    return static_cast<Index>(fields.size()) == layout.columns + layout.trailing &&
           fields[static_cast<std::size_t>(layout.columns) - 1].empty();
  };
  const auto every_row = [&] {
    lines.rewind();
    for (std::string_view line; lines.next(line);)
      if (!last_is_empty(line)) return false;
    return true;
  };
  while (layout.columns > 1 && layout.columns > kept && head.size() > 1 && first.back().empty() &&
         std::all_of(head.begin(), head.end(), last_is_empty) && every_row()) {
    --layout.columns;
    ++layout.trailing;
    first.pop_back();
  }
  if (layout.trailing > 0)
    layout.notes.push_back(
        layout.trailing == 1
            ? std::string("the lines end with a separator: no column is read after it")
            : fmt::format("the lines end with {} separators: no columns are read after them",
                          layout.trailing));
}

/// Whether the first column is a table's index as pandas and R write it: without a name, and either
/// whole numbers or texts of which none is a number.
bool looks_like_index(const std::vector<std::string>& head, const CsvLayout& layout) {
  if (!layout.header || layout.columns < 2 || !is_unnamed_index(layout.names[0])) return false;
  const auto below = rows_below(head, layout);
  const auto whole = [](const auto& row) { return parse_whole(row[0]).has_value(); };
  const auto text = [](const auto& row) { return !is_missing(row[0]) && !parse_number(row[0]); };
  return !below.empty() && (std::all_of(below.begin(), below.end(), whole) ||
                            std::all_of(below.begin(), below.end(), text));
}

void find_index(const std::string& path, const std::vector<std::string>& head,
                const std::string& asked, CsvLayout& layout) {
  if (asked == "none" || (asked == "auto" && !looks_like_index(head, layout))) return;
  layout.index_column = 0;
  if (asked != "auto") {
    const auto columns = columns_named(path, asked, layout, "index");
    if (columns.size() != 1)
      throw InputError("{}: the index {}: one column is needed", path, quoted(asked));
    layout.index_column = columns[0];
  }
  layout.first = CsvColumns::First::other;
  const auto& name =
      layout.header ? layout.names[static_cast<std::size_t>(layout.index_column)] : "";
  layout.notes.push_back(
      fmt::format("column {} (counted from 0{}) was set aside as the index of the rows{}",
                  layout.index_column, name.empty() ? "" : fmt::format(", {}", name),
                  asked == "auto" ? " (`index` none makes it an input)" : ""));
}

/// Sets the targets as asked for, and all other columns but the index as inputs.
void choose_columns(const std::string& path, const Request& request, CsvLayout& layout) {
  const bool last = request.csv_target.empty();
  if (last)
    layout.targets = {layout.columns - 1};
  else if (request.csv_target != "none")
    layout.targets = columns_named(path, request.csv_target, layout, "target");
  for (Index target : layout.targets)
    if (target == layout.index_column)
      throw InputError("{}: column {} (counted from 0) is both the target and the index", path,
                       target);
  for (Index j = 0; j < layout.columns; ++j)
    if (j != layout.index_column &&
        std::find(layout.targets.begin(), layout.targets.end(), j) == layout.targets.end())
      layout.inputs.push_back(j);
  if (layout.inputs.empty())
    throw InputError("{}: {}: no inputs are left (`target` none makes every column an input)", path,
                     layout.columns == 1
                         ? "has one column, which is the target"
                         : fmt::format("none of its {} columns is an input", layout.columns));
  if (layout.first == CsvColumns::First::counted && layout.inputs.size() > 1 &&
      layout.inputs[0] == 0)
    layout.notes.push_back(
        fmt::format("column 0 (counted from 0){} numbers the rows and is an input (`index` 0 sets "
                    "it aside)",
                    layout.header ? fmt::format(", {},", layout.names[0]) : ""));
  if (layout.targets.empty()) return;
  const std::string where = layout.header
                                ? shortened(layout.targets, layout.names)
                                : fmt::format("column {} (counted from 0)", layout.targets[0]);
  if (request.text == Request::Text::left_out)
    layout.notes.push_back(
        fmt::format("{}{}{} was taken as the target and is no input (`target` none makes it one)",
                    last ? "the last column, " : "", where, last ? "," : ""));
  else if (!layout.header && layout.targets.size() == 1)
    layout.notes.push_back(fmt::format("no header; the target is {}", where));
}

}  // namespace

bool is_unnamed_index(std::string_view name) {
  return name.empty() || name == kPandasIndex;
}

bool counts_columns(const std::vector<std::string>& fields, std::size_t first) {
  for (std::size_t j = first; j < fields.size(); ++j)
    if (fields[j] != std::to_string(j - first)) return false;
  return fields.size() > first;
}

/// The separator that splits the first two rows into equally many columns: a comma where the second
/// row is then all numbers; else semicolon, tab or comma, the first that does; else blanks where
/// the second row is then all numbers; else whichever of the three splits the first row into most.
char find_separator(const std::vector<std::string>& head) {
  const std::string& last = head[std::min<std::size_t>(1, head.size() - 1)];
  const auto columns = [&](char separator) {
    const auto first = fields_of(head[0], separator).size();
    return first == fields_of(last, separator).size() ? first : std::size_t{0};
  };
  if (columns(',') > 1 && all_numbers(fields_of(last, ','))) return ',';
  for (char separator : {';', '\t', ','})
    if (columns(separator) > 1) return separator;
  if (columns(' ') > 1 && all_numbers(fields_of(last, ' '))) return ' ';
  const auto most = [&](char a, char b) {
    return fields_of(head[0], a).size() < fields_of(head[0], b).size();
  };
  constexpr std::array<char, 3> known{',', ';', '\t'};
  return *std::max_element(known.begin(), known.end(), most);
}

bool Fields::next(std::string_view& field) {
  if (end_) return false;
  if (separator_ == ' ') {
    const auto stop = std::find_if(rest_.begin(), rest_.end(), blank);
    field = {rest_.begin(), stop};
    rest_ = trimmed({stop, rest_.end()});
    end_ = rest_.empty();
    return true;
  }
  std::string_view start = rest_;
  while (!start.empty() && blank(start.front()) && start.front() != separator_)
    start.remove_prefix(1);
  if (!start.empty() && start.front() == '"') {
    const auto kept = rest_;
    rest_ = start;
    field = quoted_field();
    if (field.data() != nullptr) return true;
    rest_ = kept;  // a quote that does not enclose the field is part of its text
  }
  const auto stop = rest_.find(separator_);
  end_ = stop == std::string_view::npos;
  field = trimmed(rest_.substr(0, stop));
  rest_.remove_prefix(end_ ? rest_.size() : stop + 1);
  return true;
}

/// The quoted field at the start of the rest; one with data() == nullptr where there is none.
std::string_view Fields::quoted_field() {
  buffer_.clear();
  std::size_t i = 1;
  bool doubled = false;
  for (;; ++i) {
    if (i >= rest_.size()) return {};
    if (rest_[i] != '"') continue;
    if (i + 1 >= rest_.size() || rest_[i + 1] != '"') break;
    doubled = true;
    ++i;
  }
  std::string_view field = rest_.substr(1, i - 1);
  std::size_t after = i + 1;
  while (after < rest_.size() && rest_[after] != separator_) {
    if (!blank(rest_[after]) && rest_[after] != '\r') return {};
    ++after;
  }
  end_ = after >= rest_.size();
  rest_.remove_prefix(end_ ? rest_.size() : after + 1);
  if (!doubled) return field;
  for (std::size_t j = 0; j < field.size(); ++j) {
    buffer_ += field[j];
    if (field[j] == '"') ++j;
  }
  return buffer_;
}

std::vector<std::string> fields_of(std::string_view line, char separator) {
  std::vector<std::string> fields;
  Fields all(line, separator);
  for (std::string_view field; all.next(field);) fields.emplace_back(trimmed(field));
  return fields;
}

std::vector<Index> columns_named(const std::string& path, const std::string& text,
                                 const CsvLayout& layout, const char* what) {
  const auto& names = layout.names;
  const auto column = [&](const std::string& piece) {
    const auto found = std::find(names.begin(), names.end(), piece);
    if (found != names.end()) return static_cast<Index>(found - names.begin());
    const auto number = parse_whole(piece);
    if (number && *number >= -layout.columns && *number < layout.columns)
      return *number < 0 ? *number + layout.columns : *number;
    if (number)
      throw InputError("{}: there is no {} column {}: its columns are 0 to {}, or -{} to -1", path,
                       what, *number, layout.columns - 1, layout.columns);
    throw InputError("{}: there is no {} column {}: {}", path, what, quoted(piece),
                     layout.header ? fmt::format("the header names {}", shortened(names, 20))
                                   : "the file has no header, give the column's number from 0");
  };
  if (std::find(names.begin(), names.end(), text) != names.end()) return {column(text)};
  std::vector<Index> columns;
  for (std::size_t begin = 0; begin <= text.size();) {
    const auto comma = std::min(text.find(',', begin), text.size());
    const std::string piece(trimmed(std::string_view(text).substr(begin, comma - begin)));
    columns.push_back(column(piece));
    if (std::count(columns.begin(), columns.end(), columns.back()) > 1)
      throw InputError("{}: the {} column {} is given twice", path, what, quoted(piece));
    begin = comma + 1;
  }
  return columns;
}

CsvLayout lay_out(LineReader& lines, const Request& request) {
  const std::string& path = lines.path();
  auto head = head_of(lines);
  if (head[0].starts_with('#'))  // numpy.savetxt(header=...) writes the names as a comment
    head[0] = trimmed(std::string_view(head[0]).substr(1));
  const auto asked = [&](const std::string& option, std::string CsvColumns::*stored) {
    return option == "auto" && request.training != nullptr ? request.training->csv.*stored : option;
  };
  CsvLayout layout;
  layout.separator = find_separator(head);
  auto first = fields_of(head[0], layout.separator);
  layout.columns = static_cast<Index>(first.size());
  drop_trailing(lines, head, request, first, layout);
  layout.header = is_header(path, head, first, asked(request.csv_header, &CsvColumns::header),
                            request.training, layout);
  layout.first = first_column(head, layout);
  if (layout.header) {
    layout.names = std::move(first);
    expect_distinct(path, layout.names);
  }
  if (request.training != nullptr) {
    if (looks_like_index(head, layout)) layout.index_column = 0;
    match_columns(path, request, layout);
  } else {
    find_index(path, head, request.csv_index, layout);
    choose_columns(path, request, layout);
  }
  return layout;
}

}  // namespace mercer::data
