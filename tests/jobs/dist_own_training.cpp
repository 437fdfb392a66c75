// Training with a kernel class of a program's own, on a part of the ranks, against dense arithmetic.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "data/files.hpp"
#include "krr/naive.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/jobs/network_model.hpp"
#include "mercer/jobs/training.hpp"
#include "mercer/net/empirical.hpp"

namespace mercer::jobs {
namespace {

using test::Dense;

double coordinate(Index i, Index a) {
  return std::sin(static_cast<double>(5 * i + 3 * a + 1));
}
double target(Index i, Index a) {
  return std::cos(static_cast<double>(i) * 0.3 + static_cast<double>(a));
}

/// k(x, z) = exp(-|x - z|), with rows prepared by this class.
class Laplacian : public kernel::Kernel {
 public:
  static double of(const double* x, const double* z, Index d) {
    double square = 0;
    for (Index a = 0; a < d; ++a) square += (x[a] - z[a]) * (x[a] - z[a]);
    return std::exp(-std::sqrt(square));
  }
  std::string text() const override { return "a Laplacian of its own"; }
  std::unique_ptr<kernel::Rows> prepare(Matrix<double>&& X) const override {
    auto rows = std::make_unique<Inputs>();
    rows->X = std::move(X);
    return rows;
  }
  void tile(const kernel::Rows& x, Index i0, const kernel::Rows& z, Index j0,
            MatrixView<double> out) const override {
    const auto& X = static_cast<const Inputs&>(x).X;
    const auto& Z = static_cast<const Inputs&>(z).X;
    for (Index j = 0; j < out.cols; ++j)
      for (Index i = 0; i < out.rows; ++i)
        out(i, j) = of(X.column(i0 + i), Z.column(j0 + j), X.rows());
  }
  void diagonal(const kernel::Rows&, Index, Index count, double* out) const override {
    std::fill_n(out, count, 1.0);
  }
  Index bytes_per_row(Index d) const override { return 8 * d; }

 private:
  struct Inputs : kernel::Rows {
    Matrix<double> X;
    Index size() const override { return X.cols(); }
    Index bytes() const override { return 8 * X.size(); }
  };
};

/// The world, or from two ranks on its halves, each of which trains on its own.
struct OwnTraining : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  int half = 2 * world.rank() < world.size() ? 0 : 1;
  comm::Communicator comm = world.split(half, world.rank());
  dist::ProcessGrid grid{comm};
  Monitor silent;
  static constexpr Index n = 24, d = 3, c = 2;
  gram::Source kernel = gram::Source::function(std::make_shared<Laplacian>());

  data::Split sets() const {
    return data::split_of(data::of_rows(test::row_block(comm, n, d, coordinate),
                                        test::row_block(comm, n, c, target)));
  }
  static net::Network network(const char* text) {
    return {arch::parse(text, {.bias_std = 1}), d, net::Parametrization::ntk,
            net::Start::antisymmetric};
  }
  template <class T = double>
  std::pair<TrainingPlan, Training<T>> run(const TrainingOptions& options,
                                           const net::Network& net) {
    const auto split = sets();
    auto w_0 = net.initial<T>(0);
    auto plan = jobs::plan<T>(options, net, kernel, split, w_0, Resources::of(grid), comm);
    auto training = jobs::train<T>(plan, net, split, std::move(w_0), grid, silent);
    EXPECT_TRUE(jobs::check(training, net, split.train, silent).good());
    return {std::move(plan), std::move(training)};
  }
};

/// S of the top k eigenpairs of K, flat at lambda_(k+1).
Dense flat_S(const Dense& K, Index k) {
  const auto [lambda, V] = test::jacobi(K);
  std::vector<double> weight;
  for (Index i = 0; i < k; ++i)
    weight.push_back(lambda[static_cast<std::size_t>(k)] / lambda[static_cast<std::size_t>(i)] - 1);
  const Dense& vectors = V;
  return test::dense(K.rows(), K.rows(), [&](Index i, Index j) {
    double sum = i == j ? 1 : 0;
    for (Index l = 0; l < k; ++l)
      sum += weight[static_cast<std::size_t>(l)] * vectors(i, l) * vectors(j, l);
    return sum;
  });
}

TEST_F(OwnTraining, StepsByTheSOfAKernelClassOfItsOwn) {
  // One layer is linear in w: J J^T = (sigma_w^2/d) X X^T + sigma_b^2, and r <- r - eta J J^T S r
  // holds to rounding.
  const auto linear = network("dense(2)");
  TrainingOptions options{.precondition = Precondition::kernel, .top = 5};
  options.descent.steps = 12;
  options.descent.record_every = 1;
  options.descent.safeguard = false;
  const auto [plan, training] = run(options, linear);
  const Dense K = test::dense(n, n, [](Index i, Index j) {
    double x[d], z[d];
    for (Index a = 0; a < d; ++a) x[a] = coordinate(i, a), z[a] = coordinate(j, a);
    return Laplacian::of(x, z, d) / n;
  });
  const Dense S = flat_S(K, 5);
  const Dense J = test::dense(n, n, [](Index i, Index j) {
    double dot = 0;
    for (Index a = 0; a < d; ++a) dot += coordinate(i, a) * coordinate(j, a);
    return 2 * dot / d + 1;
  });
  Dense r = test::dense(n, c, [](Index i, Index a) { return -target(i, a); });
  const auto mean_square = [&] {
    double sum = 0;
    for (Index a = 0; a < c; ++a)
      for (Index i = 0; i < n; ++i) sum += r(i, a) * r(i, a);
    return sum / (n * c);
  };
  const auto& history = training.state.history;
  ASSERT_EQ(history.size(), 13u);
  for (const auto& record : history) {
    EXPECT_NEAR(record.loss, mean_square(), 1e-10);  // n lambda_1/lambda_6 eps, and some steps
    const Dense step = test::times(J, test::times(S, r));
    for (Index a = 0; a < c; ++a)
      for (Index i = 0; i < n; ++i) r(i, a) -= record.rate * step(i, a);
  }
  EXPECT_LT(history.back().loss, history.front().loss);
}

TEST_F(OwnTraining, TakesThePairsOfASpectrumInMemory) {
  const auto net = network("dense(4) relu dense(2)");
  TrainingOptions options{.precondition = Precondition::kernel, .top = 5};
  options.descent.steps = 6;
  options.descent.record_every = 1;
  const auto computed = run(options, net).second;
  const auto rows = sets().train;
  const auto of_pairs = jobs::plan({.top = 5}, kernel, rows, Resources::of(grid), comm);
  options.spectrum.known = known_pairs(jobs::solve<double>(of_pairs, kernel, rows, grid, silent));
  const auto [plan, given] = run(options, net);
  EXPECT_FALSE(plan.solves);
  const auto& losses = computed.state.history;
  ASSERT_EQ(given.state.history.size(), losses.size());
  for (std::size_t t = 0; t < losses.size(); ++t)
    EXPECT_NEAR(given.state.history[t].loss, losses[t].loss, 1e-10 * losses[0].loss);
}

TEST_F(OwnTraining, TakesAnEmpiricalSFromTheNetworkWhateverKernelIsGiven) {
  const auto net = network("dense(16) relu dense(2)");
  TrainingOptions options{
      .precondition = Precondition::empirical, .top = 5, .operator_spectrum = true};
  options.descent.steps = 6;
  const auto [plan, training] = run(options, net);
  // K_0 S has the eigenvalues lambda_6 (six times), lambda_7, ... of K_0.
  const auto w_0 = net.initial<double>(0);
  const auto K_0 = test::replicated([&] {
    dist::RowBlock<double> by_rows(comm, n, n);
    dist::copy(gram::assemble<double>(*net::empirical_kernel(net, w_0), sets().train.inputs, grid),
               by_rows);
    return by_rows;
  }());
  const auto lambda = test::jacobi(K_0).first;
  ASSERT_TRUE(training.operator_spectrum.has_value());
  const double rounding = 1e-13 * lambda[0];
  EXPECT_NEAR(training.operator_spectrum->largest, lambda[5], rounding);
  EXPECT_NEAR(training.operator_spectrum->smallest, lambda.back(), rounding);
  EXPECT_GT(lambda[0], 2 * lambda[5]);
  // The same bits where the caller gives that kernel.
  kernel = training_kernel<double>(options, kernel, net, w_0);
  const auto [plan_2, again] = run(options, net);
  EXPECT_EQ(training.state.w, again.state.w);
}

TEST_F(OwnTraining, AppliesTheRootOfSFromBothSides) {
  const auto net = network("dense(16) relu dense(2)");
  TrainingOptions options{
      .precondition = Precondition::kernel, .top = 5, .operator_spectrum = true};
  options.descent.steps = 1;
  const auto [plan, training] = run(options, net);
  const auto w_0 = net.initial<double>(0);
  const auto dense_of = [&](const kernel::Kernel& k) {
    dist::RowBlock<double> by_rows(comm, n, n);
    dist::copy(gram::assemble<double>(k, sets().train.inputs, grid), by_rows);
    return test::replicated(by_rows);
  };
  // K_0 S is similar to R K_0 R with R^2 = S, and to L^T S L with K_0 = L L^T, L = V sqrt(lambda).
  const auto of_K_0 = test::jacobi(dense_of(*net::empirical_kernel(net, w_0)));
  const auto& lambda = of_K_0.first;
  const auto& V = of_K_0.second;
  const Dense S = flat_S(dense_of(Laplacian()), 5);
  const Dense L = test::dense(n, n, [&](Index i, Index j) {
    return V(i, j) * std::sqrt(std::max(0.0, lambda[static_cast<std::size_t>(j)]));
  });
  const Dense Lt = test::dense(n, n, [&](Index i, Index j) { return L(j, i); });
  const auto values = test::jacobi(test::times(Lt, test::times(S, L))).first;
  ASSERT_TRUE(training.operator_spectrum.has_value());
  EXPECT_NEAR(training.operator_spectrum->largest, values.front(), 1e-12 * lambda[0]);
  EXPECT_NEAR(training.operator_spectrum->smallest, values.back(), 1e-12 * lambda[0]);
}

TEST_F(OwnTraining, GoesOnFromACheckpointToTheSameBits) {
  const test::TemporaryFolder folder;
  const auto net = network("dense(16) relu dense(2)");
  for (const auto precondition : {Precondition::kernel, Precondition::empirical}) {
    TrainingOptions options{.precondition = precondition, .top = 5};
    options.descent.steps = 20;
    if (precondition == Precondition::empirical) options.descent.refresh = 6;
    const auto whole = run(options, net).second;
    options.checkpoint = folder / fmt::format("{}-{}.h5", name(precondition), half);
    options.descent.steps = 8;
    options.descent.checkpoint_every = 4;
    const auto first = run(options, net).second;
    EXPECT_NE(first.state.w, whole.state.w);
    options.descent.steps = 20;
    options.resume = true;
    const auto [plan, rest] = run(options, net);
    EXPECT_EQ(rest.first_step, 8);
    EXPECT_EQ(rest.state.step, 20);
    EXPECT_EQ(rest.state.w, whole.state.w);
    // Pairs only for the two refreshes that were left, at 12 and 18.
    const double solved = precondition == Precondition::empirical ? 2 : 0;
    EXPECT_DOUBLE_EQ(rest.flops, solved * plan.flops.pairs + 12 * plan.flops.step +
                                     rest.outcome.rate_products * plan.flops.rate_product);
  }
}

TEST_F(OwnTraining, IsWrittenAsOneResult) {
  const test::TemporaryFolder folder;
  const auto net = network("dense(16) relu dense(2)");
  TrainingOptions options{.precondition = Precondition::kernel, .top = 5, .directions = {1, 3}};
  options.descent.steps = 4;
  options.descent.record_every = 1;
  const auto [plan, training] = run<float>(options, net);
  const auto path = folder / fmt::format("result-{}.h5", half);
  {
    auto file = io::Hdf5File::create(comm, path);
    jobs::write(file, plan, training, net, sets());
    file.finish();
  }
  const auto file = io::Hdf5File::open(comm, path, io::Origin::mercer);
  const auto model = read_network_model(file, true);
  EXPECT_EQ(model.n, n);
  EXPECT_EQ(model.rows_hash, sets().train.hash);
  EXPECT_EQ(file.text_attribute("/", "network"), net.text());
  EXPECT_EQ(file.text_attribute("/", "precondition"), "kernel");
  EXPECT_EQ(file.extents("/steps"), (std::vector<Index>{5}));
  EXPECT_EQ(file.extents("/residual_by_eigendirection"), (std::vector<Index>{5, 2}));
  EXPECT_EQ(file.extents("/parameters/layer0/W"), (std::vector<Index>{d, 16}));
  EXPECT_FALSE(file.contains("/predictions"));
}

}  // namespace
}  // namespace mercer::jobs
