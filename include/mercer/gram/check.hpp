#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "mercer/dist/dist_matrix.hpp"
#include "mercer/dist/row_block.hpp"
#include "mercer/kernel/kernel.hpp"

namespace mercer::gram {

/// Entries of a kernel matrix beside Kernel::reference(), the formulas in long double.
struct EntryCheck {
  Index entries = 0;  ///< compared
  /// The largest |k - reference|/sqrt(k(x, x) k(z, z)), k's own NaN or infinity as infinity; values
  /// below the smallest normal number of their type count as equal.
  double difference = 0;
  Index row = -1, column = -1;      ///< of that entry
  double value = 0, reference = 0;  ///< of that entry
};

/// Compares the entries of K(i, j) = scale k(z_i, x_j), m x n: the whole diagonal where Z and X are
/// one set (the same object), 256 random pairs, and pairs with the rows of the largest and of the
/// smallest input. Empty where the kernel has no reference. Collective, the same result on all
/// ranks. Cost: n/P + about 300/P evaluations of the reference; the rows involved are fetched in
/// panels.
template <class T>
std::optional<EntryCheck> check_entries(const kernel::Kernel& kernel,
                                        const dist::RowBlock<double>& Z,
                                        const dist::RowBlock<double>& X,
                                        const dist::DistMatrix<T>& K, double scale = 1,
                                        std::uint64_t seed = 0);
/// The same for k(x_i, x_j) as Kernel::tile() gives it, where no matrix is kept.
std::optional<EntryCheck> check_entries(const kernel::Kernel& kernel,
                                        const dist::RowBlock<double>& X, std::uint64_t seed = 0);

/// What `difference` may be: near-parallel rows in the reference (1e-10), quadrature in the kernel,
/// `error_estimate` (Rows), and rounding of T.
template <class T>
double entry_tolerance(double error_estimate);
/// One line for the log: how many entries, with what they were compared, the largest difference
/// and, where it is too large, the entry. Local.
std::string text(const EntryCheck& check, double tolerance);

}  // namespace mercer::gram
