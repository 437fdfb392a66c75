#include <gtest/gtest.h>

#include "mercer/spectral/eigenpairs.hpp"

namespace mercer::spectral {
namespace {

TEST(Methods, AreReadAsTheyArePrinted) {
  for (const Method m : {Method::automatic, Method::elpa1, Method::elpa2, Method::scalapack,
                         Method::lapack, Method::krylov})
    EXPECT_EQ(parse_method(name(m)), m);
}

TEST(Methods, ThatAreUnknownAreRefusedWithTheNamesThatExist) {
  for (const char* text : {"", "elpa", "ELPA1", "lanczos"}) {
    try {
      parse_method(text);
      FAIL() << text;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find("elpa1"), std::string::npos) << error.what();
    }
  }
}

TEST(Plans, OfAFullDecompositionAreFourMatricesAndHalfAOneMoreForTheSecondStage) {
  for (const auto shape : {dist::GridShape{1, 1}, dist::GridShape{1, 2}, dist::GridShape{2, 2}})
    for (const Method m : {Method::elpa1, Method::elpa2, Method::scalapack}) {
      const Plan p = plan(20000, -1, true, m, shape, 64, false);
      const double matrix = 8.0 * 20000 * 20000 / (shape.rows * shape.cols);
      EXPECT_GE(p.bytes_per_rank, 2 * matrix);
      EXPECT_LE(p.bytes_per_rank, (m == Method::elpa2 ? 4.7 : 4.1) * matrix);
      EXPECT_GT(p.flops, 1e13);
    }
}

TEST(Blocks, AreAtMostAQuarterOfARanksShare) {
  EXPECT_EQ(recommended_block(100000, {2, 2}), 64);
  EXPECT_EQ(recommended_block(300, {1, 2}), 37);
  EXPECT_EQ(recommended_block(3, {1, 2}), 16);
}

}  // namespace
}  // namespace mercer::spectral
