#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "mercer/base/error.hpp"
#include "mercer/train/descend.hpp"

namespace mercer::train {
namespace {

TEST(TrainingOptions, AreValidAsTheyStartAndAtTheirLimits) {
  EXPECT_NO_THROW(Options{}.validate());
  Options options;
  options.steps = 0;
  options.safety = 1.99;
  options.momentum = 0.999;
  EXPECT_NO_THROW(options.validate());
}

TEST(TrainingOptions, AreRefusedByNameWhereTheyMakeNoSense) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::pair<std::string, std::function<void(Options&)>>> cases{
      {"`steps` -1", [](Options& o) { o.steps = -1; }},
      {"`rate` -0.1", [](Options& o) { o.rate = -0.1; }},
      {"`rate` nan", [&](Options& o) { o.rate = nan; }},
      {"`rate` inf", [](Options& o) { o.rate = std::numeric_limits<double>::infinity(); }},
      {"`safety` 0", [](Options& o) { o.safety = 0; }},
      {"`safety` 2", [](Options& o) { o.safety = 2; }},
      {"`safety` nan", [&](Options& o) { o.safety = nan; }},
      {"`tolerance` -1", [](Options& o) { o.tolerance = -1; }},
      {"`loss` nan", [&](Options& o) { o.loss = nan; }},
      {"`max_seconds` -2", [](Options& o) { o.max_seconds = -2; }},
      {"`weight_decay` -1", [](Options& o) { o.weight_decay = -1; }},
      {"`momentum` 1", [](Options& o) { o.momentum = 1; }},
      {"`momentum` -0.5", [](Options& o) { o.momentum = -0.5; }},
      {"`batch` -1", [](Options& o) { o.batch = -1; }},
      {"`residual_refresh` -1", [](Options& o) { o.residual_refresh = -1; }},
      {"`refresh` -1", [](Options& o) { o.refresh = -1; }},
      {"`record_every` -1", [](Options& o) { o.record_every = -1; }},
      {"`checkpoint_every` -1", [](Options& o) { o.checkpoint_every = -1; }}};
  for (const auto& [text, spoil] : cases) {
    Options options;
    spoil(options);
    try {
      options.validate();
      ADD_FAILURE() << text << " was taken";
    } catch (const InputError& error) {
      EXPECT_EQ(std::string(error.what()).substr(0, text.size() + 1), text + ":") << error.what();
    }
  }
}

TEST(TrainingEndings, HaveNamesOfTheirOwn) {
  EXPECT_EQ(name(StopReason::converged), "converged");
  EXPECT_EQ(name(StopReason::loss_reached), "loss reached");
  EXPECT_EQ(name(StopReason::all_steps), "all steps done");
  EXPECT_EQ(name(StopReason::out_of_time), "out of time");
  EXPECT_EQ(name(StopReason::interrupted), "interrupted");
}

}  // namespace
}  // namespace mercer::train
