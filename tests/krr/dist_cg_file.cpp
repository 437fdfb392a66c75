#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "mercer/base/error.hpp"
#include "mercer/krr/cg_file.hpp"
#include "support/dense_operator.hpp"

namespace mercer {
namespace {

namespace fs = std::filesystem;

/// lambda_i = 1/(i + 1) along the unit vectors.
double harmonic(Index i, Index j) {
  return i == j ? 1 / static_cast<double>(i + 1) : 0.0;
}

TEST(CgFile, ARunThatGoesThroughFilesHasTheBitsOfAnUndisturbedOne) {
  const auto world = comm::Communicator::world();
  const auto path =
      world.broadcast(
          (fs::temp_directory_path() / ("mercer-cg-" + std::to_string(::getpid()))).string(), 0) +
      ".h5";
  for (const Index n : {3, 200}) {
    const test::DenseOperator K(world, n, harmonic);
    Matrix<double> B(K.local_rows(), 3);
    for (Index j = 0; j < 3; ++j)
      for (Index i = 0; i < B.rows(); ++i)
        B(i, j) = 1 + static_cast<double>((K.first_row() + i) * (j + 1) % 7);
    const double gamma = 1e-3;
    const auto whole = krr::conjugate_gradients(K, gamma, {}, B.view());
    krr::CgOptions options;
    krr::CgState state;
    Index stops = 0;
    krr::CgResult parts;
    for (;;) {
      Index steps = 0;
      options.checkpoint = [&](const krr::CgState& now) {
        if (++steps < 2) return false;
        auto file = io::Hdf5File::create(world, path);
        krr::write(file, n, now);
        file.finish();
        return true;
      };
      parts = krr::conjugate_gradients(K, gamma, {}, B.view(), options);
      if (parts.finished) break;
      ++stops;
      state = krr::read_cg_state(io::Hdf5File::open(world, path), n, 3);
      options.resume = &state;
    }
    if (n > 3) {
      EXPECT_GT(stops, 2);
    }
    EXPECT_TRUE(parts.converged);
    EXPECT_EQ(whole.iterations, parts.iterations);
    EXPECT_EQ(whole.history, parts.history);
    Index compared = 0;
    for (Index j = 0; j < 3; ++j)
      for (Index i = 0; i < B.rows(); ++i, ++compared) EXPECT_EQ(whole.X(i, j), parts.X(i, j));
    EXPECT_EQ(world.all_reduce(compared, comm::Op::sum), 3 * n);
  }
  EXPECT_THROW(krr::read_cg_state(io::Hdf5File::open(world, path), 199, 3), InputError);
  world.barrier();
  if (world.root()) fs::remove(path);
  world.barrier();
}

}  // namespace
}  // namespace mercer
