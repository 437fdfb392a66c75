// The NTK matrix of n points equispaced on the circle is circulant: its largest eigenvalue is a
// cosine sum of one row, and its trace is k(x, x) = 2 for unit vectors and one hidden ReLU layer.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <vector>

#include "mercer/arch/architecture.hpp"
#include "mercer/base/version.hpp"
#include "mercer/comm/environment.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/kernel/kernel.hpp"
#include "mercer/krr/fit.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "mercer/spectral/eigenpairs.hpp"

int main(int argc, char** argv) {
  using mercer::Index;
  mercer::comm::Environment mpi(argc, argv);
  const auto world = mercer::comm::Communicator::world();
  constexpr Index n = 60;
  const auto angle = [](Index i) { return 2 * std::numbers::pi * static_cast<double>(i) / n; };

  mercer::dist::RowBlock<double> X(world, n, 2);
  for (Index i = 0; i < X.local_rows(); ++i) {
    X.row(i)[0] = std::cos(angle(X.first_row() + i));
    X.row(i)[1] = std::sin(angle(X.first_row() + i));
  }
  const auto kernel =
      mercer::kernel::make({.architecture = mercer::arch::parse("dense relu dense")});
  const mercer::dist::ProcessGrid grid(world);
  auto pairs =
      mercer::spectral::eigenpairs(mercer::gram::assemble<double>(*kernel, X, grid, {.nb = 8}));

  mercer::Matrix<double> points(2, n), row(1, n);
  for (Index i = 0; i < n; ++i) {
    points(0, i) = std::cos(angle(i));
    points(1, i) = std::sin(angle(i));
  }
  const auto rows = kernel->prepare(points.copy());
  kernel->tile(*rows, 0, *rows, 0, row.view());
  double largest = 0;
  for (Index f = 0; f < n; ++f) {
    double sum = 0;
    for (Index j = 0; j < n; ++j) sum += row(0, j) * std::cos(angle(f * j)) / n;
    largest = std::max(largest, sum);
  }
  double trace = 0;
  for (const double value : pairs.values) trace += value;

  const bool right = pairs.k() == n && std::abs(trace - 2) <= 1e-12 * n &&
                     std::abs(pairs.values[0] - largest) <= 1e-12 * n;
  if (world.root())
    std::printf("mercer %s on %d ranks: lambda_1 = %.15g (cosine sum %.15g), trace %.15g: %s\n",
                mercer::version().c_str(), world.size(), pairs.values[0], largest, trace,
                right ? "right" : "WRONG");
  return right ? 0 : 1;
}
