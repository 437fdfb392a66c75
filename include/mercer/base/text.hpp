#pragma once

#include <string>
#include <string_view>

#include "mercer/base/index.hpp"

namespace mercer {

/// A count with its noun: "1 rank", "2 ranks", "0 ranks". `plural`: where it is not noun + "s".
std::string counted(Index count, std::string_view noun, std::string_view plural = {});

}  // namespace mercer
