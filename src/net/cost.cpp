#include "mercer/net/cost.hpp"

#include <type_traits>

namespace mercer::net {
namespace {

/// How often a step writes and reads the patches of a convolution, and how many numbers the start
/// of each run of adjacent ones costs (of a filter's row: its width times the channels). Fitted to
/// steps of LeNet-5 and of three layers of 64 channels.
constexpr double kPassesOverPatches = 2, kStartOfARun = 20;

/// Biases, activations and their derivatives, and patches, at the rate of copies.
template <class T>
Cost unit_cost(const Network& network, Index rows, double ranks) {
  double numbers = 0;
  for (const auto& layer : network.layers()) {
    numbers += kPassesOverUnits * static_cast<double>(layer.outputs());
    if (!layer.conv) continue;
    const auto run = static_cast<double>(layer.conv->filter.f2 * layer.conv->in.channels);
    numbers += kPassesOverPatches * (1 + kStartOfARun / run) *
               static_cast<double>(layer.fan_in * layer.pixels());
  }
  return {.copied = sizeof(T) * numbers * static_cast<double>(network.copies() * rows) / ranks};
}

/// `flops` of a network's products, at the rates that their widths reach: those with w inputs or
/// units reach w/(w + 6) of a square product's (measured with 6 to 576).
template <class T>
Cost products_cost(const Network& network, double flops, double ranks) {
  constexpr double kNarrow = 6;
  const auto share = [](Index width) {
    return static_cast<double>(width) / (static_cast<double>(width) + kNarrow);
  };
  double all = 0, at_full_rate = 0;
  for (const auto& layer : network.layers()) {
    const double count = static_cast<double>(layer.fan_in) * static_cast<double>(layer.outputs());
    all += count;
    at_full_rate += count / (share(layer.fan_in) * share(layer.fan_out));
  }
  Cost cost = gemm_cost<T>(flops * (all > 0 ? at_full_rate / all : 1), ranks);
  cost.flops = flops;
  return cost;
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
  return products_cost<T>(network, network.gradient_flops() * static_cast<double>(rows), ranks) +
         unit_cost<T>(network, rows, ranks);
}

template <class T>
Cost derivatives_cost(const Network& network, Index rows, double ranks) {
  return products_cost<T>(network, 4 * network.forward_flops() * static_cast<double>(rows), ranks) +
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
