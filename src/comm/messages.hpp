#pragma once

#include "mercer/base/index.hpp"

namespace mercer::comm {

inline constexpr Index kMaxMessageBytes = Index{1} << 30;

/// Aborts the run, naming `where`, unless `code` is MPI_SUCCESS.
void check(int code, const char* where);
/// Adds to bytes_sent().
void count_sent(Index bytes);

}  // namespace mercer::comm
