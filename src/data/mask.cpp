// Reads the mask of a split, which says for each row of a table whether it is a test row: a column
// of a CSV file, or of an array.
#include <algorithm>

#include "array_file.hpp"
#include "csv_columns.hpp"
#include "mercer/comm/together.hpp"
#include "notes.hpp"
#include "read_set.hpp"

namespace mercer::data {
namespace {

constexpr Index kPanelRows = 65536;

/// The table that a mask belongs to.
struct Table {
  const std::string& name;  ///< its SPEC
  Index rows;
};

[[noreturn]] void refuse_length(const std::string& path, Index rows, const Table& table,
                                bool header) {
  throw InputError("`split`: the mask {} has {} rows{}, but {} has {}: give one for each row", path,
                   rows, header ? " below its header" : "", table.name, table.rows);
}

std::string columns_of(const std::string& path, const CsvLayout& layout) {
  return fmt::format("{}:COLUMN, {}a position from 0 to {}", path,
                     layout.header ? fmt::format("one of {} or ", shortened(layout.names, 20)) : "",
                     layout.columns - 1);
}

/// The column that is asked for, else the only one, or the only one beside an index without a name.
Index find_column(const MaskSpec& mask, const CsvLayout& layout) {
  if (!mask.column.empty()) {
    const auto columns = columns_named(mask.path, mask.column, layout, "split");
    if (columns.size() != 1)
      throw InputError("`split`: {} names {} columns: write {}", quoted(mask.column),
                       columns.size(), columns_of(mask.path, layout));
    return columns[0];
  }
  if (layout.columns == 1) return 0;
  if (layout.columns == 2 && layout.header && is_unnamed_index(layout.names[0])) return 1;
  throw InputError("`split`: {} has {} columns: write {}", mask.path, layout.columns,
                   columns_of(mask.path, layout));
}

/// Whether the first row names the columns: texts that are not values, no name above an index, or
/// 0, 1, 2, ...
bool names_columns(const std::vector<std::string>& first) {
  const auto value = [](const std::string& f) { return parse_number(f) || parse_truth(f); };
  return std::none_of(first.begin(), first.end(), value) || is_unnamed_index(first[0]) ||
         (first.size() > 2 && counts_columns(first, 0));
}

/// Where there is one line more than the table has rows, the first is a header, whatever it holds.
CsvLayout mask_layout(LineReader& lines, const Table& table) {
  std::vector<std::string> head;
  Index count = 0;
  for (std::string_view line; lines.next(line); ++count)
    if (head.size() < 2) head.emplace_back(line);
  if (count == 0) throw InputError("{}: the file has no rows, only blank lines", lines.path());
  if (head[0].starts_with('#')) head[0] = trimmed(std::string_view(head[0]).substr(1));
  CsvLayout layout;
  layout.separator = find_separator(head);
  auto first = fields_of(head[0], layout.separator);
  layout.columns = static_cast<Index>(first.size());
  layout.header = count == table.rows + 1;
  const bool names = names_columns(first);
  if (!layout.header && (names || count != table.rows))
    refuse_length(lines.path(), names ? count - 1 : count, table, names);
  if (layout.header) layout.names = std::move(first);
  return layout;
}

char mask_value(const MaskSpec& mask, Index line, Index column, std::string_view field) {
  const auto truth = parse_truth(field);
  const auto value = truth ? truth : parse_number(field);
  if (value && (*value == 0 || *value == 1)) return *value == 1 ? 1 : 0;
  throw InputError("`split`: {}: row {}, column {} (counted from 1): {} is not 0, 1, False or True",
                   mask.path, line, column + 1, quoted(field));
}

std::vector<char> read_csv(const MaskSpec& mask, const Table& table) {
  LineReader lines(mask.path);
  const CsvLayout layout = mask_layout(lines, table);
  const Index wanted = find_column(mask, layout);
  std::vector<char> values;
  values.reserve(static_cast<std::size_t>(table.rows));
  std::string_view line;
  lines.rewind();
  if (layout.header) lines.next(line);
  while (lines.next(line)) {
    Fields fields(line, layout.separator);
    std::string_view field;
    for (Index j = 0; j <= wanted; ++j)
      if (!fields.next(field))
        throw InputError(
            "`split`: {}: row {} (counted from 1) has {} columns, the first row has {}", mask.path,
            lines.number(), j, layout.columns);
    values.push_back(mask_value(mask, lines.number(), wanted, field));
  }
  return values;
}

std::vector<char> read_npy(const MaskSpec& mask, const Table& table) {
  auto file = ArrayFile::npy(mask.path);
  if (file.layout().texts())
    throw InputError("`split`: {}: holds texts: an array of booleans, or of 0 and 1, is needed",
                     mask.path);
  if (file.rows() != table.rows) refuse_length(mask.path, file.rows(), table, false);
  CsvLayout layout;
  layout.columns = file.cols();
  const Index wanted = find_column(mask, layout);
  std::vector<char> values;
  std::vector<double> panel;
  const Index step = std::max<Index>(1, kPanelRows / file.cols());
  for (Index first = 0; first < table.rows; first += step) {
    const Index count = std::min(step, table.rows - first);
    panel.resize(static_cast<std::size_t>(count * file.cols()));
    file.read(first, count, panel.data(), file.cols());
    for (Index i = 0; i < count; ++i) {
      const double value = panel[static_cast<std::size_t>(i * file.cols() + wanted)];
      values.push_back(mask_value(mask, first + i + 1, wanted, fmt::format("{}", value)));
    }
  }
  return values;
}

}  // namespace

std::vector<char> read_mask(const std::string& split, const Spec& spec, Index rows,
                            const comm::Communicator& comm) {
  const MaskSpec mask = parse_mask_spec(split);
  const Table table{spec.text, rows};
  std::vector<char> values;
  comm::together(comm, [&] {
    if (comm.root()) values = mask.npy ? read_npy(mask, table) : read_csv(mask, table);
    values.resize(static_cast<std::size_t>(rows));
  });
  comm.broadcast(std::span<char>(values), 0);
  return values;
}

}  // namespace mercer::data
