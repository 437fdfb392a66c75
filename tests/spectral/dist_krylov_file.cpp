#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "mercer/base/error.hpp"
#include "mercer/spectral/krylov_file.hpp"
#include "support/dense_operator.hpp"

namespace mercer {
namespace {

namespace fs = std::filesystem;

/// lambda_i = 1/(i + 1) along the unit vectors.
double harmonic(Index i, Index j) {
  return i == j ? 1 / static_cast<double>(i + 1) : 0.0;
}

/// A run that is stopped after every `every`-th product, its state by way of a file.
spectral::TopPairs through_files(const gram::Operator& K, spectral::KrylovOptions options,
                                 const std::string& path, Index every, Index& stops) {
  spectral::KrylovState state;
  for (;;) {
    Index products = 0;
    options.checkpoint = [&](const spectral::KrylovState& now) {
      if (++products < every) return false;
      auto file = io::Hdf5File::create(K.comm(), path);
      spectral::write(file, K.size(), now);
      file.finish();
      return true;
    };
    auto pairs = spectral::krylov(K, options);
    if (pairs.finished) return pairs;
    ++stops;
    state = spectral::read_krylov_state(io::Hdf5File::open(K.comm(), path), K.size());
    options.resume = &state;
  }
}

TEST(KrylovFile, ARunThatGoesThroughFilesHasTheBitsOfAnUndisturbedOne) {
  const auto world = comm::Communicator::world();
  const auto path =
      world.broadcast(
          (fs::temp_directory_path() / ("mercer-krylov-" + std::to_string(::getpid()))).string(),
          0) +
      ".h5";
  for (const Index n : {90, 300}) {
    const test::DenseOperator K(world, n, harmonic);
    const spectral::KrylovOptions options{.top = 10, .block = 4, .basis = 40};
    const auto whole = spectral::krylov(K, options);
    Index stops = 0;
    const auto parts = through_files(K, options, path, 3, stops);
    EXPECT_GT(stops, 2);
    EXPECT_EQ(whole.values, parts.values);
    EXPECT_EQ(whole.residuals, parts.residuals);
    EXPECT_EQ(whole.products, parts.products);
    Index compared = 0;
    for (Index j = 0; j < 10; ++j)
      for (Index i = 0; i < K.local_rows(); ++i, ++compared)
        EXPECT_EQ(whole.vectors(i, j), parts.vectors(i, j));
    EXPECT_EQ(world.all_reduce(compared, comm::Op::sum), 10 * n);
  }
  EXPECT_THROW(spectral::read_krylov_state(io::Hdf5File::open(world, path), 299), InputError);
  world.barrier();
  if (world.root()) fs::remove(path);
  world.barrier();
}

}  // namespace
}  // namespace mercer
