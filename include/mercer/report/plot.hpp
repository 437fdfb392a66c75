#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "mercer/comm/communicator.hpp"

namespace mercer::report {

enum class Style { lines, points, linespoints };

struct Series {
  std::string label;
  std::vector<double> x, y;
  Style style = Style::lines;
  int colour = -1;  ///< series of equal number share a colour; -1: that of its index in the plot
  std::vector<double> error{};  ///< points with error bars of +- this, as many as y; empty: none
};

/// One panel.
struct Plot {
  std::string title, x_label, y_label;
  /// Asks for a logarithmic axis: values that are not positive are left out, and the axis is linear
  /// all the same where the others span a decade or less.
  bool log_x = false, log_y = false;
  std::vector<Series> series;
  /// In place of series: a square table of counts, drawn as a heat map with its rows from top to
  /// bottom, and the names of the classes (rows and columns). Shades are shares of each row; counts
  /// are printed for up to 20 classes, names for up to 40.
  std::vector<std::vector<double>> cells{};
  std::vector<std::string> names{};
  /// Where a logarithmic y axis starts if lower values exist; 0: at the lowest value.
  double y_from = 0;
};

enum class PictureFormat { svg, png, pdf };
/// The format that `path` ends in: .svg, .png or .pdf, in any case; SVG for a place that is not a
/// file (/dev/stdout). Throws InputError, naming `option`, for another ending. Local.
PictureFormat picture_format(const std::string& option, const std::string& path);

/// Draws the panels side by side into one file of the format that `path` ends in. Rank 0 runs
/// gnuplot as a child process and writes its output under a temporary name, which is renamed when
/// complete. Throws RunError on all ranks where gnuplot is missing or fails, or takes longer than
/// `limit` and is killed, or where the file cannot be written. Collective.
void write_picture(const comm::Communicator& comm, const std::string& path,
                   const std::vector<Plot>& panels,
                   std::chrono::seconds limit = std::chrono::seconds(60));

/// Throws InputError on all ranks where rank 0 finds no gnuplot, or one that does not answer or
/// cannot draw `format`: to be called before the work. Collective.
void require_gnuplot(const comm::Communicator& comm, PictureFormat format = PictureFormat::svg);

}  // namespace mercer::report
