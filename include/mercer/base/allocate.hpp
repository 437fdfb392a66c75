#pragma once

#include <cstddef>

namespace mercer {

/// Uninitialised memory, aligned to 64 bytes; from 4 MiB on aligned to 2 MiB and offered to Linux
/// for huge pages (madvise), which speed up the first pass over a matrix of gigabytes. Throws
/// std::bad_alloc. Local.
void* allocate_bytes(std::size_t bytes);
/// `bytes`: as they were allocated.
void free_bytes(void* p, std::size_t bytes);

}  // namespace mercer
