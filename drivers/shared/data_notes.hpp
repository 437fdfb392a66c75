#pragma once

#include "shared/session.hpp"

namespace mercer::drivers {

/// What the sets were read as, a line for each of their notes. `test` may be null.
void say_notes(const Session& session, const data::Dataset& train,
               const data::Dataset* test = nullptr);
void say_notes(const Session& session, const data::Split& sets);
/// Of a stored model's training rows only what was read: the rest was said, and decided, at the
/// fit.
void say_notes_of_model(const Session& session, const data::Dataset& train,
                        const data::Dataset& test);

}  // namespace mercer::drivers
