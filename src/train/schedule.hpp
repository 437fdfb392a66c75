#pragma once

#include <cmath>

#include "mercer/base/index.hpp"

namespace mercer::train {

/// Whether step `step` is recorded: every `every` steps; for every = 0 the first 20 epochs of
/// `pieces` steps each and then each that passes a power of 1.05, about 200 of 100 000 epochs.
/// Pure.
inline bool record_due(Index step, Index every, Index pieces) {
  if (every > 0) return step % every == 0;
  if (step % pieces != 0) return false;
  const Index epoch = step / pieces;
  if (epoch <= 20) return true;
  const auto power = [](Index s) {
    return std::floor(std::log(static_cast<double>(s)) / std::log(1.05));
  };
  return power(epoch) > power(epoch - 1);
}

}  // namespace mercer::train
