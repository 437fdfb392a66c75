#include "shared/data_notes.hpp"

namespace mercer::drivers {

void say_notes(const Session& session, const data::Dataset& train, const data::Dataset* test) {
  for (const auto& note : train.notes) session.say("data    {}", note);
  if (test == nullptr) return;
  for (const auto& note : test->notes) session.say("test    {}", note);
}

void say_notes(const Session& session, const data::Split& sets) {
  say_notes(session, sets.train, sets.test ? &*sets.test : nullptr);
}

}  // namespace mercer::drivers
