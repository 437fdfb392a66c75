#pragma once

#include <string>
#include <string_view>

#include "mercer/base/index.hpp"

namespace mercer::arch {

/// The text; of a long one, the 200 characters around `position`.
std::string excerpt(const std::string& text, Index position);
/// Throws InputError: architecture "TEXT": 'TOKEN' at character N: WHAT.
[[noreturn]] void fail_at(const std::string& text, Index position, std::string_view token,
                          std::string_view what);

}  // namespace mercer::arch
