#include "shared/data_notes.hpp"

namespace mercer::drivers {

void say_notes(const Session& session, const data::Dataset& train, const data::Dataset* test) {
  for (const auto& note : train.notes) session.say("data    {}", note);
  for (const auto& warning : train.warnings) session.warn(warning);
  if (test == nullptr) return;
  for (const auto& note : test->notes) session.say("test    {}", note);
  for (const auto& warning : test->warnings) session.warn(warning);
}

void say_notes_of_model(const Session& session, const data::Dataset& train,
                        const data::Dataset& test) {
  session.say("data    {}", train.notes.front());
  for (const auto& note : test.notes) session.say("test    {}", note);
  for (const auto& warning : test.warnings) session.warn(warning);
}

void say_notes(const Session& session, const data::Split& sets) {
  say_notes(session, sets.train, sets.test ? &*sets.test : nullptr);
}

}  // namespace mercer::drivers
