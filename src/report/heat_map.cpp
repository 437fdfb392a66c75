#include "heat_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace mercer::report {
namespace {

constexpr std::size_t kWithCounts = 20;  // classes whose counts are legible
constexpr std::size_t kWithNames = 40;

/// At most 14 bytes of a name, cut between UTF-8 characters.
std::string shortened(const std::string& name) {
  constexpr std::size_t kMost = 14;
  if (name.size() <= kMost) return name;
  std::size_t end = kMost - 1;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return name.substr(0, end) + "~";
}

std::string tics(const std::vector<std::string>& names) {
  if (names.size() > kWithNames) return "autofreq";
  std::string text = "(";
  for (std::size_t i = 0; i < names.size(); ++i)
    text += fmt::format("{}{} {}", i ? ", " : "", quoted(shortened(names[i])), i);
  return text + ")";
}

/// Whether the names fit side by side.
bool beside(const std::vector<std::string>& names) {
  std::size_t longest = 0;
  for (const auto& name : names) longest = std::max(longest, shortened(name).size());
  return names.size() > kWithNames || longest * names.size() <= 36;
}

}  // namespace

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("\'\'") : std::string(1, c);
  return result + "'";
}

std::string heat_map_commands(const Plot& plot) {
  const std::size_t n = plot.cells.size();
  std::string data = "$cells << END\n";
  for (std::size_t i = 0; i < n; ++i) {
    const auto& row = plot.cells[i];
    const double total = std::reduce(row.begin(), row.end());
    for (std::size_t j = 0; j < row.size(); ++j)
      data += fmt::format("{} {} {:.6g} {:.10g}\n", j, i, total > 0 ? row[j] / total : 0, row[j]);
  }
  data += "END\n";
  std::string drawn = "$cells using 1:2:3 with image pixels notitle";
  if (n <= kWithCounts)  // white on the dark half of the palette
    drawn += fmt::format(
        ", $cells using 1:2:(sprintf('%.0f', $4)):($3 > 0.5 ? 0xffffff : 0x000000) with labels "
        "font ',{}' tc rgb variable notitle",
        n <= 6 ? 13 : (n <= 12 ? 10 : 7));
  return data + fmt::format(
                    "unset key\n"
                    "unset grid\n"
                    "unset logscale x\n"
                    "unset logscale y\n"
                    "set title {}  font ',14'\n"
                    "set xlabel {}\n"
                    "set ylabel {}\n"
                    "set palette defined (0 '#ffffff', 1 '#08519c')\n"
                    "set cbrange [0:1]\n"
                    "set format cb '%g'\n"
                    "set cblabel 'share of the true class'\n"
                    "set xtics {} {}noenhanced\n"
                    "set ytics {} noenhanced\n"
                    "set size square\n"
                    // Ranges of the plot command would leave those of a logarithmic panel before.
                    "set xrange [-0.5:{}]\n"
                    "set yrange [{}:-0.5]\n"
                    "plot {}\n"
                    "set xrange [*:*]\n"
                    "set yrange [*:*]\n"
                    "set size nosquare\n"
                    "set xtics norotate autofreq enhanced\n"
                    "set ytics autofreq enhanced\n"
                    "set grid lc rgb '#d0d0d0' lw 0.5\n",
                    quoted(plot.title), quoted(plot.x_label), quoted(plot.y_label),
                    tics(plot.names), beside(plot.names) ? "norotate " : "rotate by -45 ",
                    tics(plot.names), static_cast<double>(n) - 0.5, static_cast<double>(n) - 0.5,
                    drawn);
}

}  // namespace mercer::report
