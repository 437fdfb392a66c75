// Fails on one rank only. The run must fail, and say which rank it was: a test of the tests.
#include <gtest/gtest.h>

#include "mercer/comm/communicator.hpp"

TEST(Listener, IsToldOfAFailureOnAnotherRank) {
  EXPECT_NE(mercer::comm::Communicator::world().rank(), 1);
}

TEST(Listener, GoesOnAfterwards) {}
