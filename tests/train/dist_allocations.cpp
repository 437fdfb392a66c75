#include <atomic>
#include <cstdlib>
#include <new>

#include "dense.hpp"

// Every allocation of this program is counted.
namespace {
std::atomic<long> g_allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  ++g_allocations;
  if (void* p = std::aligned_alloc(alignment, (bytes + alignment) / alignment * alignment))
    return p;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t bytes) {
  return counted(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}

namespace mercer::train {
namespace {

TEST(Allocations, AreNotMadeInAStep) {
  const auto world = comm::Communicator::world();
  const auto allocations = [&](Options options, Index steps) {
    const auto problem = test::odd_problem();
    options.steps = steps;
    options.record_every = 1'000'000;
    const long before = g_allocations;
    test::train_on(world, problem, options);
    return g_allocations - before;
  };
  Options full, momentum, given, rows;
  momentum.momentum = 0.5;
  given.rate = 1e-3;
  rows.batch = 5;
  for (const Options& options : {full, momentum, given, rows}) {
    const long few = allocations(options, 25);
    EXPECT_GT(few, 10);
    EXPECT_EQ(allocations(options, 60), few);
  }
}

}  // namespace
}  // namespace mercer::train
