#include "mercer/base/allocate.hpp"

#include <sys/mman.h>

#include <new>

namespace mercer {
namespace {

constexpr std::size_t kLarge = std::size_t{4} << 20;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::align_val_t alignment(std::size_t bytes) {
  return std::align_val_t{bytes >= kLarge ? kHugePage : 64};
}

}  // namespace

void* allocate_bytes(std::size_t bytes) {
  void* p = ::operator new(bytes, alignment(bytes));
#ifdef MADV_HUGEPAGE
  if (bytes >= kLarge) madvise(p, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return p;
}

void free_bytes(void* p, std::size_t bytes) {
  ::operator delete(p, alignment(bytes));
}

}  // namespace mercer
