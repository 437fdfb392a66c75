#pragma once

#include <optional>

#include "mercer/data/dataset.hpp"
#include "mercer/gram/check.hpp"
#include "mercer/jobs/monitor.hpp"
#include "mercer/jobs/resources.hpp"

/// A kernel matrix k(x_i, z_j), not divided by n, to be written or looked at.
namespace mercer::jobs {

/// What a kernel matrix will take.
struct MatrixPlan {
  bool cross = false;  ///< k(x_i, z_j) with the rows of sets.test, else k(x_i, x_j)
  Index outputs = 0;   ///< of a network whose kernel is between all pairs of outputs; else 0
  Index n = 0, m = 0, d = 0, nb = 0;
  std::uint64_t seed = 0;
  plan::Plan stages;
};
struct MatrixOptions {
  bool cross = false;  ///< k(x_i, z_j) of sets.train and sets.test; else k(x_i, x_j) of sets.train
  Index outputs = 0;   ///< of an empirical kernel with Outputs::full; else 0
  double numbers = 0;  ///< that an entry is made of; 0: the dimension
  bool single = false;
  bool check = false;  ///< check() follows
};
/// Local.
MatrixPlan plan(const MatrixOptions& options, const kernel::Kernel& kernel, const data::Split& sets,
                const Resources& resources, double load_seconds = 0);

template <class T>
struct KernelMatrix {
  dist::DistMatrix<T> K;
  MatrixPlan plan;
  const data::Split* sets = nullptr;
  dist::RowBlock<double> seeded_x{}, seeded_z{};  ///< the rows, where plan.outputs > 0

  const dist::RowBlock<double>& X() const {
    return plan.outputs > 0 ? seeded_x : sets->train.inputs;
  }
  const dist::RowBlock<double>& Z() const {
    return !plan.cross ? X() : plan.outputs > 0 ? seeded_z : sets->test->inputs;
  }
};
/// Borrows `sets`. Phase: assemble. Throws InputError as check_range(). Collective.
template <class T>
KernelMatrix<T> assemble(const MatrixPlan& plan, const kernel::Kernel& kernel,
                         const data::Split& sets, const dist::ProcessGrid& grid, Monitor& monitor);

/// A matrix beside what it should be.
struct MatrixCheck {
  /// K times four random vectors beside the same product from entries evaluated again by the tiles,
  /// relative to the largest element: finds whatever assembling, mirroring and moving may have done
  /// wrong.
  double product = 0, product_tolerance = 0;
  /// Entries as they are kept beside the scalar formulas; empty where the kernel has none.
  std::optional<gram::EntryCheck> entries{};
  double entry_tolerance = 0;

  bool product_good() const { return product <= product_tolerance; }
  bool good() const {
    return product_good() && (!entries || entries->difference <= entry_tolerance);
  }
};
/// Phase: check. Collective.
template <class T>
MatrixCheck check(const KernelMatrix<T>& matrix, const kernel::Kernel& kernel, Monitor& monitor);

}  // namespace mercer::jobs
