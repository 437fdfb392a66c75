#include "mercer/base/random.hpp"

#include <Random123/philox.h>

#include <cmath>
#include <numbers>
#include <utility>

namespace mercer {
namespace {

/// The two uniforms on (0, 1] of one counter, each from 53 random bits.
std::pair<double, double> uniforms(std::uint64_t seed, std::uint32_t stream,
                                   std::uint32_t substream, std::uint64_t index) {
  const r123::Philox4x32::ctr_type counter{{static_cast<std::uint32_t>(index),
                                            static_cast<std::uint32_t>(index >> 32), stream,
                                            substream}};
  const r123::Philox4x32::key_type key{
      {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}};
  const auto bits = r123::Philox4x32{}(counter, key);
  const auto unit = [](std::uint32_t high, std::uint32_t low) {
    const std::uint64_t word = (static_cast<std::uint64_t>(high) << 32) | low;
    return (static_cast<double>(word >> 11) + 0.5) * 0x1p-53;
  };
  return {unit(bits[0], bits[1]), unit(bits[2], bits[3])};
}

}  // namespace

double Random::uniform(std::uint64_t index) const {
  return uniforms(seed_, stream_, substream_, index).first;
}

double Random::normal(std::uint64_t index) const {
  const auto [u, v] = uniforms(seed_, stream_, substream_, index);
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

}  // namespace mercer
