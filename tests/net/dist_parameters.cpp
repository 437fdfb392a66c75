// Weight files on several ranks.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <limits>

#include "mercer/net/parameters.hpp"

namespace mercer::net {
namespace {

using io::Hdf5File;

struct Parameters : testing::Test {
  const comm::Communicator world = comm::Communicator::world();
  const std::string path = "/tmp/mercer-dist-parameters-" + std::to_string(world.size()) + ".h5";

  Parameters() { remove(); }
  ~Parameters() override { remove(); }
  void remove() {
    world.barrier();
    if (world.root()) std::filesystem::remove(path);
    world.barrier();
  }
  template <class T>
  void write_file(const Network& network, const std::vector<T>& w) {
    auto file = Hdf5File::create(world, path);
    write<T>(file, network, w);
    file.finish();
  }
  /// A file made of datasets and attributes, as another program would write it.
  void compose(const std::function<void(Hdf5File&)>& body) {
    auto file = Hdf5File::create(world, path);
    body(file);
    file.finish();
  }
  void matrix(Hdf5File& file, const std::string& name, Index rows, Index cols, double value = 1) {
    dist::RowBlock<double> W(world, rows, cols);
    std::ranges::fill(W.values(), value);
    file.write(name, W);
  }
  /// What reading throws: it must name the file and `words`.
  void refused(const std::vector<std::string>& words) {
    try {
      read_network(Hdf5File::open(world, path));
      ADD_FAILURE() << "was read";
    } catch (const InputError& error) {
      const std::string text = error.what();
      EXPECT_EQ(text.rfind(path, 0), 0u) << text;
      for (const auto& word : words) EXPECT_NE(text.find(word), std::string::npos) << text;
    }
  }
};

const arch::Options kScales{.weight_std = 1.25, .bias_std = 0.5};

Network network(const std::string& text, Parametrization p, Start s) {
  return Network(arch::parse(text, kScales), 5, p, s);
}

TEST_F(Parameters, ComeBackToTheBitWithTheirNetwork) {
  for (const Parametrization p : {Parametrization::ntk, Parametrization::standard})
    for (const Start s : {Start::gaussian, Start::antisymmetric}) {
      const auto net = network("dense(7) relu res(dense(3) gelu dense(7)) dense(2)", p, s);
      auto w = net.initial<double>(1);
      for (std::size_t k = 0; k < w.size(); ++k) w[k] += static_cast<double>(k);  // unlike copies
      write_file(net, w);
      const auto stored = read_network(Hdf5File::open(world, path));
      EXPECT_EQ(stored.network.text(), net.text());
      EXPECT_EQ(stored.parameters, w);
      EXPECT_EQ(hash<double>(stored.parameters), hash<double>(w));
      EXPECT_EQ(read_parameters(Hdf5File::open(world, path), net), w);
      remove();
    }
}

TEST_F(Parameters, OfSinglePrecisionComeBackToTheBit) {
  const auto net = network("dense(40) tanh dense(1)", Parametrization::ntk, Start::gaussian);
  const auto w = net.initial<float>(2);
  write_file(net, w);
  const auto stored = read_parameters(Hdf5File::open(world, path), net);
  EXPECT_EQ(std::vector<float>(stored.begin(), stored.end()), w);
}

TEST_F(Parameters, LieInRowMajorDatasetsByLayer) {
  const auto net = network("dense(6) relu dense(2)", Parametrization::ntk, Start::antisymmetric);
  std::vector<double> w(static_cast<std::size_t>(net.parameters()));
  for (std::size_t k = 0; k < w.size(); ++k) w[k] = static_cast<double>(k);
  write_file(net, w);
  const auto file = Hdf5File::open(world, path);
  EXPECT_EQ(file.extents("/parameters/layer0/W"), (std::vector<Index>{5, 6}));
  EXPECT_EQ(file.extents("/parameters/layer1/b"), (std::vector<Index>{2}));
  EXPECT_EQ(file.read_vector("/parameters/layer0/b").at(1), 31);
  EXPECT_EQ(file.read_vector("/parameters/layer1/W").at(0), 36);
  EXPECT_EQ(file.read_vector("/parameters/mirror/layer0/W").at(0), 50);
  EXPECT_EQ(file.text_attribute("/parameters", "start"), "antisymmetric");
}

TEST_F(Parameters, OfConvolutionsLieAsFilterByChannels) {
  const std::string text = "conv(2x3,4,pad=valid) relu conv(1,2) relu flatten dense(3)";
  const Network net(arch::parse(text, kScales).on({5, 4, 2}), 40, Parametrization::ntk,
                    Start::antisymmetric);
  std::vector<double> w(static_cast<std::size_t>(net.parameters()));
  for (std::size_t k = 0; k < w.size(); ++k) w[k] = static_cast<double>(k);
  write_file(net, w);
  const auto file = Hdf5File::open(world, path);
  EXPECT_EQ(file.extents("/parameters/layer0/W"), (std::vector<Index>{2, 3, 2, 4}));
  EXPECT_EQ(file.extents("/parameters/layer1/W"), (std::vector<Index>{1, 1, 4, 2}));
  EXPECT_EQ(file.extents("/parameters/layer2/W"), (std::vector<Index>{4 * 2 * 2, 3}));
  EXPECT_EQ(file.text_attribute("/parameters", "image"), "5x4x2");
  const auto stored = read_network(file);
  EXPECT_EQ(stored.network.text(), net.text());
  EXPECT_EQ(stored.parameters, w);
  EXPECT_EQ(read_parameters(file, net), w);
  const Network wide(arch::parse(text, kScales).on({4, 5, 2}), 40, Parametrization::ntk,
                     Start::antisymmetric);
  EXPECT_THROW(read_parameters(file, wide), InputError);
}

TEST_F(Parameters, OfImagesElsewhereNeedTheirShape) {
  const auto stored_as = [&](std::vector<Index> filter) {
    compose([&](Hdf5File& file) {
      const Index n = filter.front();
      Index size = 1;
      for (const Index extent : filter) size *= extent;
      dist::RowBlock<double> W(world, n, size / n);
      std::ranges::fill(W.values(), 1.0);
      file.write<double>("/parameters/layer0/W", n, W.transposed(), std::span(filter).subspan(1));
      file.write("/parameters/layer0/b", std::vector<double>(2, 1));
      matrix(file, "/parameters/layer1/W", 2, 1);
      file.write("/parameters/layer1/b", std::vector<double>(1, 1));
      file.attribute("/", "architecture", std::string("conv(3,2) relu gap dense(1)"));
    });
  };
  stored_as({3, 3, 1, 2});
  refused({"image", "28x28x1"});
  const auto stored = read_network(Hdf5File::open(world, path), {}, {6, 5, 1});
  EXPECT_EQ(stored.network.inputs(), 30);
  EXPECT_EQ(
      stored.network.text(),
      "conv(3,2) relu gap dense(1); weight_std=1.4142135623730951; bias_std=0; ntk; gaussian; "
      "image=6x5x1");
  EXPECT_THROW(read_network(Hdf5File::open(world, path), {}, {6, 5, 3}), InputError);
  remove();
  stored_as({9, 2});
  EXPECT_THROW(read_network(Hdf5File::open(world, path), {}, {6, 5, 1}), InputError);
}

TEST_F(Parameters, OfOneCopyServeBothCopiesAndNotTheOtherWayRound) {
  const std::string text = "dense(6) relu dense(1)";
  const auto one = network(text, Parametrization::ntk, Start::gaussian);
  const auto two = network(text, Parametrization::ntk, Start::antisymmetric);
  write_file(one, one.initial<double>(4));
  EXPECT_EQ(read_parameters(Hdf5File::open(world, path), two), two.initial<double>(4));
  remove();
  write_file(two, two.initial<double>(4));
  EXPECT_THROW(read_parameters(Hdf5File::open(world, path), one), InputError);
}

TEST_F(Parameters, OfAnotherNetworkAreRefused) {
  const auto net = network("dense(6) relu dense(1)", Parametrization::ntk, Start::gaussian);
  write_file(net, net.initial<double>(4));
  const auto file = Hdf5File::open(world, path);
  const auto refuses = [&](const Network& other) {
    EXPECT_THROW(read_parameters(file, other), InputError) << other.text();
  };
  refuses(network("dense(6) erf dense(1)", Parametrization::ntk, Start::gaussian));
  refuses(network("dense(7) relu dense(1)", Parametrization::ntk, Start::gaussian));
  refuses(network("dense(6) relu dense(1)", Parametrization::standard, Start::gaussian));
  refuses({arch::parse("dense(6) relu dense(1)"), 5, Parametrization::ntk, Start::gaussian});
  refuses(
      {arch::parse("dense(6) relu dense(1)", kScales), 4, Parametrization::ntk, Start::gaussian});
}

TEST_F(Parameters, OfAFileWrittenElsewhereNeedOnlyDatasetsAndArchitecture) {
  compose([&](Hdf5File& file) {
    matrix(file, "/parameters/layer0/W", 3, 4, 2);
    file.write("/parameters/layer0/b", std::vector<double>(4, 5));
    matrix(file, "/parameters/layer1/W", 4, 1, 7);
    file.write("/parameters/layer1/b", std::vector<double>(1, 9));
    file.attribute("/", "architecture", std::string("dense(4)  relu dense(1)"));
  });
  const auto stored = read_network(Hdf5File::open(world, path));
  EXPECT_EQ(stored.network.text(),
            "dense(4) relu dense(1); weight_std=1.4142135623730951; bias_std=0; ntk; gaussian");
  std::vector<double> w(12, 2);
  w.insert(w.end(), 4, 5);
  w.insert(w.end(), 4, 7);
  w.push_back(9);
  EXPECT_EQ(stored.parameters, w);
}

TEST_F(Parameters, ThatAreDamagedAreRefusedWithWhatIsWrong) {
  const auto one_layer = [&](const std::function<void(Hdf5File&)>& change, double value = 1) {
    compose([&](Hdf5File& file) {
      matrix(file, "/parameters/layer0/W", 3, 1, value);
      file.write("/parameters/layer0/b", std::vector<double>(1, 1));
      change(file);
    });
  };
  const auto named = [](const std::string& text) {
    return [text](Hdf5File& file) { file.attribute("/parameters", "architecture", text); };
  };
  compose([&](Hdf5File& file) { matrix(file, "/kernel", 3, 3); });
  refused({"/parameters"});
  one_layer([](Hdf5File&) {});
  refused({"architecture"});
  one_layer(named("dense(2)"));
  refused({"layer0/W", "3 x 1", "3 x 2"});
  one_layer(named("dense(1) relu dense(1)"));
  refused({"layer1/W"});
  one_layer(named("dense relu dense"));
  refused({"width"});
  one_layer(named("dence(1)"));
  refused({"dence"});
  one_layer(named("dense(1)"), std::numeric_limits<double>::quiet_NaN());
  refused({"layer0/W", "nan"});
  one_layer(named("dense(1)"), std::numeric_limits<double>::infinity());
  refused({"layer0/W", "inf"});
  one_layer([&](Hdf5File& file) {
    named("dense(1)")(file);
    matrix(file, "/parameters/layer1/W", 1, 1);
  });
  refused({"layer1", "1 layers of weights"});
  one_layer([&](Hdf5File& file) {
    named("dense(1)")(file);
    file.attribute("/parameters", "weight_std", -1.0);
  });
  refused({"weight_std"});
  one_layer([&](Hdf5File& file) {
    named("dense(1)")(file);
    file.attribute("/parameters", "parametrization", std::string("mup"));
  });
  refused({"mup"});
  one_layer([&](Hdf5File& file) {
    named("dense(1)")(file);
    file.attribute("/parameters", "start", std::string("antisymmetric"));
  });
  refused({"mirror"});
  one_layer(named("dense(1)"));
  EXPECT_EQ(read_network(Hdf5File::open(world, path)).network.parameters(), 4);
}

}  // namespace
}  // namespace mercer::net
