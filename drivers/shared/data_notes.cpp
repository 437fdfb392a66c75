#include "shared/data_notes.hpp"

namespace mercer::drivers {

void say_notes(Session& session, const data::Dataset& train, const data::Dataset* test) {
  for (const auto& note : train.notes) session.say("data    {}", note);
  for (const auto& warning : train.warnings) session.warn(warning);
  if (test != nullptr) say_test_notes(session, *test);
}

void say_test_notes(Session& session, const data::Dataset& test) {
  for (const auto& note : test.notes) session.say("test    {}", note);
  for (const auto& warning : test.warnings) session.warn(warning);
}

void say_notes(Session& session, const data::Split& sets) {
  say_notes(session, sets.train, sets.test ? &*sets.test : nullptr);
}

}  // namespace mercer::drivers
