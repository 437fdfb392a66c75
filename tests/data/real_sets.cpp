// Real data sets, where their folder is known.
#include <cmath>

#include "files.hpp"

namespace mercer {
namespace {

const comm::Communicator& world() {
  static const comm::Communicator comm = comm::Communicator::world();
  return comm;
}

#define SKIP_WITHOUT_DATA()                       \
  const std::string folder = test::data_folder(); \
  if (folder.empty()) GTEST_SKIP() << "MERCER_DATA_DIR does not name the folder of real data"

double total(const dist::RowBlock<double>& rows) {
  double sum = 0;
  for (double x : rows.values()) sum += x;
  return world().all_reduce(sum, comm::Op::sum);
}

TEST(RealData, Mnist) {
  SKIP_WITHOUT_DATA();
  const auto spec = [&](const std::string& name) {
    return "idx:" + folder + "/mnist/" + name + "-images-idx3-ubyte.gz," + folder + "/mnist/" +
           name + "-labels-idx1-ubyte.gz";
  };
  const auto split = data::load(spec("train"), spec("t10k"), {}, world());
  ASSERT_EQ(split.train.rows(), 60000);
  ASSERT_EQ(split.test->rows(), 10000);
  ASSERT_EQ(split.train.dimension(), 784);
  EXPECT_EQ(split.train.image, (data::ImageShape{28, 28, 1}));
  EXPECT_EQ(split.train.classes.size(), 10);
  // The well-known mean of the training pixels, 0.1307 of 255, and the frequencies of 0 to 9.
  EXPECT_NEAR(total(split.train.inputs) / (60000.0 * 784 * 255), 0.1306605, 1e-7);
  std::vector<Index> frequency(10, 0);
  for (Index label : split.train.labels) ++frequency[static_cast<std::size_t>(label)];
  world().all_reduce(std::span<Index>(frequency), comm::Op::sum);
  EXPECT_EQ(frequency,
            (std::vector<Index>{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949}));
}

TEST(RealData, MnistPreparedForRidgeRegression) {
  SKIP_WITHOUT_DATA();
  data::Options options;
  options.limit = 2000;
  options.unit_norm = options.one_hot = true;
  const auto set = data::load("idx:" + folder + "/mnist/train-images-idx3-ubyte.gz," + folder +
                                  "/mnist/train-labels-idx1-ubyte.gz",
                              "", options, world())
                       .train;
  ASSERT_EQ(set.rows(), 2000);
  ASSERT_EQ(set.outputs(), 10);
  for (Index i = 0; i < set.inputs.local_rows(); ++i) {
    double square = 0, sum = 0;
    for (double x : set.inputs.row(i)) square += x * x;
    for (double y : set.targets.row(i)) sum += y;
    EXPECT_NEAR(square, 1, 1e-13);
    EXPECT_NEAR(sum, 0, 1e-15);
  }
}

TEST(RealData, Cifar) {
  SKIP_WITHOUT_DATA();
  const auto split = data::load("cifar:" + folder + "/cifar10/data_batch_1.bin.gz",
                                folder + "/cifar10/test_batch.bin.gz", {}, world());
  ASSERT_EQ(split.train.rows(), 4000);
  ASSERT_EQ(split.test->rows(), 1000);
  ASSERT_EQ(split.train.dimension(), 3072);
  EXPECT_EQ(split.train.image, (data::ImageShape{32, 32, 3}));
  EXPECT_EQ(split.train.classes.size(), 10);
  if (world().root()) {  // data_batch_1 starts with a frog (6), two trucks (9), a deer (4)
    EXPECT_EQ(split.train.labels[0], 6);
    EXPECT_EQ(split.train.labels[1], 9);
    EXPECT_EQ(split.train.labels[2], 9);
    EXPECT_EQ(split.train.labels[3], 4);
    EXPECT_EQ(split.train.inputs.row(0)[0], 59);  // its first pixel is (59, 62, 63)
    EXPECT_EQ(split.train.inputs.row(0)[1], 62);
    EXPECT_EQ(split.train.inputs.row(0)[2], 63);
  }
}

TEST(RealData, Uci) {
  SKIP_WITHOUT_DATA();
  struct Shape {
    std::string name;
    Index n, d;
  };
  for (const Shape& shape :
       {Shape{"yacht", 308, 6}, Shape{"housing", 506, 13}, Shape{"energy", 768, 8},
        Shape{"concrete", 1030, 8}, Shape{"airfoil", 1503, 5}, Shape{"pol", 15000, 26},
        Shape{"kin40k", 40000, 8}, Shape{"protein", 45730, 9}}) {
    SCOPED_TRACE(shape.name);
    const std::string path = folder + "/uci/" + shape.name;
    data::Options options;
    options.split = path + "/test_mask.csv.gz:0";
    options.standardize = true;
    const auto split = data::load("csv:" + path + "/data.csv.gz", "", options, world());
    EXPECT_EQ(split.train.rows() + split.test->rows(), shape.n);
    EXPECT_EQ(split.train.dimension(), shape.d);
    const double share = static_cast<double>(split.test->rows()) / static_cast<double>(shape.n);
    EXPECT_NEAR(share, 0.1, 0.01);
    // Standardised: every column that is not constant has mean 0 and mean square 1.
    std::vector<double> moments(static_cast<std::size_t>(2 * shape.d), 0);
    const auto n = static_cast<double>(split.train.rows());
    for (Index i = 0; i < split.train.inputs.local_rows(); ++i)
      for (std::size_t j = 0; j < static_cast<std::size_t>(shape.d); ++j) {
        const double x = split.train.inputs.row(i)[j];
        moments[2 * j] += x / n;
        moments[2 * j + 1] += x * x / n;
      }
    world().all_reduce(std::span<double>(moments), comm::Op::sum);
    for (std::size_t j = 0; j < static_cast<std::size_t>(shape.d); ++j) {
      EXPECT_NEAR(moments[2 * j], 0, 1e-12);
      EXPECT_NEAR(moments[2 * j + 1], 1, 1e-12);
    }
  }
}

}  // namespace
}  // namespace mercer
