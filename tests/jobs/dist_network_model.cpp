// Predictions of stored networks, against the network itself and plain arithmetic.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/files.hpp"
#include "mercer/data/preparation_file.hpp"
#include "mercer/jobs/network_model.hpp"
#include "mercer/jobs/training.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/net/parameters.hpp"

namespace mercer::jobs {
namespace {

constexpr Index kRows = 23, kInputs = 3, kOutputs = 2;

double coordinate(Index i, Index a) {
  return std::sin(static_cast<double>(5 * i + 3 * a + 1)) + static_cast<double>(a);
}

struct StoredNetworks : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  dist::ProcessGrid grid{world};
  test::TemporaryFolder folder;
  Monitor silent;

  static net::Network network(net::Start start) {
    return {arch::parse("dense(12) relu dense(2)", {.bias_std = 0.5}), kInputs,
            net::Parametrization::ntk, start};
  }
  /// A table of inputs and two targets.
  std::string table() const {
    std::string text;
    for (Index i = 0; i < kRows; ++i)
      text += fmt::format("{},{},{},{},{}\n", coordinate(i, 0), coordinate(i, 1), coordinate(i, 2),
                          10 + coordinate(i, 3), coordinate(i + 1, 4));
    return folder.write("rows.csv", text);
  }
  data::Options options() const {
    data::Options options{.scale = 3, .standardize = true, .unit_norm = true};
    options.csv_target = "3,4";
    return options;
  }
  /// A file of the weights and, where there is one, the preparation.
  std::string file(const net::Network& net, const std::vector<double>& w,
                   const data::Preparation* preparation) const {
    const auto path = folder / "W.h5";
    auto out = io::Hdf5File::create(world, path);
    net::write<double>(out, net, w);
    if (preparation != nullptr) data::write(out, *preparation);
    out.finish();
    return path;
  }
  NetworkModel model(const std::string& path, bool single = false) const {
    return read_network_model(io::Hdf5File::open(world, path), single);
  }
};

TEST_F(StoredNetworks, PredictWhatTheNetworkDoesAtPreparedRows) {
  const auto spec = table();
  const auto sets = data::load(spec, spec, options(), world);
  for (const auto start : {net::Start::gaussian, net::Start::antisymmetric}) {
    const auto net = network(start);
    auto w = net.initial<double>(1);
    w[0] += 1;  // an antisymmetric network is then not 0
    const auto expected =
        evaluate(net::outputs(net, w, sets.test->inputs), *sets.test, sets.preparation);
    const auto stored = model(file(net, w, &sets.preparation));
    EXPECT_TRUE(stored.prepared);
    EXPECT_EQ(stored.preparation, sets.preparation);
    test::expect_words(stored.text(), {"multiplied by 3, standardized, divided by their norms"});
    const auto rows = load_new_rows(stored, spec, {}, world);
    EXPECT_EQ(rows.hash, sets.test->hash);
    const auto predictions = predict(stored, rows, silent);
    const auto f = predictions.values.values(), g = expected.values.values();
    ASSERT_EQ(f.size(), g.size());
    EXPECT_TRUE(std::equal(f.begin(), f.end(), g.begin()));
    EXPECT_EQ(*predictions.scores.rmse, *expected.scores.rmse);
    EXPECT_EQ(text(predictions.scores, stored.preparation),
              text(expected.scores, sets.preparation));
  }
}

TEST_F(StoredNetworks, TakeRowsAsTheyAreWhereTheFileStatesNoPreparation) {
  const auto net = network(net::Start::gaussian);
  const auto w = net.initial<double>(1);
  const auto stored = model(file(net, w, nullptr));
  EXPECT_FALSE(stored.prepared);
  test::expect_words(stored.text(), {"W.h5", "taken as they are"});
  const auto rows = load_new_rows(stored, table(), {}, world);  // the last two columns are targets
  EXPECT_EQ(test::expect_rows(rows.inputs, coordinate), kRows * kInputs);
  EXPECT_EQ(rows.outputs(), kOutputs);
  const auto predictions = predict(stored, rows, silent);
  const auto expected = net::outputs(net, w, rows.inputs);
  const auto f = predictions.values.values(), g = expected.values();
  EXPECT_TRUE(std::equal(f.begin(), f.end(), g.begin()));
  EXPECT_TRUE(predictions.scores.known());
}

TEST_F(StoredNetworks, RoundTheWeightsInSinglePrecision) {
  const auto net = network(net::Start::gaussian);
  const auto w = net.initial<double>(1);
  const auto path = file(net, w, nullptr);
  EXPECT_EQ(model(path).parameters, w);
  const auto single = model(path, true).parameters;
  for (std::size_t i = 0; i < w.size(); ++i) EXPECT_EQ(single[i], static_cast<float>(w[i]));
}

TEST_F(StoredNetworks, RefuseWhatDoesNotFit) {
  const auto net = network(net::Start::gaussian);
  const auto w = net.initial<double>(1);
  data::Preparation other;
  other.train = "npy:X.npy";
  other.dimension = 4;
  other.outputs = kOutputs;
  const auto wrong = file(net, w, &other);
  test::expect_words(test::input_error([&] { model(wrong); }), {"W.h5", "4 inputs", "3 and 2"});
  const auto stored = model(file(net, w, nullptr));
  const auto rows_of = [&](Index d, Index c) {
    dist::RowBlock<double> X(world, kRows, d), Y(world, kRows, c);
    for (double& x : X.values()) x = 1;
    for (double& y : Y.values()) y = 1;
    return data::of_rows(std::move(X), std::move(Y));
  };
  test::expect_words(test::input_error([&] { predict(stored, rows_of(kInputs, 3), silent); }),
                     {"3 targets", "2 outputs"});
  test::expect_words(test::input_error([&] { predict(stored, rows_of(4, kOutputs), silent); }),
                     {"3 inputs", "4 columns"});
  auto huge = stored;
  for (double& v : huge.parameters) v = std::numeric_limits<double>::max();
  test::expect_words(
      test::error<RunError>([&] { predict(huge, rows_of(kInputs, kOutputs), silent); }),
      {"overflow"});
}

TEST_F(StoredNetworks, PlanTheMemoryOfParametersRowsAndOnePass) {
  const auto net = network(net::Start::gaussian);
  const auto stored = model(file(net, net.initial<double>(1), nullptr));
  const auto resources = Resources::of(grid);
  const auto few = plan_prediction(stored, 1000, resources);
  const auto many = plan_prediction(stored, 100000, resources);
  const double rows = 8.0 * (100000 / world.size()) * (kInputs + kOutputs);
  EXPECT_GE(many.peak(), resources.baseline + rows);
  EXPECT_GT(many.peak(), few.peak());
  EXPECT_DOUBLE_EQ(many.flops(), 1e5 * net.forward_flops());
}

}  // namespace
}  // namespace mercer::jobs
