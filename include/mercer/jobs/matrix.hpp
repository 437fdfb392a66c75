#pragma once

#include <optional>

#include "mercer/data/dataset.hpp"
#include "mercer/gram/check.hpp"
#include "mercer/jobs/monitor.hpp"
#include "mercer/jobs/resources.hpp"

/// A kernel matrix [k(x_i, x_j)] or [k(x_i, z_j)], not divided by n, as a result of its own.
namespace mercer::jobs {

/// The plan of a kernel matrix, K n x m; n and m are numbers of data rows, times `outputs` where
/// that is not 0.
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
  double numbers = 0;  ///< gram::Sizes::numbers; 0: the dimension
  bool single = false;
  bool check = false;  ///< plan for check() too
};
/// `load_seconds`: what reading took. Local.
MatrixPlan plan(const MatrixOptions& options, const kernel::Kernel& kernel, const data::Split& sets,
                const Resources& resources, double load_seconds = 0);

template <class T>
struct KernelMatrix {
  dist::DistMatrix<T> K;
  MatrixPlan plan;
  const data::Split* sets = nullptr;
  dist::RowBlock<double> seeded_x{}, seeded_z{};  ///< net::seeded_rows(), where plan.outputs > 0

  const dist::RowBlock<double>& X() const {
    return plan.outputs > 0 ? seeded_x : sets->train.inputs;
  }
  const dist::RowBlock<double>& Z() const {
    return !plan.cross ? X() : plan.outputs > 0 ? seeded_z : sets->test->inputs;
  }
};
/// Assembles K on `grid` as planned. Borrows `sets`. Phase: assemble. Throws as check_range() and
/// gram::assemble(). Collective.
template <class T>
KernelMatrix<T> assemble(const MatrixPlan& plan, const kernel::Kernel& kernel,
                         const data::Split& sets, const dist::ProcessGrid& grid, Monitor& monitor);

/// The errors of a matrix.
struct MatrixCheck {
  /// The largest difference between K times four random vectors and the same product from entries
  /// computed again tile by tile, relative to the largest element. Finds errors of assembling,
  /// mirroring and redistribution.
  double product = 0, product_tolerance = 0;
  /// Entries of K against the scalar formulas; empty where the kernel has none.
  std::optional<gram::EntryCheck> entries{};
  double entry_tolerance = 0;

  bool product_good() const { return product <= product_tolerance; }
  bool good() const {
    return product_good() && (!entries || entries->difference <= entry_tolerance);
  }
};
/// Memory: K again, by rows. Cost: m n entries of the kernel. Phase: check. Collective.
template <class T>
MatrixCheck check(const KernelMatrix<T>& matrix, const kernel::Kernel& kernel, Monitor& monitor);

}  // namespace mercer::jobs
