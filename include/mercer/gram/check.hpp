#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "mercer/dist/dist_matrix.hpp"
#include "mercer/dist/row_block.hpp"
#include "mercer/kernel/kernel.hpp"

namespace mercer::gram {

/// Entries of a kernel matrix compared with Kernel::reference(), the formulas in long double.
struct EntryCheck {
  Index entries = 0;  ///< compared
  /// The largest |k - reference|/sqrt(k(x, x) k(z, z)); infinity where k is NaN or infinite. An
  /// absolute difference up to the smallest normal number of the entries' type counts as 0.
  double difference = 0;
  Index row = -1, column = -1;      ///< of that entry
  double value = 0, reference = 0;  ///< of that entry
};

/// Compares entries of K(i, j) = scale k(z_i, x_j), m x n block-cyclic; Z and X by rows over the
/// ranks of K's grid. Compared are the whole diagonal where Z and X are the same object, 256 random
/// pairs, and 68 pairs with the rows of the largest and of the smallest input. nullopt where the
/// kernel has no reference. Collective, the same result on all ranks. Cost: one evaluation of the
/// reference for each diagonal entry, on the rank that holds it, and three for each pair; the rows
/// involved are fetched in panels of 1024. Of slow references (Kernel::reference_steps()) a rank
/// compares as many as take ten seconds, at least two.
template <class T>
std::optional<EntryCheck> check_entries(const kernel::Kernel& kernel,
                                        const dist::RowBlock<double>& Z,
                                        const dist::RowBlock<double>& X,
                                        const dist::DistMatrix<T>& K, double scale = 1,
                                        std::uint64_t seed = 0);
/// The same for k(x_i, x_j) as Kernel::tile() computes it, where no matrix is kept. Collective.
std::optional<EntryCheck> check_entries(const kernel::Kernel& kernel,
                                        const dist::RowBlock<double>& X, std::uint64_t seed = 0);

/// What check_entries() takes beside the rows, on the slowest rank. Where a reference takes
/// milliseconds or less, nothing.
struct CheckCost {
  double bytes = 0, seconds = 0;
};
/// For an m x n matrix, with its `diagonal` compared where m = n and Z is X. Local.
CheckCost check_entries_cost(const kernel::Kernel& kernel, Index m, Index n, bool diagonal,
                             int ranks);

/// The largest `difference` to accept: 1e-9, above the reference's own error for near-parallel rows
/// (1e-10), plus the kernel's `error_estimate` (kernel::Rows) and four units of rounding of T.
/// Local.
template <class T>
double entry_tolerance(double error_estimate);
/// One line for the log: how many entries were compared and with what, the largest difference and,
/// where it exceeds `tolerance`, the entry. Local.
std::string text(const EntryCheck& check, double tolerance);

}  // namespace mercer::gram
