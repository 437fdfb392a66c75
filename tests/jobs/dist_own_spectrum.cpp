// Spectra of a program's own kernel class, on half of the ranks: solved, written, read by other
// jobs and started from, from the file and in memory.
#include <gtest/gtest.h>

#include <algorithm>

#include "data/files.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/dist/rows.hpp"
#include "mercer/jobs/pairs.hpp"
#include "mercer/jobs/ridge.hpp"
#include "support/oracles.hpp"

namespace mercer::jobs {
namespace {

using spectral::Method;
using test::input_error;

/// min(x, z), the covariance of Brownian motion: on the rows 1, 2, ... the matrix of the oracle.
class Brownian final : public kernel::Kernel {
 public:
  std::string text() const override { return "brownian"; }
  std::unique_ptr<kernel::Rows> prepare(Matrix<double>&& X) const override {
    auto rows = std::make_unique<Points>();
    rows->x = std::move(X);
    return rows;
  }
  void tile(const kernel::Rows& x, Index i0, const kernel::Rows& z, Index j0,
            MatrixView<double> out) const override {
    for (Index j = 0; j < out.cols; ++j)
      for (Index i = 0; i < out.rows; ++i) out(i, j) = std::min(at(x, i0 + i), at(z, j0 + j));
  }
  void diagonal(const kernel::Rows& x, Index i0, Index count, double* out) const override {
    for (Index i = 0; i < count; ++i) out[i] = at(x, i0 + i);
  }
  Index bytes_per_row(Index d) const override { return 8 * d; }

 private:
  struct Points : kernel::Rows {
    Matrix<double> x;  // 1 x m
    Index size() const override { return x.cols(); }
    Index bytes() const override { return 8 * x.size(); }
  };
  static double at(const kernel::Rows& rows, Index i) {
    return static_cast<const Points&>(rows).x(0, i);
  }
};

/// The first half of the ranks solves a smaller problem while the other half solves a larger one.
struct OwnSpectrum : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  bool first = world.rank() < (world.size() + 1) / 2;
  comm::Communicator half = world.split(first ? 0 : 1, world.rank());
  dist::ProcessGrid grid{half};
  test::TemporaryFolder folder;
  Monitor silent;
  const Index n = first ? 150 : 190;
  static constexpr Index k = 6;
  gram::Source kernel = gram::Source::function(std::make_shared<Brownian>());

  dist::RowBlock<double> numbered(Index count, double from = 1) const {
    dist::RowBlock<double> X(half, count, 1);
    for (Index i = 0; i < X.local_rows(); ++i)
      X.row(i)[0] = from + static_cast<double>(X.first_row() + i);
    return X;
  }
  data::Dataset rows(Index count) const { return data::of_rows(numbered(count)); }
  std::string path(const std::string& name) const {
    return folder / fmt::format("{}{}.h5", name, first ? 1 : 2);
  }
  template <class T = double>
  Spectrum<T> solved(const SpectrumOptions& options, const data::Dataset& set) {
    auto monitor = Monitor();
    const auto plan = jobs::plan(options, kernel, set, Resources::of(grid), half);
    return jobs::solve<T>(plan, kernel, set, grid, monitor);
  }
  template <class T>
  std::string written(const Spectrum<T>& spectrum, const std::string& name) const {
    auto file = io::Hdf5File::create(half, path(name));
    jobs::write(file, spectrum);
    file.finish();
    return path(name);
  }
  /// A residual of r lambda_1 leaves an error of the eigenvalue of at most that (Weyl).
  void expect_right(const std::vector<double>& values, double residual) const {
    const test::MinMatrix oracle{n};
    const double N = static_cast<double>(n);
    ASSERT_EQ(std::ssize(values), k);
    for (Index i = 0; i < k; ++i)
      EXPECT_NEAR(values[static_cast<std::size_t>(i)], oracle.eigenvalue(i) / N,
                  residual * oracle.eigenvalue(0) / N);
  }
  /// Counts this rank's entries.
  static void expect_same(const Matrix<double>& V, const Matrix<double>& W) {
    ASSERT_EQ(V.rows(), W.rows());
    ASSERT_EQ(V.cols(), W.cols());
    Index same = 0;
    for (Index j = 0; j < V.cols(); ++j)
      for (Index i = 0; i < V.rows(); ++i) same += V(i, j) == W(i, j) ? 1 : 0;
    EXPECT_EQ(same, V.size());
  }
};

TEST_F(OwnSpectrum, IsWrittenReadAndStartedFromOnHalfOfTheRanks) {
  const auto set = rows(n);
  const auto cold = solved({.top = k, .method = Method::krylov}, set);
  for (const auto method : {Method::automatic, Method::krylov}) {
    const auto spectrum = solved({.top = k, .method = method}, set);
    EXPECT_EQ(spectrum.iterative, method == Method::krylov);
    EXPECT_TRUE(spectrum.good());
    expect_right(spectrum.pairs.values, spectrum.accepted.residual);

    const auto file = written(spectrum, "S");
    const auto known = known_pairs(spectrum), read = read_spectrum(file, kernel, set, grid);
    for (const auto& one : {known, read}) {
      EXPECT_EQ(one->of.kernel, "brownian");
      EXPECT_EQ(one->of.n, n);
      EXPECT_EQ(one->of.data_hash, set.hash);
      EXPECT_EQ(one->method, spectrum.pairs.method);
      EXPECT_EQ(one->pairs.values, spectrum.pairs.values);
      EXPECT_EQ(one->pairs.next, spectrum.pairs.next);
      EXPECT_EQ(one->pairs.next_vector.cols(), spectrum.iterative ? 1 : 0);
    }
    expect_same(read->pairs.vectors, known->pairs.vectors);
    expect_same(read->pairs.next_vector, known->pairs.next_vector);

    const auto from_file = solved({.top = k, .start = file}, set);
    EXPECT_TRUE(from_file.iterative);
    EXPECT_EQ(from_file.pairs.reason, "asked for by `start`");
    // A direct solver leaves no vector of lambda_(k+1), which must then be found anew.
    if (spectrum.iterative) {
      EXPECT_LT(from_file.products, cold.products);
    }
    expect_right(from_file.pairs.values, from_file.accepted.residual);
    for (const auto& one : {known, read}) {
      const auto again = solved({.top = k, .start_pairs = one}, set);
      EXPECT_EQ(again.pairs.reason, "asked for by `start_pairs`");
      EXPECT_EQ(again.products, from_file.products);
      EXPECT_EQ(again.pairs.values, from_file.pairs.values);
    }
  }
}

TEST_F(OwnSpectrum, IsTakenByARidgeRegression) {
  const auto spectrum = solved({.top = k}, rows(n));
  const auto file = written(spectrum, "S");
  const auto split = data::split_of(data::of_rows(numbered(n), numbered(n, -3)));
  for (const auto solver : {RidgeSolver::direct, RidgeSolver::conjugate_gradients}) {
    std::vector<std::vector<double>> alphas;
    for (const GivenPairs& pairs :
         {GivenPairs{.file = file}, GivenPairs{.known = known_pairs(spectrum)}}) {
      RidgeOptions options{.ridges = {0.1}, .top = k, .g = "flat", .solver = solver};
      options.spectrum = pairs;
      const auto plan = jobs::plan(options, kernel, split, Resources::of(grid), half);
      const auto fit = jobs::fit(plan, split, grid, silent);
      EXPECT_TRUE(fit.converged());
      EXPECT_TRUE(jobs::check(plan, fit, split.train, grid, silent).good());
      const auto alpha = fit.best_fit().alpha.values();
      alphas.emplace_back(alpha.begin(), alpha.end());
    }
    EXPECT_EQ(alphas[0], alphas[1]);
  }
  // Leave-one-out errors of several ridges take all pairs, and plain ridge regression takes none.
  for (const auto& ridges : {std::vector<double>{0.1, 0.2}, {0.1}}) {
    RidgeOptions options{.ridges = ridges, .spectrum = {.file = file}};
    const auto plan = [&] { jobs::plan(options, kernel, split, Resources::of(grid), half); };
    EXPECT_NE(input_error(plan).find(fmt::format("holds {} of {} eigenpairs", k, n)),
              std::string::npos);
  }
}

TEST_F(OwnSpectrum, IsGivenToAJobFromAFileAndFromMemoryAlike) {
  const auto set = rows(n);
  const auto spectrum = solved<float>({.top = k, .single = true}, set);
  const auto file = written(spectrum, "S");
  const auto known = known_pairs(spectrum);
  const auto read = jobs::read<float>({.file = file}, kernel, set, grid, 8, silent);
  const auto kept = jobs::read<float>({.known = known}, kernel, set, grid, 8, silent);
  EXPECT_EQ(kept.values, read.values);
  EXPECT_EQ(kept.next, read.next);
  EXPECT_EQ(kept.residuals, read.residuals);
  EXPECT_EQ(kept.trace, read.trace);
  EXPECT_EQ(kept.method, read.method);
  const auto V = read.vectors.local(), W = kept.vectors.local();
  ASSERT_EQ(V.rows, W.rows);
  ASSERT_EQ(V.cols, W.cols);
  for (Index j = 0; j < V.cols; ++j)
    EXPECT_TRUE(std::equal(V.column(j), V.column(j) + V.rows, W.column(j)));

  const auto gaussian = gram::Source::function(kernel::make({.kind = kernel::Kind::gaussian}));
  const auto others = data::of_rows(numbered(n, 2)), fewer = rows(n - 1);
  EXPECT_EQ(input_error([&] { GivenPairs{.file = "S.h5", .known = known}.validate(); }),
            "`spectrum` S.h5: give a file or pairs in memory, not both");
  for (const GivenPairs& pairs : {GivenPairs{.file = file}, GivenPairs{.known = known}}) {
    EXPECT_EQ(pairs.count(half, n), k);
    EXPECT_EQ(pairs.contents(half), pairs.contents(half));
    const auto refusal = [&](const gram::Source& source, const data::Dataset& of) {
      return input_error([&] { jobs::read<float>(pairs, source, of, grid, 8, silent); });
    };
    EXPECT_EQ(refusal(kernel, set), "");
    EXPECT_NE(refusal(gaussian, set).find("spectrum of brownian, this job's kernel is gaussian"),
              std::string::npos);
    EXPECT_NE(refusal(kernel, fewer).find(fmt::format("n = {} points, this job has {}", n, n - 1)),
              std::string::npos);
    EXPECT_NE(refusal(kernel, others).find(fmt::format("hash {}", hash_text(set.hash))),
              std::string::npos);
  }
}

TEST_F(OwnSpectrum, OfFewerRowsStartsOneOfMore) {
  const auto spectrum = solved({.top = k, .method = Method::krylov}, rows(n - 31));
  const auto file = written(spectrum, "S");
  const auto set = rows(n);
  const auto from_file = solved({.top = k, .start = file}, set);
  const auto from_memory = solved({.top = k, .start_pairs = known_pairs(spectrum)}, set);
  EXPECT_EQ(from_memory.products, from_file.products);
  EXPECT_EQ(from_memory.pairs.values, from_file.pairs.values);
  expect_right(from_memory.pairs.values, from_memory.accepted.residual);
}

TEST_F(OwnSpectrum, ThatCannotBeStartedFromIsRefused) {
  const auto set = rows(n), fewer = rows(n - 31);
  const auto known = known_pairs(solved({.top = k}, set));
  const auto refusal = [&](const SpectrumOptions& options, const data::Dataset& of) {
    return input_error([&] { solved(options, of); });
  };
  EXPECT_EQ(refusal({.top = k, .start = "S.h5", .start_pairs = known}, set),
            "`start` S.h5: give a file or `start_pairs`, not both");
  EXPECT_EQ(refusal({.top = k, .method = Method::scalapack, .start_pairs = known}, set),
            "`start_pairs`: belongs to `method` krylov, not to scalapack");
  EXPECT_EQ(
      refusal({.top = k, .start_pairs = known}, fewer),
      fmt::format("`start_pairs`: have eigenvectors of {} rows, this job has n = {}", n, n - 31));
  const auto values = known_pairs(solved({.top = k, .vectors = false}, set));
  EXPECT_EQ(refusal({.top = k, .start_pairs = values}, set), "`start_pairs`: have no eigenvectors");
  if (half.size() < 2) return;
  auto scattered = std::make_shared<KnownPairs>();
  scattered->pairs = {.n = n, .vectors = Matrix<double>(n, k, 1.0)};  // all rows on every rank
  EXPECT_NE(
      refusal({.top = k, .start_pairs = scattered}, set).find("`start_pairs`: are distributed"),
      std::string::npos);
}

TEST_F(OwnSpectrum, OfAMatrixInAFileWithoutRowsIsReadAgain) {
  dist::RowBlock<double> K(half, n, n);
  const test::MinMatrix oracle{n};
  for (Index i = 0; i < K.local_rows(); ++i)
    for (Index j = 0; j < n; ++j)
      K.row(i)[static_cast<std::size_t>(j)] = oracle(K.first_row() + i, j);
  for (const bool hashed : {false, true}) {
    auto file = io::Hdf5File::create(half, path("K"));
    file.write("/kernel", K);
    if (hashed) file.attribute("/", "data_hash", hash_text(77));
    file.finish();
    kernel = gram::Source::stored(path("K"));
    const auto spectrum = solved({.top = k}, {});
    EXPECT_EQ(spectrum.of.data_hash, hashed ? 77u : 0u);
    const auto known = read_spectrum(written(spectrum, "S"), kernel, {}, grid);
    EXPECT_EQ(known->of.n, n);
    expect_right(known->pairs.values, spectrum.accepted.residual);
  }
}

TEST_F(OwnSpectrum, CountsTheFlopsOfThePairsThatWereComputed) {
  const auto set = rows(n);
  const auto planned = [&](Index top) {
    return jobs::plan({.top = top, .method = Method::scalapack}, kernel, set, Resources::of(grid),
                      half);
  };
  auto more = planned(k);
  EXPECT_EQ(jobs::solve<double>(more, kernel, set, grid, silent).flops, more.stages.flops());
  more.top = n;
  EXPECT_EQ(jobs::solve<double>(more, kernel, set, grid, silent).flops, planned(n).stages.flops());
}

TEST_F(OwnSpectrum, OfAPairSolverDoesNotDependOnTheStrategysLife) {
  const auto set = rows(n);
  auto strategy =
      jobs::plan({.top = k, .method = Method::krylov}, kernel, set, Resources::of(grid), half)
          .strategy;
  PairSolver solve(strategy, Method::automatic, kernel, set.inputs, grid, 0, 0, silent);
  strategy = {};
  const auto pairs = solve(k, solve.tolerance(), nullptr);
  EXPECT_GT(solve.products(), 0);
  expect_right(pairs.values, solve.tolerance());
}

}  // namespace
}  // namespace mercer::jobs
