#pragma once

#include <cstdint>
#include <string>

#include "mercer/io/hdf5.hpp"
#include "mercer/spectral/eigenpairs.hpp"

namespace mercer::spectral {

/// Writes /eigenvalues (k, descending, of K = k/n), /eigenvalue_next, /eigenvectors (n x k; absent
/// for values only), /residuals with the attribute `measured` (exact or estimated), and the root
/// attributes trace, method and orthogonality; residuals and orthogonality only where they were
/// measured. Collective.
template <class T>
void write(io::Hdf5File& file, const Eigenpairs<T>& pairs);

/// The kernel and the data that pairs belong to.
struct Expected {
  std::string kernel{};  ///< canonical text
  Index n = 0;
  std::uint64_t data_hash = 0;  ///< of the rows; 0: not known
  /// Where K was read from a file, what that held: a text of the caller's choice that tells one
  /// matrix of these rows from another; else "". Where both sides know it, it is compared in place
  /// of `kernel`, which only names the file.
  std::string matrix{};
};

/// Writes what pairs belong to, for read() to check: the root attributes kernel, n and data_hash
/// (16 hexadecimal digits, or "none" where it is not known), in place of those that are there, and
/// where K was a file's `kernel_matrix`. Collective.
void write(io::Hdf5File& file, const Expected& of);

/// Throws InputError where two kernels differ; `where`: the file or the object with `of`. Local.
void require_same_kernel(const std::string& where, const Expected& of, const Expected& expected);

/// Reads what both write() wrote, onto `grid` with block size nb. Throws InputError where the
/// file's kernel, n or data hash differ from `expected` (it names the difference), where there are
/// no eigenvectors, and where the pairs are not finite or not in descending order. Collective.
template <class T>
Eigenpairs<T> read(const io::Hdf5File& file, const Expected& expected,
                   const dist::ProcessGrid& grid, Index nb);

}  // namespace mercer::spectral
