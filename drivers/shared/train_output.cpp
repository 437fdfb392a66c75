#include "shared/train_output.hpp"

#include <cmath>

#include "mercer/jobs/pictures.hpp"

namespace mercer::drivers {

using train::Record;

namespace {

constexpr std::size_t kLines = 20;  // at most, in the table

}  // namespace

void print_history(Session& session, const std::vector<Record>& history,
                   const data::Preparation& preparation) {
  const bool test = !history.empty() && history.front().loss_test >= 0;
  session.say("\nlosses are means of r^2, r in {}", jobs::prepared_unit(preparation));
  session.say("{:>10}  {:>12}  {:>12}{}  {:>12}  {:>10}", "step", "loss", "|r|/|r_0|",
              test ? "     test loss" : "", "eta", "seconds");
  for (const std::size_t i : jobs::thinned(history.size(), kLines)) {
    const Record& r = history[i];
    session.say("{:>10}  {:>12.5e}  {:>12.5e}{}  {:>12.5e}  {:>10.2f}", r.step, r.loss, r.residual,
                test ? fmt::format("  {:>12.5e}", r.loss_test) : "", r.rate, r.seconds);
  }
}

void print_test(Session& session, const data::Dataset& test, const data::Preparation& preparation,
                const jobs::Predictions& predictions) {
  if (predictions.scores.known())
    session.say("test    {}", jobs::text(predictions.scores, preparation));
  print_predictions(session, test, predictions);
}

}  // namespace mercer::drivers
