// Means at finite times and at t = infinity from stored kernel matrices, against values of 50 digits
// (reference data).
#include <gtest/gtest.h>

#include "krr/naive.hpp"
#include "mercer/krr/covariance.hpp"
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

/// The matrices of a kernel and the targets of a case; `trace`: that of k/n, over n.
struct Stored {
  Stored(const test::GoldenFile& file, const std::string& name, const std::string& kernel,
         const dist::ProcessGrid& grid)
      : k(read(file, name + "/" + kernel + "_train_train")),
        cross(read(file, name + "/" + kernel + "_test_train")) {
    const Dense y = read(file, name + "/y_train");
    const Index n = k.rows();
    Y = test::row_block(grid.all(), n, y.cols(), [&](Index i, Index o) { return y(i, o); });
    for (Index i = 0; i < n; ++i) trace += k(i, i) / static_cast<double>(n * n);
  }
  Dense k, cross;
  RowBlock<double> Y;
  double trace = 0;
};

/// body(file, grid, name, kernel, matrices) for both kernels of every case.
template <class Body>
void for_cases(Body&& body) {
  const test::GoldenFile file("predict");
  const dist::ProcessGrid grid(comm::Communicator::world());
  for (const std::string& name : file.cases())
    for (const std::string kernel : {"ntk", "nngp"})
      body(file, grid, name, kernel, Stored(file, name, kernel, grid));
}

TEST(Prediction, MeansAtInfinityFromStoredMatricesAreTheReferences) {
  if (test::golden_dir().empty()) GTEST_SKIP() << "MERCER_GOLDEN_DIR is not set";
  Index compared = 0;
  for_cases([&](const auto& file, const auto& grid, const std::string& name,
                const std::string& kernel, const Stored& stored) {
    const auto& [k, cross, Y, trace] = stored;
    const Index n = k.rows();
    for (const auto& [group, relative] : {std::pair{"diag_reg_0", 0.0}, {"diag_reg_0.001", 1e-3}}) {
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
  });
  EXPECT_EQ(compared, 8);
}

/// The t-th of the stored times: rows x c.
Dense read_time(const test::GoldenFile& file, const std::string& path, Index t, Index rows,
                Index c) {
  const Dense all = file.transposed(path);
  return test::dense(rows, c, [&](Index i, Index o) { return all(i * c + o, t); });
}

TEST(Prediction, MeansAtFiniteTimesFromStoredMatricesAreTheReferences) {
  if (test::golden_dir().empty()) GTEST_SKIP() << "MERCER_GOLDEN_DIR is not set";
  Index compared = 0;
  for_cases([&](const auto& file, const auto& grid, const std::string& name,
                const std::string& kernel, const Stored& stored) {
    const auto& [k, cross, Y, trace] = stored;
    const Index n = k.rows(), m = cross.rows(), c = Y.cols();
    const Dense times = file.transposed(name + "/t");  // 1 x nt
    const double rate = file.number(name, "learning_rate");
    const auto pairs = spectral::eigenpairs(on_grid(k, grid, 1.0 / static_cast<double>(n)));
    const auto identity =
        msk::SpectrumMap::parse("identity")
            .apply(pairs.values, pairs.next, true, msk::SpectrumMap::Positivity::nonnegative);
    const SpectralPath<double> path(pairs, identity, Y);
    for (const auto& [group, relative] : {std::pair{"diag_reg_0", 0.0}, {"diag_reg_0.001", 1e-3}}) {
      const std::string at = name + "/" + group + "/" + kernel;
      std::vector<GradientFlow> flows;
      for (Index t = 0; t < times.cols(); ++t)  // of the loss of a mean over rows and outputs
        flows.push_back(
            {.time = rate * times(0, t) / static_cast<double>(c), .ridge = relative * trace});
      const auto fits = path.fit(flows);
      for (std::size_t t = 0; t < fits.size(); ++t) {
        const Dense alpha = test::replicated(fits[t].alpha);
        const Dense test_mean = test::times(cross, alpha), K_alpha = test::times(k, alpha);
        const auto scaled = [&](const Dense& A) {
          return test::dense(A.rows(), c,
                             [&](Index i, Index o) { return A(i, o) / static_cast<double>(n); });
        };
        // Theirs on training rows is that of K + gamma I.
        const Dense train_mean = test::dense(n, c, [&](Index i, Index o) {
          return K_alpha(i, o) / static_cast<double>(n) + flows[t].ridge * alpha(i, o);
        });
        const auto index = static_cast<Index>(t);
        const double of_test = test::relative_difference(
            scaled(test_mean), read_time(file, at + "_mean_t_exact", index, m, c));
        const double of_train = test::relative_difference(
            train_mean, read_time(file, at + "_train_mean_t", index, n, c));
        EXPECT_TRUE(of_test <= 1e-11) << at << ", time " << t << ": " << of_test;
        EXPECT_TRUE(of_train <= 1e-11) << at << ", time " << t << ": " << of_train;
        EXPECT_LE(fits[t].residual, 1e-12);
        ++compared;
      }
    }
  });
  EXPECT_EQ(compared, 32);
}

TEST(Prediction, CovariancesFromStoredMatricesAreTheReferences) {
  if (test::golden_dir().empty()) GTEST_SKIP() << "MERCER_GOLDEN_DIR is not set";
  const test::GoldenFile file("predict");
  const dist::ProcessGrid grid(comm::Communicator::world());
  Index compared = 0;
  for (const std::string& name : file.cases()) {
    const auto stored = [&](const std::string& set, double scale = 1) {
      return on_grid(read(file, name + "/" + set), grid, scale);
    };
    const Index n = file.shape(name + "/ntk_train_train")[0], c = file.shape(name + "/y_train")[1];
    const double over_n = 1.0 / static_cast<double>(n);
    const auto of_T = spectral::eigenpairs(stored("ntk_train_train", over_n));
    const auto of_k = spectral::eigenpairs(stored("nngp_train_train", over_n));
    const auto k_ZX = stored("nngp_test_train"), k_ZZ = stored("nngp_test_test");
    const TrainedCovariance<double> trained(of_T, stored("ntk_test_train"),
                                            stored("nngp_train_train"), k_ZX);
    const Dense times = file.transposed(name + "/t");
    const Index m = k_ZZ.rows();
    for (const auto& [group, relative] : {std::pair{"diag_reg_0", 0.0}, {"diag_reg_0.001", 1e-3}}) {
      const auto expect = [&](const DistMatrix<double>& found, const std::string& set,
                              const Dense& expected) {
        RowBlock<double> rows(grid.all(), found.rows(), found.cols());
        dist::copy(found, rows);
        const double error = test::relative_difference(test::replicated(rows), expected);
        EXPECT_TRUE(error <= 1e-11) << name << "/" << group << "/" << set << ": " << error;
        ++compared;
      };
      for (Index t = 0; t <= times.cols(); ++t) {
        GradientFlow flow;
        const bool last = t == times.cols();
        if (!last)
          flow.time = file.number(name, "learning_rate") * times(0, t) / static_cast<double>(c);
        const auto expected = [&](const std::string& kernel) {
          const auto path = name + "/" + group + "/" + kernel + "_cov_";
          return last ? read(file, path + "inf") : read_time(file, path + "t", t, m, m);
        };
        flow.ridge = relative * of_T.trace / static_cast<double>(n);
        expect(trained.at(k_ZZ, flow), "ntk", expected("ntk"));
        flow.ridge = relative * of_k.trace / static_cast<double>(n);
        expect(readout_covariance(of_k, k_ZX, k_ZZ.copy(), flow), "nngp", expected("nngp"));
      }
    }
  }
  EXPECT_EQ(compared, 40);
}

}  // namespace
}  // namespace mercer::krr
