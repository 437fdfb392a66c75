// The top eigenpairs of a user-defined kernel, or of one given as text, on rows that are in memory,
// by block Krylov: K is never assembled.     mpirun -n 2 spectrum N ["gaussian(bandwidth=1)"]
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "mercer/base/random.hpp"
#include "mercer/comm/environment.hpp"
#include "mercer/jobs/spectrum.hpp"

int main(int argc, char** argv) {
  using namespace mercer;
  comm::Environment mpi(argc, argv);
  const auto comm = comm::Communicator::world();
  const dist::ProcessGrid grid(comm);
  const Index n = argc > 1 ? std::atol(argv[1]) : 1000;

  dist::RowBlock<double> X(comm, n, 3);  // this rank's rows of n x 3
  const Random random(0, Stream::data_inputs);
  for (Index i = 0; i < X.local_rows(); ++i)
    for (Index a = 0; a < 3; ++a)
      X.row(i)[static_cast<std::size_t>(a)] =
          random.normal(static_cast<std::uint64_t>(3 * (X.first_row() + i) + a));

  const auto matern = kernel::radial("matern(nu=1.5)", [](double r) {
    return (1 + std::sqrt(3.0) * r) * std::exp(-std::sqrt(3.0) * r);
  });
  const auto kernel = gram::Source::function(argc > 2 ? kernel::parse(argv[2]) : matern);
  const auto rows = data::of_rows(std::move(X));
  jobs::Monitor monitor;
  const jobs::SpectrumOptions options{.top = 20, .method = spectral::Method::krylov};
  const auto plan = jobs::plan(options, kernel, rows, jobs::Resources::of(grid), comm);
  const auto spectrum = jobs::solve<double>(plan, kernel, rows, grid, monitor);
  if (comm.root())
    for (Index i = 0; i < spectrum.pairs.k(); ++i)
      std::printf("%2ld  %.17g  residual %.1e\n", static_cast<long>(i + 1),
                  spectrum.pairs.values[static_cast<std::size_t>(i)],
                  spectrum.pairs.residuals[static_cast<std::size_t>(i)]);
  return spectrum.good() ? 0 : 1;
}
