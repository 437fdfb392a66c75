#pragma once

#include "shared/session.hpp"

namespace mercer::drivers {

/// What the sets were read as, a line for each of their notes. `test` may be null.
void say_notes(Session& session, const data::Dataset& train, const data::Dataset* test = nullptr);
void say_notes(Session& session, const data::Split& sets);
/// Of new rows for a stored model.
void say_test_notes(Session& session, const data::Dataset& test);

}  // namespace mercer::drivers
