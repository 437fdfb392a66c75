#pragma once

#include <cstddef>

namespace mercer {

/// Uninitialised memory, aligned to 64 bytes; from 4 MiB on aligned to 2 MiB and offered to the
/// kernel for huge pages, which the first pass over a matrix of gigabytes feels. Throws
/// std::bad_alloc. Local.
void* allocate_bytes(std::size_t bytes);
void free_bytes(void* p, std::size_t bytes);

}  // namespace mercer
