#pragma once

#include <string>
#include <vector>

#include "mercer/train/row_set.hpp"

namespace mercer::train {

/// Writes S of the sets to PATH.S-<hash of their bits> unless that file is there, and returns the
/// hash's text; "" where every S is the identity. Datasets /setI/vectors (n x k, by rows) and
/// /setI/coefficients (k). Collective.
template <class T>
std::string write_preconditioners(const comm::Communicator& comm, const std::string& path,
                                  const std::vector<RowSet<T>>& sets);

/// Reads them into the sets. Throws InputError, naming both files, where it is missing or not the
/// one of that hash. Collective.
template <class T>
void read_preconditioners(const comm::Communicator& comm, const std::string& path,
                          const std::string& hash, std::vector<RowSet<T>>& sets);

/// Removes what killed runs left beside PATH: their temporary files (io/temporary.hpp), and, if
/// `unused`, every S but the one of `hash`: of files called so those that are one, each read once.
/// Collective. Throws nothing: what cannot be removed stays.
void remove_leftovers(const comm::Communicator& comm, const std::string& path, bool unused,
                      const std::string& hash);

}  // namespace mercer::train
