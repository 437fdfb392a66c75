#include "mercer/report/plot.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "mercer/comm/together.hpp"
#include "mercer/dist/temporary.hpp"
#include "publish.hpp"

namespace mercer::report {
namespace {

namespace fs = std::filesystem;

// Okabe and Ito's colours, told apart by colour-blind readers too.
constexpr const char* kColours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                    "#E69F00", "#56B4E9", "#000000"};

/// One word of a shell command.
std::string for_shell(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

/// In gnuplot's single quotes, where only the quote itself is special.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("''") : std::string(1, c);
  return result + "'";
}

std::string drawn_as(Style style) {
  switch (style) {
    case Style::points:
      return "points pt 7 ps 0.35";
    case Style::linespoints:
      return "linespoints lw 1.5 pt 7 ps 0.35";
    default:
      return "lines lw 2";
  }
}

const char* colour_of(const Series& series, std::size_t place) {
  const std::size_t at = series.colour >= 0 ? static_cast<std::size_t>(series.colour) : place;
  return kColours[at % std::size(kColours)];
}

bool can_be_shown(const Plot& plot, double x, double y) {
  return std::isfinite(x) && std::isfinite(y) && (!plot.log_x || x > 0) && (!plot.log_y || y > 0);
}

std::string panel_commands(const Plot& plot) {
  std::string data, curves;
  int shown = 0;
  for (std::size_t s = 0; s < plot.series.size(); ++s) {
    const Series& series = plot.series[s];
    std::string points;
    for (std::size_t i = 0; i < series.x.size(); ++i)
      if (can_be_shown(plot, series.x[i], series.y[i]))
        points += fmt::format("{:.10g} {:.10g}\n", series.x[i], series.y[i]);
    if (points.empty()) continue;
    data += fmt::format("$series{} << END\n{}END\n", s, points);
    curves += fmt::format("{}$series{} using 1:2 with {} lc rgb '{}' {}", shown++ ? ", " : "", s,
                          drawn_as(series.style), colour_of(series, s),
                          series.label.empty() ? "notitle" : "title " + quoted(series.label));
  }
  if (shown == 0) {
    data = "set label 1 'no data' at graph 0.5, 0.5 center\n";
    curves = "[1:10] [1:10] NaN notitle";
  }
  return data + (shown > 1 ? "set key\n" : "unset key\n") +
         fmt::format(
             "set title {} font ',14'\n"
             "set xlabel {}\n"
             "set ylabel {}\n"
             "{} logscale x\n"
             "{} logscale y\n"
             "set format x '{}'\n"
             "set format y '{}'\n"
             "plot {}\n"
             "unset label 1\n",
             quoted(plot.title), quoted(plot.x_label), quoted(plot.y_label),
             plot.log_x ? "set" : "unset", plot.log_y ? "set" : "unset",
             plot.log_x ? "10^{%L}" : "%g", plot.log_y ? "10^{%L}" : "%g", curves);
}

std::string script(const std::string& target, const std::vector<Plot>& panels) {
  std::string text = fmt::format(
      "set terminal svg size {},420 dynamic enhanced font 'Helvetica,12' background rgb 'white'\n"
      "set output {}\n"
      "set grid lc rgb '#d0d0d0' lw 0.5\n"
      "set border lc rgb '#606060'\n"
      "set bmargin 6\n"
      "set key bmargin center horizontal noenhanced samplen 2\n"
      "set offsets 0, 0, graph 0.03, graph 0.03\n"
      "set tics nomirror\n"
      "set xlabel noenhanced offset 0,0.4\n"
      "set ylabel noenhanced\n"
      "set title noenhanced\n"
      "set multiplot layout 1,{}\n",
      560 * panels.size(), quoted(target), panels.size());
  for (const Plot& plot : panels) text += panel_commands(plot);
  return text + "unset multiplot\nunset output\n";
}

}  // namespace

void write_svg(const comm::Communicator& comm, const std::string& path,
               const std::vector<Plot>& panels) {
  comm::together(comm, [&] {
    if (!comm.root()) return;
    std::error_code ignored;
    fs::path scratch = fs::temp_directory_path(ignored);
    if (ignored) scratch = ".";
    const std::string stem = dist::temporary_name(scratch / "mercer-plot");
    const std::string commands = stem + ".gp", picture = stem + ".svg", messages = stem + ".log";
    std::ofstream(commands) << script(picture, panels);
    const std::string command = fmt::format("{{ gnuplot {} > {} 2>&1; }} < /dev/null 2> /dev/null",
                                            for_shell(commands), for_shell(messages));
    const int status = std::system(command.c_str());
    std::string said;
    std::getline(std::ifstream(messages) >> std::ws, said);
    std::ostringstream drawing;
    drawing << std::ifstream(picture).rdbuf();
    for (const auto& leftover : {commands, messages, picture}) fs::remove(leftover, ignored);
    if (status != 0 || !drawing.str().ends_with("</svg>\n\n"))
      throw RunError("{}: gnuplot drew nothing: {}", path,
                     said.empty() ? "it says nothing about why" : said);
    publish(path, drawing.str());
  });
}

void require_gnuplot(const comm::Communicator& comm) {
  comm::together(comm, [&] {
    if (comm.root() && std::system("command -v gnuplot > /dev/null 2>&1") != 0)
      throw InputError(
          "--plot: there is no gnuplot on this machine: install it or leave --plot out");
  });
}

}  // namespace mercer::report
