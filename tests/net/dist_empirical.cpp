// The empirical tangent kernel over process grids, and what goes with it by rows.
#include <gtest/gtest.h>

#include <cmath>

#include "mercer/base/random.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/net/empirical.hpp"
#include "support/compare.hpp"
#include "support/grids.hpp"

namespace mercer::net {
namespace {

constexpr Index kRows = 83, kInputs = 6, kOutputs = 3;

dist::RowBlock<double> inputs(const comm::Communicator& comm, Index n = kRows) {
  const Random random(5, Stream::test);
  dist::RowBlock<double> X(comm, n, kInputs);
  for (Index i = 0; i < X.local_rows(); ++i)
    for (Index k = 0; k < kInputs; ++k)
      X.row(i)[static_cast<std::size_t>(k)] =
          random.normal(static_cast<std::uint64_t>((X.first_row() + i) * kInputs + k));
  return X;
}

Network network(Start start = Start::gaussian) {
  return Network(arch::parse("dense(33) gelu res(dense(20) relu dense(33)) dense(3)",
                             {.weight_std = 1.3, .bias_std = 0.2}),
                 kInputs, Parametrization::ntk, start);
}

/// k(x_i, x_j) of all rows, by one process.
Matrix<double> serial(const kernel::Kernel& kernel, const dist::RowBlock<double>& X) {
  const auto rows = kernel.prepare(dist::all_rows(X));
  Matrix<double> K(X.rows(), X.rows(), test::kNaN);
  kernel.tile(*rows, 0, *rows, 0, K.view());
  return K;
}

double largest_diagonal(const Matrix<double>& K) {
  double largest = 0;
  for (Index i = 0; i < K.rows(); ++i) largest = std::max(largest, K(i, i));
  return largest;
}

TEST(EmpiricalKernel, AssembledOverEveryGridIsTheSameKernel) {
  const auto world = comm::Communicator::world();
  const auto X = inputs(world);
  auto w = network(Start::antisymmetric).initial<double>(1);
  for (std::size_t k = 0; k < w.size(); k += 3) w[k] *= 1.1;  // copies that have gone apart
  for (const bool full : {false, true}) {
    const auto kernel =
        empirical_kernel(network(Start::antisymmetric), w, full ? Outputs::full : Outputs::trace);
    const auto rows = full ? seeded_rows(X, kOutputs) : X.copy();
    const auto exact = serial(*kernel, rows);
    for (const auto shape : test::grid_shapes(world.size())) {
      const dist::ProcessGrid grid(world, shape);
      for (const double panel_bytes : {512e6, 1e5}) {  // all rows at once, and block by block
        const auto K = gram::assemble<double>(
            *kernel, rows, grid, {.panel_bytes = panel_bytes, .nb = 8, .over_n = false});
        test::expect_equal(
            K, [&](Index i, Index j) { return exact(i, j); }, 1e-13 * largest_diagonal(exact));
      }
    }
  }
}

TEST(EmpiricalKernel, PredictsByRowsAsTheAssembledKernelDoes) {
  const auto world = comm::Communicator::world();
  const auto X = inputs(world), Z = inputs(world, 11);
  const auto net = network();
  const auto kernel = empirical_kernel(net, net.initial<double>(2));
  dist::RowBlock<double> A(world, kRows, 1);
  for (Index i = 0; i < A.local_rows(); ++i)
    A.row(i)[0] = std::cos(static_cast<double>(A.first_row() + i));
  const auto F = gram::apply_cross(*kernel, Z, X, A);
  const auto exact = serial(*kernel, X);  // Z are the first rows of X
  Index compared = 0;
  for (Index i = 0; i < F.local_rows(); ++i, ++compared) {
    double sum = 0, scale = 0;
    for (Index j = 0; j < kRows; ++j) {
      const double term = exact(F.first_row() + i, j) * std::cos(static_cast<double>(j)) /
                          static_cast<double>(kRows);
      sum += term;
      scale += std::abs(term);
    }
    EXPECT_TRUE(std::abs(F.row(i)[0] - sum) <= 1e-13 * scale);
  }
  EXPECT_EQ(world.all_reduce(compared, comm::Op::sum), 11);
}

TEST(EmpiricalKernel, OfTheWrongInputsIsRefusedOnEveryRank) {
  const auto world = comm::Communicator::world();
  const dist::RowBlock<double> X(world, 1, kInputs + 1);
  const auto net = network();
  const auto w = net.initial<double>(2);
  EXPECT_THROW(outputs(net, w, X), InputError);
  const dist::ProcessGrid grid(world, {1, 1});
  EXPECT_THROW(gram::assemble<double>(*empirical_kernel(net, w), X, grid), InputError);
}

TEST(SeededRows, AreEveryRowWithEveryOneHotSeed) {
  const auto world = comm::Communicator::world();
  const auto X = inputs(world);
  const auto all = dist::all_rows(X);
  const auto rows = seeded_rows(X, kOutputs);
  EXPECT_EQ(rows.rows(), kRows * kOutputs);
  ASSERT_EQ(rows.cols(), kInputs + kOutputs);
  for (Index k = 0; k < rows.local_rows(); ++k) {
    const Index i = (rows.first_row() + k) / kOutputs, a = (rows.first_row() + k) % kOutputs;
    for (Index q = 0; q < rows.cols(); ++q)
      EXPECT_EQ(rows.row(k)[static_cast<std::size_t>(q)],
                q < kInputs ? all(q, i) : (q - kInputs == a ? 1.0 : 0.0));
  }
}

TEST(Outputs, OfANetworkLieByRowsAndVanishForTheAntisymmetricStart) {
  const auto world = comm::Communicator::world();
  const auto X = inputs(world);
  const auto net = network();
  const auto w = net.initial<double>(3);
  const auto F = outputs(net, w, X);
  EXPECT_EQ(F.rows(), kRows);
  ASSERT_EQ(F.cols(), kOutputs);
  const auto all = dist::all_rows(X);
  Matrix<double> exact(kOutputs, kRows);
  Evaluator<double>(net, kRows).outputs(w, all.view(), exact.view());
  for (Index i = 0; i < F.local_rows(); ++i)
    for (Index a = 0; a < kOutputs; ++a)
      EXPECT_NEAR(F.row(i)[static_cast<std::size_t>(a)], exact(a, F.first_row() + i), 1e-13);
  const auto zero = network(Start::antisymmetric);
  const auto F_0 = outputs(zero, zero.initial<double>(3), X);
  for (const double f : F_0.values()) EXPECT_EQ(f, 0);
}

}  // namespace
}  // namespace mercer::net
