#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "mercer/base/error.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"

namespace mercer::msk {
namespace {

using Positivity = SpectrumMap::Positivity;

std::vector<double> g_of(const char* text, std::vector<double> lambda, double next,
                         bool all = false) {
  return SpectrumMap::parse(text).apply(lambda, next, all, Positivity::nonnegative).g;
}

class TableFile {
 public:
  explicit TableFile(const std::string& content) { std::ofstream(path_) << content; }
  ~TableFile() { std::filesystem::remove(path_); }
  std::string spec() const { return "table:" + path_.string(); }

 private:
  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("mercer_g_" + std::to_string(::getpid()) + ".csv");
};

TEST(SpectrumMap, NamedFamiliesFollowTheirFormulas) {
  const std::vector<double> lambda{8, 4, 2};
  EXPECT_EQ(g_of("flat", lambda, 1), (std::vector<double>{1, 1, 1}));
  EXPECT_EQ(g_of(" flat:0.5 ", lambda, 1), (std::vector<double>{0.5, 0.5, 0.5}));
  EXPECT_EQ(g_of("identity", lambda, 1), lambda);
  EXPECT_EQ(g_of("inverse", lambda, 1), (std::vector<double>{1, 1, 1}));
  const auto g = g_of("power:0.5", lambda, 0.5);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_DOUBLE_EQ(g[i], std::sqrt(0.5 * lambda[i]));
}

TEST(SpectrumMap, ExpressionsSeeTheEigenvalueTheNextOneTheFirstOneAndTheIndex) {
  const std::vector<double> lambda{8, 4, 2};
  const auto g = g_of("sqrt(l*lk)", lambda, 1);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_DOUBLE_EQ(g[i], std::sqrt(lambda[i]));
  EXPECT_EQ(g_of("min(l, 3)", lambda, 1), (std::vector<double>{3, 3, 2}));
  EXPECT_EQ(g_of("l^2/l1", lambda, 1), (std::vector<double>{8, 2, 0.5}));
  EXPECT_EQ(g_of("i <= 2 ? lk : l", lambda, 1), (std::vector<double>{1, 1, 2}));
  EXPECT_EQ(g_of("i == 1 ? 5 : 2*i", lambda, 1), (std::vector<double>{5, 4, 6}));
}

TEST(SpectrumMap, AtKEqualNTheSmallestKeptEigenvalueStandsForTheNext) {
  const std::vector<double> lambda{8, 4, 2, 1e-16, -1e-17};
  const auto s = SpectrumMap::parse("flat").apply(lambda, 1e-16, true, Positivity::positive);
  EXPECT_EQ(s.next, 2);
  EXPECT_EQ(s.left_out, 2);
  EXPECT_EQ(s.g, (std::vector<double>{2, 2, 2, 1e-16, -1e-17}));
  EXPECT_EQ(s.ratio(), (std::vector<double>{0.25, 0.5, 1, 1, 1}));
}

TEST(SpectrumMap, ANextEigenvalueThatIsNoiseIsNotTakenForLk) {
  const std::vector<double> lambda{8, 4, 2};
  for (double noise : {1e-16, 0.0, -1e-16, test::kNaN}) {
    const auto s = SpectrumMap::parse("flat").apply(lambda, noise, false, Positivity::positive);
    EXPECT_EQ(s.next, 2);
    EXPECT_EQ(s.g, (std::vector<double>{2, 2, 2}));
  }
}

TEST(SpectrumMap, LeavesOutWhatTheToleranceSaysAndNothingElse) {
  const std::vector<double> lambda{1, 1e-3, 1e-6};
  for (const auto& [tolerance, left_out] : {std::pair{0.0, 0}, {1e-7, 0}, {1e-6, 1}, {1e-3, 2}}) {
    const auto s =
        SpectrumMap::parse("inverse").apply(lambda, 0, true, Positivity::positive, tolerance);
    EXPECT_EQ(s.left_out, left_out);
    for (std::size_t i = 0; i < 3; ++i)
      EXPECT_EQ(s.g[i], i < 3 - static_cast<std::size_t>(left_out) ? 1 : lambda[i]);
  }
}

TEST(SpectrumMap, ASpectrumOfZerosAndAnEmptyOneAreLeftAsTheyAre) {
  const std::vector<double> zeros{0, 0};
  const auto s = SpectrumMap::parse("inverse").apply(zeros, 0, true, Positivity::positive);
  EXPECT_EQ(s.left_out, 2);
  EXPECT_EQ(s.g, zeros);
  EXPECT_EQ(s.ratio(), (std::vector<double>{1, 1}));
  EXPECT_TRUE(
      SpectrumMap::parse("flat").apply({}, 0.5, false, Positivity::positive).ratio().empty());
}

TEST(SpectrumMap, TablesAreLinearInLogLambdaAndConstantBeyondTheirEnds) {
  for (const char* content :
       {"lambda,g\n0.01,1\n# note\n1,3\r\n\n100,4\n", "100,4\n1,3\n0.01,1\n"}) {
    const TableFile file(content);
    const auto g = g_of(file.spec().c_str(), {1e4, 100, 10, 1, 0.1, 0.01, 1e-4}, 0);
    const std::vector<double> expected{4, 4, 3.5, 3, 2, 1, 1};
    ASSERT_EQ(g.size(), expected.size());
    for (std::size_t i = 0; i < g.size(); ++i) EXPECT_NEAR(g[i], expected[i], 1e-14) << i;
  }
}

TEST(SpectrumMap, BadTablesAreNamedWithTheirLine) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"1,2\n3\n", "line 2"},          {"1,2\n3,x\n", "line 2"}, {"1,2\n-3,1\n", "line 2"},
      {"1,2\n1,3\n", "strictly"},      {"", "no line"},          {"1,2\n2,3,4\n", "line 2"},
      {"1,2\n3,1\n2,1\n", "strictly"}, {"1,nan\n", "line 1"},    {"0,1\n", "line 1"}};
  for (const auto& [content, expected] : cases) {
    const TableFile file(content);
    const auto what = test::error<InputError>([&] { SpectrumMap::parse(file.spec()); });
    EXPECT_NE(what.find(expected), std::string::npos) << content << " -> " << what;
  }
  EXPECT_NE(test::error<InputError>([] {
              SpectrumMap::parse("table:/nowhere/g.csv");
            }).find("/nowhere/g.csv"),
            std::string::npos);
}

TEST(SpectrumMap, WhatDoesNotParseIsRefusedWithTheText) {
  for (const char* text :
       {"", "flt", "flat:x", "flat:", "flat:inf", "power", "power:nan", "table", "identity:2",
        "l +", "sqrt(l", "l, lk", "l = 2", "l = lk", "foo:3", "l ?", "\"text\"", "1e", "lambda"}) {
    const auto what = test::error<InputError>([&] { SpectrumMap::parse(text); });
    EXPECT_EQ(what.rfind("g ", 0), 0u) << text << " -> " << what;
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
    EXPECT_NE(what.find(text), std::string::npos) << what;
  }
}

TEST(SpectrumMap, ValuesThatAreNotAllowedAreNamedWithTheirEigenvalue) {
  const std::vector<double> lambda{8, 4, 2};
  const auto refused = [&](const char* text, Positivity positivity) {
    return test::error<InputError>(
        [&] { SpectrumMap::parse(text).apply(lambda, 1, false, positivity); });
  };
  for (auto positivity : {Positivity::nonnegative, Positivity::positive}) {
    EXPECT_NE(refused("l - 3", positivity).find("lambda_3"), std::string::npos);
    EXPECT_NE(refused("1/(l-4)", positivity).find("lambda_2"), std::string::npos);
    EXPECT_NE(refused("sqrt(3-l)", positivity).find("lambda_1"), std::string::npos);
    EXPECT_NE(refused("flat:-1", positivity).find("lambda_1"), std::string::npos);
  }
  EXPECT_NE(refused("flat:0", Positivity::positive).find("lambda_1"), std::string::npos);
  EXPECT_EQ(g_of("flat:0", lambda, 1), (std::vector<double>{0, 0, 0}));
  const std::vector<double> broken{8, test::kNaN};
  EXPECT_NE(test::error<RunError>([&] {
              SpectrumMap::parse("flat").apply(broken, 1, false, Positivity::positive);
            }).find("eigenvalue 2"),
            std::string::npos);
}

TEST(SpectrumMap, TheCanonicalTextParsesToTheSameMap) {
  for (const char* text : {"flat", "flat:0.25", "identity", "power:1.5", "inverse", "sqrt(l*lk)"}) {
    const auto canonical = SpectrumMap::parse(text).text();
    EXPECT_EQ(SpectrumMap::parse(canonical).text(), canonical);
    EXPECT_EQ(g_of(canonical.c_str(), {8, 4}, 1), g_of(text, {8, 4}, 1));
  }
  EXPECT_EQ(SpectrumMap::parse(" flat: 2.50 ").text(), "flat:2.5");
}

}  // namespace
}  // namespace mercer::msk
