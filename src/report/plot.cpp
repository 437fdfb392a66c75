#include "mercer/report/plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "gnuplot.hpp"
#include "heat_map.hpp"
#include "mercer/comm/together.hpp"
#include "publish.hpp"

namespace mercer::report {
namespace {

// Okabe and Ito's colours, told apart by colour-blind readers too.
constexpr const char* kColours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                    "#E69F00", "#56B4E9", "#000000"};

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

/// What one axis shows.
struct Extent {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void add(double value) { low = std::min(low, value), high = std::max(high, value); }
};

/// Commands for the axis 'x' or 'y'. The range of a logarithmic axis is that of the data, not whole
/// decades; over one decade or less the axis is linear, so that it has labels.
std::string axis(char name, bool logarithmic, const Extent& of, double margin) {
  const double decades = of.high > 0 ? std::log10(of.high / of.low) : 0;
  if (!logarithmic || !(decades > 1))
    return fmt::format(
        "unset logscale {0}\nset format {0} '%g'\nset {0}range [*:*]\nset {0}tics auto\n", name);
  std::string tics = "auto";
  if (decades < 3) {
    tics.clear();
    for (int decade = static_cast<int>(std::floor(std::log10(of.low)));
         decade <= std::log10(of.high); ++decade)
      for (const int digit : {1, 2, 5})
        tics += fmt::format("{}{}e{}", tics.empty() ? "(" : ", ", digit, decade);
    tics += ")";
  }
  const double beyond = std::pow(10, margin * decades);
  return fmt::format(
      "set logscale {0}\nset format {0} '{1}'\nset {0}range [{2:.6g}:{3:.6g}]\nset {0}tics {4}\n",
      name, decades < 3 ? "%g" : "10^{%L}", of.low / beyond, of.high * beyond, tics);
}

std::string panel_commands(const Plot& plot) {
  if (!plot.cells.empty()) return heat_map_commands(plot);
  std::string data, curves;
  int shown = 0;
  Extent of_x, of_y;
  for (std::size_t s = 0; s < plot.series.size(); ++s) {
    const Series& series = plot.series[s];
    std::string points;
    for (std::size_t i = 0; i < series.x.size(); ++i)
      if (can_be_shown(plot, series.x[i], series.y[i])) {
        points += fmt::format("{:.10g} {:.10g}", series.x[i], series.y[i]);
        points += series.error.empty() ? "\n" : fmt::format(" {:.10g}\n", series.error[i]);
        of_x.add(series.x[i]);
        of_y.add(series.y[i]);
      }
    if (points.empty()) continue;
    data += fmt::format("$series{} << END\n{}END\n", s, points);
    curves += fmt::format("{}$series{} using {} with {} lc rgb '{}' {}", shown++ ? ", " : "", s,
                          series.error.empty() ? "1:2" : "1:2:3",
                          series.error.empty() ? drawn_as(series.style) : "yerrorbars pt 7 ps 0.35",
                          colour_of(series, s),
                          series.label.empty() ? "notitle" : "title " + quoted(series.label));
  }
  if (plot.y_from > 0) of_y.low = std::max(of_y.low, plot.y_from);
  if (shown == 0) {
    data = "set label 1 'no data' at graph 0.5, 0.5 center\n";
    curves = "[1:10] [1:10] NaN notitle";
  }
  return data + (shown > 1 ? "set key\n" : "unset key\n") +
         fmt::format(
             "set title {} font ',14'\n"
             "set xlabel {}\n"
             "set ylabel {}\n"
             "{}{}"
             "plot {}\n"
             "unset label 1\n",
             quoted(plot.title), quoted(plot.x_label), quoted(plot.y_label),
             axis('x', plot.log_x, of_x, 0), axis('y', plot.log_y, of_y, 0.04), curves);
}

/// gnuplot's terminal: in every format a panel is 560 x 420 CSS pixels (1/96 inch); the PNG has
/// twice as many pixels each way.
std::string terminal(PictureFormat format, std::size_t panels) {
  const double width = 560 * static_cast<double>(panels), height = 420;
  switch (format) {
    case PictureFormat::png:
      return fmt::format(
          "pngcairo size {},{} enhanced font 'Helvetica,12' fontscale 2 linewidth 2 pointscale 2 "
          "background rgb 'white'",
          2 * width, 2 * height);
    case PictureFormat::pdf:
      return fmt::format(
          "pdfcairo size {:.4f}in,{:.4f}in enhanced font 'Helvetica,9' background rgb 'white'",
          width / 96, height / 96);
    case PictureFormat::svg:
      break;
  }
  return fmt::format("svg size {},{} dynamic enhanced font 'Helvetica,12' background rgb 'white'",
                     width, height);
}

std::string script(PictureFormat format, const std::vector<Plot>& panels) {
  std::string text = fmt::format(
      "set terminal {}\n"
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
      terminal(format, panels.size()), panels.size());
  for (const Plot& plot : panels) text += panel_commands(plot);
  return text + "unset multiplot\n";
}

/// Whether `picture` is complete: a gnuplot that is stopped leaves half of one.
bool complete(PictureFormat format, const std::string& picture) {
  switch (format) {
    case PictureFormat::png:
      return picture.starts_with("\x89PNG") && picture.find("IEND") != std::string::npos;
    case PictureFormat::pdf:
      return picture.starts_with("%PDF") && picture.find("%%EOF") != std::string::npos;
    case PictureFormat::svg:
      break;
  }
  return picture.ends_with("</svg>\n\n");
}

}  // namespace

PictureFormat picture_format(const std::string& option, const std::string& path) {
  if (is_special(path)) return PictureFormat::svg;
  const std::string suffix = lower_suffix(path);
  if (suffix == ".svg") return PictureFormat::svg;
  if (suffix == ".png") return PictureFormat::png;
  if (suffix == ".pdf") return PictureFormat::pdf;
  throw InputError("{} {}: give a name that ends in .svg, .png or .pdf", option, path);
}

void write_picture(const comm::Communicator& comm, const std::string& path,
                   const std::vector<Plot>& panels, std::chrono::seconds limit) {
  comm::together(comm, [&] {
    if (!comm.root()) return;
    const PictureFormat format = picture_format("picture", path);
    const GnuplotRun run = run_gnuplot(script(format, panels), limit);
    if (!run.found) throw RunError("{}: there is no gnuplot on this machine", path);
    if (!run.in_time) throw RunError("{}: gnuplot did not end within {} s", path, limit.count());
    if (!run.ok || !complete(format, run.drawn)) {
      std::string said;
      std::getline(std::istringstream(run.said) >> std::ws, said);
      throw RunError("{}: gnuplot drew nothing: {}", path,
                     said.empty() ? "it gave no reason" : said);
    }
    publish(path, run.drawn);
  });
}

void require_gnuplot(const comm::Communicator& comm, PictureFormat format) {
  comm::together(comm, [&] {
    if (!comm.root()) return;
    const auto try_out = [](const char* terminal) {
      return run_gnuplot(fmt::format("set terminal {}\n", terminal), std::chrono::seconds(20));
    };
    const char* name = "svg";
    if (format == PictureFormat::png) name = "pngcairo";
    if (format == PictureFormat::pdf) name = "pdfcairo";
    const auto run = try_out(name);
    if (!run.found)
      throw InputError(
          "`plot`: there is no gnuplot on this machine: install it or leave `plot` out");
    if (!run.in_time)
      throw InputError("`plot`: gnuplot on this machine does not answer: leave `plot` out");
    if (!run.ok && format != PictureFormat::svg)
      throw InputError("`plot`: this gnuplot cannot draw {} (it has no {}): give a .svg",
                       format == PictureFormat::png ? "PNG" : "PDF", name);
  });
}

}  // namespace mercer::report
