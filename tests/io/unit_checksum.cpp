#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "mercer/io/checksum.hpp"

namespace mercer {
namespace {

using io::Checksum;

std::vector<std::byte> example() {
  std::vector<std::byte> bytes;
  for (int i = 0; i < 1003; ++i) bytes.push_back(static_cast<std::byte>((i * i + 7) % 256));
  return bytes;
}

// Values of the formula by another program.
TEST(Checksum, IsTheSumThatTheFormulaGives) {
  const std::string text = "Mercer";
  EXPECT_EQ(io::checksum_terms({}, 0), 0u);
  EXPECT_EQ(io::checksum_terms(std::as_bytes(std::span(text)), 0), 0x623d25fe6b97a9e2u);
  EXPECT_EQ(io::checksum_terms(example(), 0), 0x8e2778b0b1149edeu);
}

TEST(Checksum, DoesNotDependOnHowTheBytesAreShared) {
  const auto bytes = example();
  const std::span<const std::byte> all(bytes);
  for (const std::size_t piece : {8, 16, 64, 504, 1000, 1008}) {
    std::uint64_t sum = 0;
    for (std::size_t at = 0; at < all.size(); at += piece)
      sum += io::checksum_terms(all.subspan(at, std::min(piece, all.size() - at)),
                                static_cast<Index>(at));
    EXPECT_EQ(sum, io::checksum_terms(bytes, 0)) << piece;
  }
}

TEST(Checksum, ChangesWithEverySingleBitAndWithTheOrderOfWords) {
  auto bytes = example();
  const auto sum = io::checksum_terms(bytes, 0);
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_NE(io::checksum_terms(bytes, 0), sum) << bit;
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  std::swap_ranges(bytes.begin(), bytes.begin() + 8, bytes.begin() + 96);
  EXPECT_NE(io::checksum_terms(bytes, 0), sum);
}

TEST(Checksum, HasALineThatIsReadBackAndNotTakenWhenDamaged) {
  const Checksum checksum{123456, 0x0123456789abcdef};
  const auto block = io::checksum_block(checksum);
  EXPECT_EQ(block.size(), 512u);
  EXPECT_EQ(block.substr(0, block.find('\n')), "Mercer checksum 1 123456 0123456789abcdef");
  EXPECT_TRUE(io::has_checksum(block));
  EXPECT_EQ(io::parse_checksum_block(block), checksum);
  for (std::size_t bit = 0; bit < 8 * block.size(); ++bit) {
    auto damaged = block;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_TRUE(io::has_checksum(damaged)) << bit;
    EXPECT_NE(io::parse_checksum_block(damaged), checksum) << bit;
  }
  for (std::size_t length = 0; length < block.size(); ++length)
    EXPECT_FALSE(io::parse_checksum_block(block.substr(0, length))) << length;
  for (const char* other : {"", "\x89HDF\r\n\x1a\n", "MATLAB 7.3 MAT-file, Platform: GLNXA64"})
    EXPECT_FALSE(io::has_checksum(other));
}

}  // namespace
}  // namespace mercer
