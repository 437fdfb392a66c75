#pragma once

#include <string>

#include "mercer/report/plot.hpp"

namespace mercer::report {

/// gnuplot's commands for the panel of a plot with `cells`; restores the settings for panels of
/// curves.
std::string heat_map_commands(const Plot& plot);

/// `text` in gnuplot's single quotes, where only the quote itself is special.
std::string quoted(const std::string& text);

}  // namespace mercer::report
