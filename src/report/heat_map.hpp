#pragma once

#include <string>

#include "mercer/report/plot.hpp"

namespace mercer::report {

/// gnuplot's commands for the panel of a plot with `cells`; leaves the settings of curves as they
/// were.
std::string heat_map_commands(const Plot& plot);

/// In gnuplot's single quotes, where only the quote itself is special.
std::string quoted(const std::string& text);

}  // namespace mercer::report
