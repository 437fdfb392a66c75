// Means at t = infinity from stored kernel matrices, against values of 50 digits (reference data).
#include <gtest/gtest.h>

#include "krr/naive.hpp"
#include "mercer/krr/predict.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "support/golden.hpp"

namespace mercer::krr {
namespace {

using test::Dense;

Dense read(const test::GoldenFile& file, const std::string& path) {
  const Dense t = file.transposed(path);
  return test::dense(t.cols(), t.rows(), [&](Index i, Index j) { return t(j, i); });
}

DistMatrix<double> on_grid(const Dense& A, const dist::ProcessGrid& grid, double scale) {
  DistMatrix<double> K(grid, A.rows(), A.cols(), 8);
  K.fill([&](Index i, Index j) { return scale * A(i, j); });
  return K;
}

TEST(Prediction, MeansAtInfinityFromStoredMatricesAreTheReferences) {
  if (test::golden_dir().empty()) GTEST_SKIP() << "MERCER_GOLDEN_DIR is not set";
  const test::GoldenFile file("predict");
  const dist::ProcessGrid grid(comm::Communicator::world());
  Index compared = 0;
  for (const std::string& name : file.cases())
    for (const std::string kernel : {"ntk", "nngp"}) {
      const Dense k = read(file, name + "/" + kernel + "_train_train");
      const Dense cross = read(file, name + "/" + kernel + "_test_train");
      const Dense y = read(file, name + "/y_train");
      const Index n = k.rows();
      const auto Y =
          test::row_block(grid.all(), n, y.cols(), [&](Index i, Index o) { return y(i, o); });
      double trace = 0;
      for (Index i = 0; i < n; ++i) trace += k(i, i) / static_cast<double>(n * n);
      for (const auto& [group, relative] :
           {std::pair{"diag_reg_0", 0.0}, {"diag_reg_0.001", 1e-3}}) {
        const std::string path = name + "/" + group + "/" + kernel + "_mean_inf_exact";
        ASSERT_TRUE(file.contains(path)) << path;
        const Dense expected = read(file, path);
        const double ridge = relative * trace;
        const auto mean = [&](const RowBlock<double>& alpha) {
          return test::replicated(predict(on_grid(cross, grid, 1), alpha));
        };
        const Fit direct = fit_cholesky(on_grid(k, grid, 1.0 / static_cast<double>(n)), Y, ridge);
        const double error = test::relative_difference(mean(direct.alpha), expected);
        EXPECT_TRUE(error <= 1e-12) << path << ": " << error;

        const auto pairs = spectral::eigenpairs(on_grid(k, grid, 1.0 / static_cast<double>(n)));
        const auto identity =
            msk::SpectrumMap::parse("identity")
                .apply(pairs.values, pairs.next, true, msk::SpectrumMap::Positivity::nonnegative);
        const auto fits =
            SpectralPath<double>(pairs, identity, Y).fit(std::span<const double>(&ridge, 1));
        const double by_path = test::relative_difference(mean(fits[0].alpha), expected);
        EXPECT_TRUE(by_path <= 1e-12) << path << " by the path: " << by_path;
        ++compared;
      }
    }
  EXPECT_EQ(compared, 8);
}

}  // namespace
}  // namespace mercer::krr
