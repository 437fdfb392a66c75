// Training images followed by their mirror images.
#include <cmath>

#include "files.hpp"

namespace mercer {
namespace {

using test::load_error;
using test::TemporaryFolder;

constexpr Index kImages = 7, kHeight = 3, kWidth = 4, kChannels = 2;
constexpr Index kNumbers = kHeight * kWidth * kChannels;

const comm::Communicator& world() {
  static const comm::Communicator comm = comm::Communicator::world();
  return comm;
}
double pixel(Index i, Index y, Index x, Index c) {
  return std::sin(static_cast<double>(100 * i + 20 * y + 3 * x + c));
}
double in_file(Index p) {
  const Index i = p / kNumbers, rest = p % kNumbers;
  return pixel(i, rest / (kWidth * kChannels), rest / kChannels % kWidth, rest % kChannels);
}
std::string images(const TemporaryFolder& folder, const std::string& shape = "(7, 3, 4, 2)") {
  const auto y = test::npy<std::int16_t>("<i2", "(7,)", kImages,
                                         [](Index p) { return static_cast<double>(p * p % 3); });
  const auto x = test::npy<double>("<f8", shape, kImages * kNumbers, in_file);
  return "npy:" + folder.write("x" + std::to_string(shape.size()) + ".npy", x) + "," +
         folder.write("y.npy", y);
}

TEST(Augment, PutsTheMirrorImagesBehindTheImages) {
  const TemporaryFolder folder;
  const auto spec = images(folder);
  for (const Index limit : {-1, 5, 1}) {
    const Index n = limit > 0 ? limit : kImages;
    data::Options options;
    options.limit = limit;
    options.augment = "flip";
    options.scale = 2;
    options.one_hot = n > 1;
    const auto set = data::load(spec, "", options, world()).train;
    ASSERT_EQ(set.rows(), 2 * n);
    EXPECT_EQ(set.known_rows, 2 * n);
    ASSERT_EQ(std::ssize(set.file_rows), set.inputs.local_rows());
    for (Index r = 0; r < set.inputs.local_rows(); ++r) {
      const Index g = set.inputs.first_row() + r, i = g % n;
      EXPECT_EQ(set.file_rows[static_cast<std::size_t>(r)], i);
      for (Index y = 0; y < kHeight; ++y)
        for (Index x = 0; x < kWidth; ++x)
          for (Index c = 0; c < kChannels; ++c)
            EXPECT_EQ(set.inputs.row(r)[static_cast<std::size_t>((y * kWidth + x) * kChannels + c)],
                      2 * pixel(i, y, g < n ? x : kWidth - 1 - x, c));
      if (!options.one_hot) continue;
      const Index label = i * i % 3, classes = set.outputs();
      EXPECT_EQ(set.labels[static_cast<std::size_t>(r)], label);
      for (Index j = 0; j < classes; ++j)
        EXPECT_EQ(set.targets.row(r)[static_cast<std::size_t>(j)],
                  (j == label ? 1 : 0) - 1 / static_cast<double>(classes));
    }
  }
}

TEST(Augment, ChangesTheHashAndLeavesTestRowsAlone) {
  const TemporaryFolder folder;
  const auto spec = images(folder);
  data::Options options;
  const auto plain = data::load(spec, spec, options, world());
  options.augment = "flip";
  const auto flipped = data::load(spec, spec, options, world());
  EXPECT_NE(plain.train.hash, flipped.train.hash);
  EXPECT_EQ(plain.test->hash, flipped.test->hash);
  EXPECT_EQ(plain.test->rows(), kImages);
  bool said = false;
  for (const auto& note : flipped.train.notes)
    said = said || note.find("7 rows, and behind them their mirror images") != std::string::npos;
  EXPECT_TRUE(said);
}

TEST(Augment, StandardizesByAllOfItsRows) {
  const TemporaryFolder folder;
  data::Options options;
  options.augment = "flip";
  options.standardize = true;
  const auto set = data::load(images(folder), "", options, world());
  const auto& mean = set.preparation.standardization.input_mean;
  ASSERT_EQ(std::ssize(mean), kNumbers);
  for (Index y = 0; y < kHeight; ++y)
    for (Index x = 0; x < kWidth; ++x)
      for (Index c = 0; c < kChannels; ++c) {
        double sum = 0;
        for (Index i = 0; i < kImages; ++i)
          sum += pixel(i, y, x, c) + pixel(i, y, kWidth - 1 - x, c);
        // 14 terms of at most 1, summed in another order
        EXPECT_NEAR(mean[static_cast<std::size_t>((y * kWidth + x) * kChannels + c)],
                    sum / (2 * kImages), 14 * 1.2e-16);
      }
}

TEST(Augment, TakesTheShapeOfRowsThatDoNotTellIt) {
  const TemporaryFolder folder;
  data::Options options;
  options.augment = "flip";
  const auto known = data::load(images(folder), "", options, world()).train;
  options.augment = "flip:3x4x2";
  const auto told = data::load(images(folder, "(7, 24)"), "", options, world()).train;
  EXPECT_EQ(known.hash, told.hash);
}

TEST(Augment, OfWhatAreNoImagesIsRefused) {
  const TemporaryFolder folder;
  const auto flat = images(folder, "(7, 24)");
  data::Options options;
  const auto refusal = [&](const std::string& augment) {
    options.augment = augment;
    return load_error(flat, options);
  };
  for (const auto& [augment, word] : {std::pair{"flip", "flip:HxWxC"},
                                      {"flip:3x4x3", "36 numbers"},
                                      {"flip:24x1x1", "1 pixel wide"},
                                      {"flop", "flip:HxWxC"},
                                      {"flip:3x4", "flip:HxWxC"},
                                      {"flip:", "flip:HxWxC"},
                                      {"flip:3x4x2x1", "flip:HxWxC"},
                                      {"flip:3x0x8", "flip:HxWxC"},
                                      {"flip:3x4x2 ", "flip:HxWxC"}}) {
    const auto what = refusal(augment);
    EXPECT_NE(what.find(word), std::string::npos) << augment << ": " << what;
    EXPECT_NE(what.find("`augment`"), std::string::npos) << what;
  }
}

}  // namespace
}  // namespace mercer
