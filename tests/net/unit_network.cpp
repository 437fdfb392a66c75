#include <gtest/gtest.h>

#include <cmath>

#include "mercer/base/random.hpp"
#include "mercer/net/network.hpp"

namespace mercer {
namespace {

using net::Network, net::Parametrization, net::Start;

arch::Architecture parsed(std::string_view text, double bias_std = 0.1) {
  arch::Options options;
  options.weight_std = 1.5;
  options.bias_std = bias_std;
  return arch::parse(text, options);
}

std::string message_of(const arch::Architecture& architecture, Index inputs = 3) {
  try {
    Network(architecture, inputs, Parametrization::ntk, Start::gaussian);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(Network, LaysItsParametersOutInTheOrderOfTheText) {
  const Network network(parsed("dense(8) res(relu dense(5) relu dense(8)) relu dense(2)"), 3,
                        Parametrization::ntk, Start::antisymmetric);
  const Index fan[][2] = {{3, 8}, {8, 5}, {5, 8}, {8, 2}};
  ASSERT_EQ(network.layers().size(), 4u);
  Index at = 0;
  for (std::size_t l = 0; l < 4; ++l) {
    const net::WeightLayer& layer = network.layers()[l];
    EXPECT_EQ(layer.fan_in, fan[l][0]);
    EXPECT_EQ(layer.fan_out, fan[l][1]);
    EXPECT_EQ(layer.weights, at);
    EXPECT_EQ(layer.biases, at += layer.fan_in * layer.fan_out);
    at += layer.fan_out;
    EXPECT_EQ(layer.weight_scale, 1.5 / std::sqrt(static_cast<double>(layer.fan_in)));
    EXPECT_EQ(layer.bias_scale, 0.1);
    EXPECT_EQ(layer.weight_start, 1);
    EXPECT_EQ(layer.bias_start, 1);
  }
  EXPECT_EQ(network.inputs(), 3);
  EXPECT_EQ(network.outputs(), 2);
  EXPECT_EQ(network.parameters_of_copy(), at);
  EXPECT_EQ(network.parameters(), 2 * at);
}

TEST(Network, PutsTheDeviationsIntoTheStartInTheStandardParametrization) {
  const Network network(parsed("dense(8) relu dense(2)"), 3, Parametrization::standard,
                        Start::gaussian);
  for (const net::WeightLayer& layer : network.layers()) {
    EXPECT_EQ(layer.weight_scale, 1);
    EXPECT_EQ(layer.bias_scale, 1);
    EXPECT_EQ(layer.weight_start, 1.5 / std::sqrt(static_cast<double>(layer.fan_in)));
    EXPECT_EQ(layer.bias_start, 0.1);
  }
  EXPECT_EQ(network.copies(), 1);
}

TEST(Network, PrintsItselfInCanonicalForm) {
  const Network network(parsed(" dense( 8 )  relu dense(2)"), 3, Parametrization::ntk,
                        Start::antisymmetric);
  EXPECT_EQ(network.text(),
            "dense(8) relu dense(2); weight_std=1.5; bias_std=0.1; ntk; antisymmetric");
  EXPECT_EQ(net::name(net::parse_parametrization("standard")), "standard");
  EXPECT_EQ(name(net::parse_start("gaussian")), "gaussian");
  EXPECT_EQ(net::name(net::parse_parametrization("ntk")), "ntk");
  EXPECT_EQ(name(net::parse_start("antisymmetric")), "antisymmetric");
  EXPECT_THROW(net::parse_parametrization("mup"), InputError);
  EXPECT_THROW(net::parse_start("zero"), InputError);
}

TEST(Network, CountsTheFlopsOfARow) {
  const Network network(parsed("dense(8) relu dense(2)"), 3, Parametrization::ntk,
                        Start::antisymmetric);
  EXPECT_EQ(network.forward_flops(), 2 * 2 * (3 * 8 + 8 * 2));
  EXPECT_EQ(network.gradient_flops(), 2 * 2 * (3 * (3 * 8 + 8 * 2) - 3 * 8));
}

TEST(Network, OfImagesLaysConvolutionsOutAsFiltersByChannels) {
  const Network network(
      parsed("conv(3,8) relu avgpool(2) conv(2x3,5,pad=valid,stride=2) relu flatten dense(2)")
          .on({6, 8, 3}),
      6 * 8 * 3, Parametrization::ntk, Start::gaussian);
  ASSERT_EQ(network.layers().size(), 3u);
  // 6x8x3 -> 6x8x8 -> 3x4x8 -> 1x1x5
  const Index fan[][2] = {{27, 8}, {48, 5}, {5, 2}}, pixels[] = {48, 1, 1};
  Index at = 0;
  for (std::size_t l = 0; l < 3; ++l) {
    const net::WeightLayer& layer = network.layers()[l];
    EXPECT_EQ(layer.fan_in, fan[l][0]);
    EXPECT_EQ(layer.fan_out, fan[l][1]);
    EXPECT_EQ(layer.pixels(), pixels[l]);
    EXPECT_EQ(layer.weight_scale, 1.5 / std::sqrt(static_cast<double>(layer.fan_in)));
    EXPECT_EQ(layer.weights, at);
    at = layer.biases + layer.fan_out;
  }
  EXPECT_EQ(network.parameters(), 27 * 8 + 8 + 48 * 5 + 5 + 5 * 2 + 2);
  EXPECT_EQ(network.forward_flops(), 2 * (48 * 27 * 8 + 48 * 5 + 5 * 2));
  EXPECT_NE(network.text().find("; image=6x8x3"), std::string::npos) << network.text();
}

TEST(Network, OfImagesNeedsTheirShapeAndWidths) {
  const auto text = "conv(3,8) relu flatten dense(2)";
  EXPECT_NE(message_of(parsed(text)).find("image"), std::string::npos);
  EXPECT_NE(message_of(parsed(text).on({4, 4, 1}), 15).find("rows of 16 numbers"),
            std::string::npos);
  EXPECT_EQ(message_of(parsed(text).on({4, 4, 1}), 16), "");
  const auto message = message_of(parsed("conv(3) relu flatten dense(2)").on({4, 4, 1}), 16);
  EXPECT_NE(message.find("has no width, which a network needs: conv(3,64)"), std::string::npos)
      << message;
}

TEST(Network, KnowsTheParametersThatAreTrained) {
  const auto ranges = [](const char* text, Start start) {
    std::vector<std::pair<Index, Index>> result;
    for (const auto& [first, count] :
         Network(parsed(text), 3, Parametrization::ntk, start).trained())
      result.emplace_back(first, count);
    return result;
  };
  using Pairs = std::vector<std::pair<Index, Index>>;
  const Index hidden = 3 * 8 + 8, readout = 8 * 2 + 2, copy = hidden + readout;
  EXPECT_EQ(ranges("dense(8) relu dense(2)", Start::antisymmetric), (Pairs{{0, 2 * copy}}));
  EXPECT_EQ(ranges("dense(8) relu dense(2,fixed)", Start::antisymmetric),
            (Pairs{{0, hidden}, {copy, hidden}}));
  EXPECT_EQ(ranges("dense(8,fixed) relu dense(2)", Start::gaussian), (Pairs{{hidden, readout}}));
  const Network fixed(parsed("dense(8,fixed) relu dense(2)"), 3, Parametrization::ntk,
                      Start::gaussian);
  EXPECT_EQ(fixed.gradient_flops(), 2 * (3 * 8 + 8 * 2) + 2 * (2 * 8 * 2));
}

TEST(Network, NamesTheLayerWithoutAWidth) {
  const std::string message = message_of(parsed("dense(8) res(relu dense) relu dense(2)"));
  EXPECT_NE(message.find("\"dense\" at character 19"), std::string::npos) << message;
  EXPECT_EQ(message_of(parsed("dense(8) relu dense(2)")), "");
}

TEST(Network, RefusesAResidualThatChangesTheWidth) {
  // The parser refuses it as well; an architecture can also be put together without it.
  auto architecture = parsed("dense(8) res(relu dense(8)) relu dense(2)");
  std::get<arch::Dense>(std::get<arch::Residual>(architecture.layers[1].what).branch[1].what)
      .width = 7;
  const std::string message = message_of(architecture);
  EXPECT_NE(message.find("adds 7 units to 8"), std::string::npos) << message;
  EXPECT_NE(message.find("\"res(\" at character 10"), std::string::npos) << message;
}

TEST(Network, RefusesAnArchitectureWithoutAReadoutAndInputsWithoutColumns) {
  auto architecture = parsed("dense(8) relu dense(2)");
  EXPECT_NE(message_of(architecture, 0).find("inputs"), std::string::npos);
  architecture.layers.pop_back();
  EXPECT_NE(message_of(architecture).find("end in dense"), std::string::npos);
}

TEST(InitialParameters, AreAFunctionOfTheIndexAlone) {
  const Random random(7, Stream::initial_parameters);
  Index compared = 0;
  for (const auto parametrization : {Parametrization::ntk, Parametrization::standard}) {
    for (const char* text : {"dense(8) relu dense(2)", "dense(3) relu dense(17) relu dense(1)"}) {
      const Network network(parsed(text), 5, parametrization, Start::antisymmetric);
      const auto w = network.initial<double>(7);
      const auto single = network.initial<float>(7);
      const Index p = network.parameters_of_copy();
      ASSERT_EQ(static_cast<Index>(w.size()), 2 * p);
      for (const net::WeightLayer& layer : network.layers())
        for (Index i = layer.weights; i < layer.biases + layer.fan_out; ++i, ++compared) {
          const double deviation = i < layer.biases ? layer.weight_start : layer.bias_start;
          const double value = deviation * random.normal(static_cast<std::uint64_t>(i));
          EXPECT_EQ(w[static_cast<std::size_t>(i)], value);
          EXPECT_EQ(w[static_cast<std::size_t>(p + i)], value);
          EXPECT_EQ(single[static_cast<std::size_t>(i)], static_cast<float>(value));
        }
    }
  }
  EXPECT_EQ(compared, 2 * (5 * 8 + 8 + 8 * 2 + 2 + 5 * 3 + 3 + 3 * 17 + 17 + 17 + 1));
}

}  // namespace
}  // namespace mercer
