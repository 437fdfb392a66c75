#include "mercer/train/cost.hpp"

#include <algorithm>

#include "mercer/net/cost.hpp"

namespace mercer::train {
namespace {

double real(Index count) {
  return static_cast<double>(count);
}

/// The sum of p numbers over the ranks.
template <class T>
Cost gradient_sum_cost(const net::Network& network, double ranks) {
  return sum_cost(sizeof(T) * real(network.parameters()), ranks);
}

}  // namespace

template <class T>
Cost step_cost(const net::Network& network, Index rows, Index k, double ranks) {
  constexpr double kPasses = 4;  // the gradient is written and read, w read and written
  return net::gradient_cost<T>(network, rows, ranks) +
         Cost{.copied = kPasses * sizeof(T) * real(network.parameters())} +
         net::gemm_cost<T>(4 * real(k * network.outputs()) * real(rows), ranks) +
         gradient_sum_cost<T>(network, ranks);
}

template <class T>
Cost parameter_step_cost(double entries, Index k, double ranks) {
  Cost cost = sum_cost(8 * real(k), ranks);
  cost.flops += 4 * entries * real(k) * ranks;
  cost.copied += 2 * sizeof(T) * entries * real(k);
  return cost;
}

template <class T>
Cost parameter_cost(const net::Network& network, double entries, Index rows, Index k,
                    double ranks) {
  const Cost one =
      net::derivatives_cost<T>(network, rows, ranks) + gradient_sum_cost<T>(network, ranks);
  const double squares = 3 * entries * real(k) * real(k) * ranks;
  return real(k) * one + net::gemm_cost<T>(squares, ranks);
}

template <class T>
double parameter_bytes(double entries, Index k) {
  return sizeof(T) * entries * (real(k) + 1) + (8 + sizeof(T)) * real(k);
}

template <class T>
double parameter_workspace_bytes(const net::Network& network, Index rows, Index k, double memory) {
  const double m = real(rows), c = real(network.outputs()), d = real(network.inputs());
  // J^T v_i, and MPI's copy of it in the sum; of make_orthonormal() G and its copies in T.
  return sizeof(T) * (2 * real(network.parameters()) + m * (2 * d + 2 * c + c * real(k))) +
         (8 + 8 + 2 * sizeof(T)) * real(k) * real(k) + 2 * 8 * m * c +
         2 * net::Evaluator<T>::bytes(network, rows, memory / 2);
}

template <class T>
Cost rate_cost(const net::Network& network, Index rows, double ranks) {
  return net::derivatives_cost<T>(network, rows, ranks) + gradient_sum_cost<T>(network, ranks);
}

template <class T>
double row_set_bytes(const net::Network& network, Index rows, Index k) {
  return sizeof(T) * real(rows) * real(network.inputs() + network.outputs() + k);
}

template <class T>
double descend_bytes(const net::Network& network, Index rows, Index all_rows, Index k,
                     const Options& options, double memory) {
  const double p = real(network.parameters()), c = real(network.outputs()), m = real(rows);
  const bool guarded =
      options.safeguard && options.rate == 0 && (options.momentum == 0 || options.batch > 0);
  // g, the sum's buffer and the gradient of largest_eigenvalue(); then base_ or the anchor, and the
  // velocity.
  const double vectors = 3 + (guarded || options.path ? 1 : 0) + (options.momentum > 0 ? 1 : 0);
  double numbers = vectors * p + 4 * c * m;  // r, and three of its size for largest_eigenvalue()
  double bytes = net::Evaluator<T>::bytes(network, rows, memory) + 8 * (3 * c * real(k) + 3);
  if (options.batch > 0 && options.batch < all_rows && options.stochastic != Stochastic::block) {
    const Index most = std::min(options.batch, rows);
    numbers += 2 * c * m + real(most) * (real(network.inputs()) + real(k) + 2 * c);
    bytes += 8 * real(all_rows + most) + net::Evaluator<T>::bytes(network, most, memory);
  }
  return bytes + static_cast<double>(sizeof(T)) * numbers;
}

#define MERCER_INSTANTIATE(T)                                                                \
  template Cost parameter_step_cost<T>(double, Index, double);                               \
  template Cost parameter_cost<T>(const net::Network&, double, Index, Index, double);        \
  template double parameter_bytes<T>(double, Index);                                         \
  template double parameter_workspace_bytes<T>(const net::Network&, Index, Index, double);   \
  template Cost step_cost<T>(const net::Network&, Index, Index, double);                     \
  template Cost rate_cost<T>(const net::Network&, Index, double);                            \
  template double row_set_bytes<T>(const net::Network&, Index, Index);                       \
  template double descend_bytes<T>(const net::Network&, Index, Index, Index, const Options&, \
                                   double);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::train
