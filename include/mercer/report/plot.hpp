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
  int colour = -1;  ///< series of the same number share one; -1: that of its place
};

/// One panel.
struct Plot {
  std::string title, x_label, y_label;
  /// Logarithmic where the values span more than a decade; linear otherwise, as without them.
  bool log_x = false, log_y = false;
  std::vector<Series> series;
  /// A square table of counts in place of curves, drawn as a heat map: row by row from the top, and
  /// the names of its rows and columns. Shades tell the share of each row; the counts are printed
  /// where they are legible.
  std::vector<std::vector<double>> cells{};
  std::vector<std::string> names{};
  /// Where a logarithmic y axis starts, above the lowest values; 0: with them.
  double y_from = 0;
};

/// What a picture's name asks for: .svg, .png or .pdf, in capitals too; a place that is no file
/// (/dev/stdout) gets SVG. Throws InputError, naming `option`, for another ending. Local.
enum class PictureFormat { svg, png, pdf };
PictureFormat picture_format(const std::string& option, const std::string& path);

/// Draws the panels side by side into one file of the format that `path` ends in, by gnuplot as a
/// child process of rank 0, under a temporary name that is renamed when complete. Points that a
/// logarithmic axis cannot show are left out. Throws RunError on all ranks where gnuplot is
/// missing, fails, or takes longer than `limit`, when it is killed. Collective.
void write_picture(const comm::Communicator& comm, const std::string& path,
                   const std::vector<Plot>& panels,
                   std::chrono::seconds limit = std::chrono::seconds(60));

/// Throws InputError on all ranks where there is no gnuplot, or one that does not draw `format`: to
/// be called before the work. Collective.
void require_gnuplot(const comm::Communicator& comm, PictureFormat format = PictureFormat::svg);

}  // namespace mercer::report
