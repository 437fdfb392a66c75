#pragma once

// What the experiments with Theorem 4.1 and Lemma 4.3 of [G] (arXiv 2307.14531) share: points on
// the circle, the NTK of one hidden ReLU layer with biases, its pairs, and a trained network.

#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "mercer/base/random.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "mercer/train/descend.hpp"
#include "support/fit.hpp"

namespace mercer::test {

inline arch::Options scales_with_biases() {
  arch::Options scales;
  scales.bias_std = 1;
  return scales;
}

inline std::shared_ptr<const kernel::Kernel> circle_kernel() {
  kernel::Options options;
  options.architecture = arch::fully_connected(1, "relu", scales_with_biases());
  return kernel::make(options);
}

inline net::Network circle_network(Index width, net::Start start) {
  return net::Network(
      arch::parse(fmt::format("dense({}) relu dense(1)", width), scales_with_biases()), 2,
      net::Parametrization::ntk, start);
}

/// (cos t, sin t) at the given angles, by rows.
inline dist::RowBlock<double> circle_points(const comm::Communicator& comm,
                                            const std::vector<double>& angles) {
  dist::RowBlock<double> X(comm, static_cast<Index>(angles.size()), 2);
  for (Index i = 0; i < X.local_rows(); ++i) {
    const double t = angles[static_cast<std::size_t>(X.first_row() + i)];
    X.row(i)[0] = std::cos(t), X.row(i)[1] = std::sin(t);
  }
  return X;
}

inline std::vector<double> equispaced(Index n, double offset) {
  std::vector<double> angles;
  for (Index i = 0; i < n; ++i)
    angles.push_back(2 * std::numbers::pi * (static_cast<double>(i) + offset) /
                     static_cast<double>(n));
  return angles;
}

inline std::vector<double> random_angles(Index n, std::uint64_t seed) {
  const Random random(seed, Stream::test);
  std::vector<double> angles;
  for (Index i = 0; i < n; ++i)
    angles.push_back(2 * std::numbers::pi * random.uniform(static_cast<std::uint64_t>(i)));
  return angles;
}

/// sum_f a_f sin(f t + f), one column by rows.
inline dist::RowBlock<double> waves(const comm::Communicator& comm,
                                    const std::vector<double>& angles,
                                    const std::vector<std::pair<int, double>>& amplitudes) {
  dist::RowBlock<double> Y(comm, static_cast<Index>(angles.size()), 1);
  for (Index i = 0; i < Y.local_rows(); ++i) {
    double y = 0;
    for (const auto& [f, a] : amplitudes)
      y += a * std::sin(f * angles[static_cast<std::size_t>(Y.first_row() + i)] + f);
    Y.row(i)[0] = y;
  }
  return Y;
}

}  // namespace mercer::test
