#pragma once

#include <cstdint>

namespace mercer {

/// What a stream of random numbers is for. Each purpose has numbers of its own, so that, say, more
/// test points do not change the training points of the same seed. Never renumber: stored results
/// name only the seed.
enum class Stream : std::uint32_t {
  data_inputs = 1,
  data_targets = 2,
  data_offset = 3,
  probe = 4,
  initial_parameters = 5,
  batches = 6,
  subsets = 7,
  features = 8,
  test = 1000,
};

/// Counter-based random numbers: Philox-4x32-10 of Salmon et al., "Parallel random numbers: as easy
/// as 1, 2, 3", SC 2011, through Random123. A value is a pure function of (seed, stream, index), so
/// it is the same for every number of ranks, grid and block size. Local; no state.
class Random {
 public:
  Random(std::uint64_t seed, Stream stream, std::uint32_t substream = 0)
      : seed_(seed), stream_(static_cast<std::uint32_t>(stream)), substream_(substream) {}

  /// Uniform on (0, 1], from 53 random bits; 1 itself has probability 2^-53.
  double uniform(std::uint64_t index) const;
  /// Standard normal, by the Box-Muller transform of the counter's two uniforms.
  double normal(std::uint64_t index) const;

 private:
  std::uint64_t seed_;
  std::uint32_t stream_;
  std::uint32_t substream_;
};

}  // namespace mercer
