// Calls ScaLAPACK's Cholesky with n = -1: Mercer's pxerbla has to end the run.
#include <cstdio>

#include "mercer/comm/environment.hpp"
#include "mercer/la/scalapack.hpp"

extern "C" void pdpotrf_(const char*, const int*, double*, const int*, const int*, const int*,
                         int*);

int main(int argc, char** argv) {
  using namespace mercer;
  comm::Environment mpi(argc, argv);
  const dist::ProcessGrid grid(comm::Communicator::world());
  dist::DistMatrix<double> A(grid, 10, 10, 4);
  A.fill([](Index i, Index j) { return i == j ? 1.0 : 0.0; });
  if (la::cholesky(A) != 0) return 1;  // what every user of la links
  const auto d = A.descriptor();
  const int n = -1, one = 1;
  int info = 0;
  pdpotrf_("L", &n, A.data(), &one, &one, d.data(), &info);
  std::printf("the run went on\n");
}
