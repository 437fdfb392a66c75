#pragma once

#include <string>
#include <vector>

#include "mercer/train/row_set.hpp"

namespace mercer::train {

/// This rank's part of a vector that every rank holds, as a dataset of rows is written. Local.
template <class T>
MatrixView<const T> own_part(const comm::Communicator& comm, const std::vector<T>& values) {
  const dist::RowPartition parts{static_cast<Index>(values.size()), comm.size()};
  return {values.data() + parts.begin(comm.rank()), 1, parts.size(comm.rank()), 1};
}

/// Writes the S of the sets to PATH.S-<hash of their bits>, unless that file is there, and returns
/// the hash as text; "" where every S is the identity and has no bound. Datasets: /setI/vectors
/// (n x k, by rows; n x (c k) where S is of all outputs together) and /setI/coefficients (k); of S
/// on the parameters /parameters/psi0, psi1, ... (p numbers each, p/2 where mirrored),
/// /parameters/coefficients and /parameters/bound (beta, tail, 1 where mirrored). Collective.
template <class T>
std::string write_preconditioners(const comm::Communicator& comm, const std::string& path,
                                  const std::vector<RowSet<T>>& sets);

/// Reads the S of the sets from PATH.S-<hash>. Throws InputError, naming both files, where that
/// file is missing or its contents have another hash. Collective.
template <class T>
void read_preconditioners(const comm::Communicator& comm, const std::string& path,
                          const std::string& hash, const net::Network& network,
                          std::vector<RowSet<T>>& sets);

/// Removes the temporary files that killed runs left beside PATH (io/temporary.hpp), and, if
/// `unused`, every S but the one of `hash`: files of such a name are read first and removed only if
/// they are an S. Collective. Files that cannot be removed stay.
void remove_leftovers(const comm::Communicator& comm, const std::string& path, bool unused,
                      const std::string& hash);

}  // namespace mercer::train
