// The measurement behind the cost model of src/spectral/cost.cpp:
//   mpirun -n P calibrate_eigensolvers n[,n...] [nb] [repeats] [divisors, e.g. 1,4,30]
// prints, for k = n/divisor, the seconds of every backend beside the model's prediction. Not a
// test.
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "mercer/base/memory.hpp"
#include "mercer/comm/environment.hpp"
#include "spectral/time_backends.hpp"

namespace {

std::vector<long> numbers(const std::string& text) {
  std::vector<long> result;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) result.push_back(std::stol(word));
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace mercer;
  comm::Environment mpi(argc, argv);
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  for (const long n : numbers(argc > 1 ? argv[1] : "1000,2000,4000")) {
    const Index nb = argc > 2 && std::stol(argv[2]) > 0
                         ? std::stol(argv[2])
                         : spectral::recommended_block(n, grid.shape());
    for (const long divisor : numbers(argc > 4 ? argv[4] : "1,4,30")) {
      const Index k = n / divisor;
      const auto timings = spectral::time_backends<double>(
          [&] { return spectral::sample_kernel<double>(grid, n, nb); }, k,
          argc > 3 ? std::stoi(argv[3]) : 1);
      if (!world.root()) continue;
      for (const auto& t : timings)
        std::printf(
            "n %ld k %ld nb %ld %dx%d %-9s ran %-9s %8.3f s predicted %8.3f s checks %6.3f s %8.1e "
            "%8.1e %s\n",
            n, static_cast<long>(k), static_cast<long>(nb), grid.rows(), grid.cols(),
            spectral::name(t.method).c_str(), spectral::name(t.ran).c_str(), t.seconds, t.predicted,
            t.check_seconds, t.residual, t.orthogonality, t.failure.c_str());
      std::fflush(stdout);
    }
  }
}
