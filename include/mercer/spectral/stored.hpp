#pragma once

#include <cstdint>
#include <string>

#include "mercer/io/hdf5.hpp"
#include "mercer/spectral/eigenpairs.hpp"

namespace mercer::spectral {

/// Writes /eigenvalues (k, descending, of K = k/n), /eigenvalue_next, /eigenvectors (n x k; absent
/// for values only), /residuals with the attribute `measured` (exact or estimated) and the root
/// attribute `orthogonality`, these two where they were measured. Collective.
template <class T>
void write(io::Hdf5File& file, const Eigenpairs<T>& pairs);

/// What stored pairs must belong to before they are used again.
struct Expected {
  std::string kernel;  ///< canonical text
  Index n = 0;
  std::uint64_t data_hash = 0;
};

/// Reads what write() wrote, onto `grid` with block size nb. Throws InputError, naming the
/// difference, where kernel, n or data hash are others, and where there are no eigenvectors.
/// Collective.
template <class T>
Eigenpairs<T> read(const io::Hdf5File& file, const Expected& expected,
                   const dist::ProcessGrid& grid, Index nb);

}  // namespace mercer::spectral
