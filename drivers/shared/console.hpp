#pragma once

#include <cstdio>
#include <string>

namespace mercer::drivers {

/// Writes all of `text` to standard output or standard error, and on to whoever reads it. What
/// cannot be written is lost, and lost_output() says so. Local.
void print(std::FILE* stream, const std::string& text);

/// Why something that was printed on standard output is lost ("No space left on device"); empty
/// where nothing is. Local.
std::string lost_output();

/// The program has the option --NAME. Local.
void know_option(const std::string& name);

/// A message of the library, which names fields of its options in backticks, as a user of the
/// drivers knows them: "`top` 300: K has ..." -> "--top 300: K has ...". Other words in backticks
/// stay. Local.
std::string with_options(const std::string& message);

}  // namespace mercer::drivers
