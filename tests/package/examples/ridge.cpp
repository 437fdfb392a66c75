// Kernel ridge regression on a table: the ridge is chosen by leave-one-out, the model is saved,
// loaded, and used to predict new rows.     mpirun -n 2 ridge TRAIN.csv NEW.csv MODEL.h5
#include <cstdio>

#include "mercer/comm/environment.hpp"
#include "mercer/jobs/model.hpp"

int main(int argc, char** argv) {
  using namespace mercer;
  comm::Environment mpi(argc, argv);
  const auto comm = comm::Communicator::world();
  const dist::ProcessGrid grid(comm);
  if (argc != 4) return 2;

  // rows -> K -> all eigenpairs -> the ridge of the least leave-one-out error -> coefficients
  auto sets = data::load(argv[1], "", {.standardize = true}, comm);
  const auto kernel = gram::Source::function(
      kernel::make({.architecture = arch::parse("dense relu dense", {.bias_std = 1})}));
  jobs::Monitor monitor;  // silent; derive from it to see phases and progress
  const jobs::RidgeOptions options{.choice = krr::RidgeCriterion::leave_one_out};
  const auto plan = jobs::plan(options, kernel, sets, jobs::Resources::of(grid), comm);
  const auto fit = jobs::fit(plan, sets, grid, monitor);
  if (comm.root())
    std::printf("ridge %.17g, leave-one-out %.17g, residual %.1e, plan %.0f MB a rank\n",
                fit.best_fit().ridge, fit.best_fit().loo_rmse, fit.best_fit().residual,
                1e-6 * plan.stages.peak());

  auto file = io::Hdf5File::create(comm, argv[3]);
  jobs::write(file, jobs::model_of(plan, fit, std::move(sets.train), sets.preparation));
  file.finish();

  const auto model = jobs::read_model(io::Hdf5File::open(comm, argv[3], io::Origin::mercer));
  const auto rows = data::load_test(argv[2], model.preparation, {.targets_required = false}, comm);
  const auto predictions = jobs::predict(model, rows, monitor);
  if (comm.root()) std::printf("first prediction %.17g\n", predictions.values.row(0)[0]);
}
