#include "mercer/net/cost.hpp"

#include <type_traits>

namespace mercer::net {
namespace {

/// How often a step writes and reads the patches of a convolution.
constexpr double kPassesOverPatches = 6;

/// Biases, activations and their derivatives, and patches, at the rate of copies.
template <class T>
Cost unit_cost(const Network& network, Index rows, double ranks) {
  double numbers = 0;
  for (const auto& layer : network.layers()) {
    numbers += kPassesOverUnits * static_cast<double>(layer.outputs());
    if (layer.conv)
      numbers += kPassesOverPatches * static_cast<double>(layer.fan_in * layer.pixels());
  }
  return {.copied = sizeof(T) * numbers * static_cast<double>(network.copies() * rows) / ranks};
}

}  // namespace

template <class T>
Cost gemm_cost(double flops, double ranks) {
  constexpr double kShare = 0.85;  // of gemm's rate
  Cost cost{.flops = flops};
  (std::is_same_v<T, float> ? cost.gemm_single : cost.gemm) = flops / (ranks * kShare);
  return cost;
}

template <class T>
Cost gradient_cost(const Network& network, Index rows, double ranks) {
  return gemm_cost<T>(network.gradient_flops() * static_cast<double>(rows), ranks) +
         unit_cost<T>(network, rows, ranks);
}

template <class T>
Cost derivatives_cost(const Network& network, Index rows, double ranks) {
  return gemm_cost<T>(4 * network.forward_flops() * static_cast<double>(rows), ranks) +
         unit_cost<T>(network, rows, ranks);
}

#define MERCER_INSTANTIATE(T)                                    \
  template Cost gemm_cost<T>(double, double);                    \
  template Cost gradient_cost<T>(const Network&, Index, double); \
  template Cost derivatives_cost<T>(const Network&, Index, double);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::net
