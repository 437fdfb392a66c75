// Local arrays of more than 2^31 elements. One rank, 10 GB of memory, some minutes.
#include <fstream>
#include <string>

#include "operators.hpp"

namespace mercer::test {
namespace {

using gram::KernelOperator;
using gram::Storage;

/// MemAvailable of /proc/meminfo, in bytes; 0 where unknown.
double available_bytes() {
  std::ifstream file("/proc/meminfo");
  for (std::string key, unit; file >> key;) {
    double kilobytes = 0;
    file >> kilobytes;
    std::getline(file, unit);
    if (key == "MemAvailable:") return 1024 * kilobytes;
  }
  return 0;
}

bool enough_memory(double bytes) {
  const auto world = comm::Communicator::world();
  return world.all_reduce(available_bytes(), comm::Op::min) > bytes * world.size();
}

/// |A V - B V| <= tolerance |B V| for each of four vectors; B computes every tile again.
void expect_same_products(const gram::Operator& A, const gram::Operator& B, double tolerance) {
  const auto V = vectors(A, 4);
  Matrix<double> Y(V.rows(), 4, kNaN), Z(V.rows(), 4, kNaN);
  A.apply(V.view(), Y.view());
  B.apply(V.view(), Z.view());
  for (Index c = 0; c < 4; ++c) {
    double sums[2] = {0, 0};
    for (Index i = 0; i < V.rows(); ++i) {
      sums[0] += std::pow(Y(i, c) - Z(i, c), 2);
      sums[1] += std::pow(Z(i, c), 2);
    }
    A.comm().all_reduce(std::span<double>(sums), comm::Op::sum);
    EXPECT_GT(sums[1], 0);
    EXPECT_TRUE(std::sqrt(sums[0] / sums[1]) <= tolerance) << std::sqrt(sums[0] / sums[1]);
  }
}

TEST(LargeOperator, KeepsMoreThan2To31TileEntriesOnARank) {
  constexpr Index n = 66000;
  constexpr double bytes = 4.0 * n * n / 2 * 1.01 + 5e8;
  if (!enough_memory(bytes)) GTEST_SKIP() << "needs " << 1e-9 * bytes << " GB a rank";
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const auto X = inputs(world, n);
  const auto kernel = gaussian();
  const KernelOperator A(*kernel, X, grid,
                         {.storage = Storage::in_single, .memory_bytes = bytes, .block = 4});
  const KernelOperator B(*kernel, X, grid, {.storage = Storage::none, .block = 4});
  EXPECT_TRUE(world.size() > 1 || A.plan().tile_bytes / 4 > 2147483648.0);
  expect_same_products(A, B, 1e-7);
}

TEST(LargeOperator, MultipliesALocalMatrixOfMoreThan2To31Elements) {
  constexpr Index n = 50000;
  constexpr double bytes = 4.0 * n * n + 1e9;
  if (!enough_memory(bytes)) GTEST_SKIP() << "needs " << 1e-9 * bytes << " GB a rank";
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const auto X = inputs(world, n);
  const auto kernel = gaussian();
  const auto K = gram::assemble<float>(*kernel, X, grid);
  EXPECT_TRUE(world.size() > 1 || K.local_rows() * K.local_cols() > Index{2147483648});
  const gram::MatrixOperator<float> A(K);
  const KernelOperator B(*kernel, X, grid, {.storage = Storage::none, .block = 4});
  expect_same_products(A, B, 1e-7);
}

}  // namespace
}  // namespace mercer::test
