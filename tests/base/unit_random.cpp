#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <set>

#include "mercer/base/random.hpp"

namespace mercer {
namespace {

/// Known answers of Philox-4x32-10: counter, key and output words as published with Random123
/// (file kat_vectors). Counter words: index low and high, stream, substream; key words: the seed.
struct KnownAnswer {
  std::array<std::uint32_t, 4> counter;
  std::array<std::uint32_t, 2> key;
  std::array<std::uint32_t, 4> output;
};
constexpr KnownAnswer kAnswers[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

std::uint64_t join(std::uint32_t high, std::uint32_t low) {
  return (std::uint64_t{high} << 32) | low;
}
double unit(std::uint32_t high, std::uint32_t low) {
  return (static_cast<double>(join(high, low) >> 11) + 0.5) * 0x1p-53;
}

TEST(Philox, GivesThePublishedAnswers) {
  for (const auto& [counter, key, output] : kAnswers) {
    const Random random(join(key[1], key[0]), static_cast<Stream>(counter[2]), counter[3]);
    const std::uint64_t index = join(counter[1], counter[0]);
    const double u = unit(output[0], output[1]), v = unit(output[2], output[3]);
    EXPECT_EQ(random.uniform(index), u);
    EXPECT_DOUBLE_EQ(random.normal(index),
                     std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
  }
}

TEST(Philox, GivesDifferentNumbersForEverySeedStreamSubstreamAndIndex) {
  std::set<double> values;
  for (std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32})
    for (Stream stream : {Stream::data_inputs, Stream::data_targets, Stream::test})
      for (std::uint32_t substream : {0u, 1u, 7u})
        for (std::uint64_t index : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32})
          values.insert(Random(seed, stream, substream).uniform(index));
  EXPECT_EQ(values.size(), 81u);
}

TEST(Philox, KeepsNoStateBetweenCalls) {
  const Random a(5, Stream::test), b(5, Stream::test);
  const double first = a.normal(3);
  a.normal(4);
  a.uniform(3);
  EXPECT_EQ(a.normal(3), first);
  EXPECT_EQ(b.normal(3), first);
}

// For n independent samples the mean of x has a deviation of sd(x)/sqrt(n): five of them are
// allowed.
TEST(Philox, HasTheMomentsOfItsDistributions) {
  const Random random(1, Stream::test);
  const int n = 200000;
  double uniform = 0, normal = 0, square = 0, neighbours = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    const double u = random.uniform(i), z = random.normal(i);
    EXPECT_TRUE(u > 0 && u < 1);
    uniform += u / n;
    normal += z / n;
    square += z * z / n;
    neighbours += z * random.normal(i + 1) / n;
  }
  const double five = 5 / std::sqrt(static_cast<double>(n));
  EXPECT_NEAR(uniform, 0.5, five * std::sqrt(1.0 / 12));
  EXPECT_NEAR(normal, 0, five);
  EXPECT_NEAR(square, 1, five * std::sqrt(2.0));
  EXPECT_NEAR(neighbours, 0, five);
}

}  // namespace
}  // namespace mercer
