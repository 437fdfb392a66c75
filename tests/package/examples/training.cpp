// A wide network trained by preconditioned gradient descent: S is flat on the top ten eigenvalues
// of the NTK of its architecture.     mpirun -n 2 training
#include <cstdio>

#include "mercer/comm/environment.hpp"
#include "mercer/jobs/training.hpp"

int main(int argc, char** argv) {
  using namespace mercer;
  comm::Environment mpi(argc, argv);
  const auto comm = comm::Communicator::world();
  const dist::ProcessGrid grid(comm);

  const auto sets = data::load("circle:n=64,freq=3,grid,amplitude=0.03", "", {}, comm);
  const auto architecture = arch::parse("dense(512) relu dense(1)", {.bias_std = 1});
  const net::Network network(architecture, sets.train.dimension(), net::Parametrization::ntk,
                             net::Start::antisymmetric);
  const auto kernel = gram::Source::function(kernel::make({.architecture = architecture}));

  jobs::Monitor monitor;
  jobs::TrainingOptions options{.precondition = jobs::Precondition::kernel, .top = 10};
  options.descent.steps = 20;
  auto w_0 = network.initial<double>(0);
  const auto plan =
      jobs::plan<double>(options, network, kernel, sets, w_0, jobs::Resources::of(grid), comm);
  const auto training = jobs::train<double>(plan, network, sets, std::move(w_0), grid, monitor);
  const auto& last = training.state.history.back();
  if (comm.root())
    std::printf("%s after %ld steps: loss %.17g, |r|/|r_0| %.3e\n",
                train::name(training.outcome.stop_reason).c_str(), static_cast<long>(last.step),
                last.loss, last.residual);
}
