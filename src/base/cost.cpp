#include "mercer/base/cost.hpp"

#include <algorithm>
#include <cmath>

namespace mercer {
namespace {

/// Everything but bytes.
constexpr double Cost::*kCounts[] = {
    &Cost::flops,     &Cost::gemm,    &Cost::gemm_single, &Cost::skinny,  &Cost::skinny_single,
    &Cost::dots,      &Cost::entries, &Cost::prepared,    &Cost::columns, &Cost::passes,
    &Cost::converted, &Cost::copied,  &Cost::touched,     &Cost::sent,    &Cost::network,
    &Cost::summed,    &Cost::messages};

}  // namespace

Cost& Cost::operator+=(const Cost& other) {
  for (const auto count : kCounts) this->*count += other.*count;
  bytes = std::max(bytes, other.bytes);
  return *this;
}

Cost operator*(double times, Cost cost) {
  for (const auto count : kCounts) cost.*count *= times;
  return cost;
}

Cost sum_cost(double bytes, double ranks) {
  if (ranks <= 1) return {};
  return {.summed = 2 * (1 - 1 / ranks) * bytes, .messages = 2 * std::ceil(std::log2(ranks))};
}

}  // namespace mercer
