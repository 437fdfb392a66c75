#pragma once

#include <cmath>

#include "mercer/base/index.hpp"

namespace mercer::train {

/// Whether step `step` is recorded: every `every` steps; for every = 0 the steps up to 20 and then
/// each that passes a power of 1.05, about 200 of 100 000 steps. Pure.
inline bool record_due(Index step, Index every) {
  if (every > 0) return step % every == 0;
  if (step <= 20) return true;
  const auto power = [](Index s) {
    return std::floor(std::log(static_cast<double>(s)) / std::log(1.05));
  };
  return power(step) > power(step - 1);
}

}  // namespace mercer::train
