#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mercer/base/index.hpp"

namespace mercer {

/// A count with its noun: "1 rank", "2 ranks", "0 ranks". `plural`: needed where it is not noun +
/// "s".
std::string counted(Index count, std::string_view noun, std::string_view plural = {});

/// Splits at `separator`: "a,b" -> "a", "b"; "" -> one empty text.
std::vector<std::string> words(const std::string& text, char separator = ',');
/// "0.1,1e-3" -> numbers. Throws InputError, with `name` and the piece that is not a number, also
/// where there is none.
std::vector<double> parse_numbers(const std::string& name, const std::string& text);
/// The same for whole numbers from `least` to `most`, and for numbers above 0 up to 1. Throw
/// InputError also for others.
std::vector<Index> parse_whole_numbers(const std::string& name, const std::string& text,
                                       double least, double most);
std::vector<double> parse_shares(const std::string& name, const std::string& text);
/// The same for one number. Throws InputError for several.
double parse_number(const std::string& name, const std::string& text);

/// `text` for a message, which may quote a user's file name or attribute: control characters are
/// escaped, and all after the first 4000 bytes is cut off.
std::string in_one_line(const std::string& text);

}  // namespace mercer
