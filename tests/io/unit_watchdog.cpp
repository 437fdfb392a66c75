// What guards the calls of HDF5 on files that may be damaged: each ends the program with one line.
#include "watchdog.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <thread>

namespace mercer::io {
namespace {

using namespace std::chrono_literals;

void compute_for_ever() {
  std::atomic<std::uint64_t> steps{0};
  for (;;) ++steps;
}

TEST(WatchdogDeathTest, EndsACallThatComputesTooLong) {
  EXPECT_EXIT(
      {
        const Watchdog watchdog("some file.h5", 0, 0.3);
        compute_for_ever();
      },
      testing::ExitedWithCode(2), "^mercer: some file.h5: is damaged: HDF5 does not finish");
}

#ifndef __SANITIZE_ADDRESS__
TEST(WatchdogDeathTest, EndsACrashWithOneLineAndExitCodeTwo) {
  for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE})
    EXPECT_EXIT(
        {
          const Watchdog watchdog("some file.h5", 0, 10);
          std::raise(signal);
        },
        testing::ExitedWithCode(2), "^mercer: some file.h5: is damaged: HDF5 crashes");
}
#endif

TEST(Watchdog, LetsACallWaitAndLeavesTheHandlersOfSignals) {
  struct sigaction before {
  }, after{};
  ::sigaction(SIGSEGV, nullptr, &before);
  {
    const Watchdog outer("some file.h5", 0, 0.2), inner("another.h5", 0, 0.2);
    std::this_thread::sleep_for(600ms);  // waiting is not computing
  }
  ::sigaction(SIGSEGV, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
}

}  // namespace
}  // namespace mercer::io
