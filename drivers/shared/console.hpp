#pragma once

#include <cstdio>
#include <string>

namespace mercer::drivers {

/// Writes `text` to standard output or standard error and flushes it. Throws nothing: what could
/// not be written on standard output, lost_output() tells. Local.
void print(std::FILE* stream, const std::string& text);

/// Why text for standard output could not be written ("No space left on device"): the first failure
/// since the start; empty where all was written. Local.
std::string lost_output();

/// Tells with_options() that the program has the option --NAME. Local.
void know_option(const std::string& name);

/// A message of the library, which names fields of its options in backticks, with the drivers'
/// options instead: "`top` 300: K has ..." -> "--top 300: K has ...". Other words in backticks
/// stay. Local.
std::string with_options(const std::string& message);

}  // namespace mercer::drivers
