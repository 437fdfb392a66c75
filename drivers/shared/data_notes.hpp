#pragma once

#include "shared/session.hpp"

namespace mercer::drivers {

/// Prints the notes of the sets (what was read as what), one line each, and their warnings. `test`
/// may be null.
void say_notes(Session& session, const data::Dataset& train, const data::Dataset* test = nullptr);
void say_notes(Session& session, const data::Split& sets);
/// The same of a test set alone: new rows for a stored model.
void say_test_notes(Session& session, const data::Dataset& test);

}  // namespace mercer::drivers
