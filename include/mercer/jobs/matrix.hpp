#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mercer/data/dataset.hpp"
#include "mercer/gram/check.hpp"
#include "mercer/gram/source.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/jobs/checkpoints.hpp"
#include "mercer/jobs/monitor.hpp"
#include "mercer/jobs/resources.hpp"
#include "mercer/net/parameters.hpp"

/// A kernel matrix [k(x_i, x_j)] or [k(x_i, z_j)], not divided by n, as a result of its own.
namespace mercer::jobs {

/// The plan of a kernel matrix, K n x m; n and m are numbers of data rows, times `outputs` where
/// that is not 0.
struct MatrixPlan {
  bool cross = false;  ///< k(x_i, z_j) with the rows of sets.test, else k(x_i, x_j)
  Index outputs = 0;   ///< of a network whose kernel is between all pairs of outputs; else 0
  Index n = 0, m = 0, d = 0, nb = 0;
  bool single = false;
  std::uint64_t seed = 0;
  std::string kernel{};                           ///< its text
  std::uint64_t rows_hash = 0, columns_hash = 0;  ///< data::Dataset::hash of x and z
  plan::Plan stages;
  CheckpointOptions checkpoints{};
  double checkpoint_bytes = 0;  ///< on disk

  /// Of K in the file that write() writes.
  double result_bytes() const {
    return (single ? 4.0 : 8.0) * static_cast<double>(n) * static_cast<double>(m);
  }
};
struct MatrixOptions {
  bool cross = false;  ///< k(x_i, z_j) of sets.train and sets.test; else k(x_i, x_j) of sets.train
  Index outputs = 0;   ///< of an empirical kernel with Outputs::full; else 0
  bool single = false;
  bool check = false;  ///< plan for check() too
  /// Finished entries are kept, by time and where the monitor is interrupted
  /// (gram::AssemblyCheckpoint); not by number of products.
  CheckpointOptions checkpoints{};
};
/// `load_seconds`: what reading took. Throws InputError for `cross` without a second set, and as
/// CheckpointOptions::validate_for_assembly(). Local.
MatrixPlan plan(const MatrixOptions& options, const kernel::Kernel& kernel, const data::Split& sets,
                const Resources& resources, double load_seconds = 0);

template <class T>
struct KernelMatrix {
  dist::DistMatrix<T> K;
  MatrixPlan plan;
};
/// Assembles K on `grid` as planned. T is float where options.single is set, else double:
/// InputError otherwise. Phases: prepare, assemble. Throws MemoryError where the plan exceeds its
/// limit (Plan::require_memory()); InputError for images of another shape than the kernel's, and
/// for a checkpoint that is there and not resumed; Error with the code `interrupted`, after writing
/// a checkpoint, where the monitor asks for it; otherwise as check_range() and gram::assemble().
/// Collective.
template <class T>
KernelMatrix<T> assemble(const MatrixPlan& plan, const kernel::Kernel& kernel,
                         const data::Split& sets, const dist::ProcessGrid& grid, Monitor& monitor);

/// Writes K as /kernel, in the layout of gram::Source: with data_hash and `kernel` at the root
/// unless they are there, and data2_hash of a second set. With plan.outputs, /kernel has the
/// attribute `rows`, which says what its rows are. Collective.
template <class T>
void write(io::Hdf5File& file, const KernelMatrix<T>& matrix);

/// Writes what the network of an empirical kernel gives for the rows: /outputs (n x c) of
/// sets.train and, where there is a second set, /outputs2 (m x c) of it. Collective.
void write_outputs(io::Hdf5File& file, const net::StoredNetwork& network, const data::Split& sets);

/// Entries of K against the scalar formulas of its kernel (gram::check_entries()), and the largest
/// difference to accept.
struct CheckedEntries : gram::EntryCheck {
  double tolerance = 0;

  bool good() const { return difference <= tolerance; }
  std::string text() const { return gram::text(*this, tolerance); }  ///< one line for the log
};
/// Compares entries k(x_i, x_j), where no K is kept. Empty for a K from a file and for a kernel
/// without such formulas. Phase: check. Collective.
std::optional<CheckedEntries> check_entries(const gram::Source& kernel,
                                            const dist::RowBlock<double>& X, std::uint64_t seed,
                                            Monitor& monitor);

/// The errors of a matrix.
struct MatrixCheck {
  /// The largest difference between K times four random vectors and the same product from entries
  /// computed again tile by tile, relative to the largest element. Finds errors of assembling,
  /// mirroring and redistribution.
  double product = 0, product_tolerance = 0;
  std::optional<CheckedEntries> entries{};  ///< empty where the kernel has no scalar formulas

  bool product_good() const { return product <= product_tolerance; }
  bool good() const { return product_good() && (!entries || entries->good()); }
  /// For the log; `kernel`: its text. Local.
  std::vector<std::string> lines(const std::string& kernel) const;
};
/// `kernel` and `sets` as for assemble(). Memory: K again, by rows. Cost: m n entries of the
/// kernel. Phase: check. Collective.
template <class T>
MatrixCheck check(const KernelMatrix<T>& matrix, const kernel::Kernel& kernel,
                  const data::Split& sets, Monitor& monitor);

}  // namespace mercer::jobs
