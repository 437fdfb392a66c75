#pragma once

#include <string>
#include <vector>

#include "mercer/io/identity.hpp"
#include "mercer/train/descend.hpp"

namespace mercer::train {

using io::Identity;

/// Writes the file PATH = `path`: the state, the identity, and a reference to S. The S of the sets
/// is in a file beside it, PATH.S-<hash of its bits>, which is written only if it is not there;
/// PATH holds the hash. Each file is written under a temporary name, synced and renamed, S first.
/// An S that is no longer referred to is removed last, as are temporary files of killed runs: PATH
/// belongs to one run at a time (io::PathLock). At any moment PATH is therefore a complete
/// checkpoint, the old one or the new one.
///
/// PATH has the attributes checkpoint_version, _precision, _hash (of all but S), _S (the hash of
/// S), _written_by, _identity (names), and the identity's values under these names; the datasets
/// /state/w, /state/velocity and /state/anchor (p x 1), /state/rate, ..., /state/residualI (n x c),
/// /history/loss, ... (one entry a record; /history/directions holds the records one after the
/// other, /history/directions_count numbers each). Everything to the bit, float as float32.
///
/// `settings`: what may differ in the run that resumes (io::write_settings()).
///
/// Collective. Written: the state and, if new, S; S is hashed every time (n k/P numbers a rank).
/// Memory: small buffers. Throws InputError where the file cannot be created, RunError where
/// writing fails.
template <class T>
void write_checkpoint(const comm::Communicator& comm, const std::string& path,
                      const Identity& identity, const State<T>& state,
                      const std::vector<RowSet<T>>& sets, const Identity& settings = {});

/// Reads the checkpoint at `path` into `state` and into the S of each set, on residuals or on the
/// parameters of `network`; n, first, Y and joint of the
/// sets must be set before. The number of ranks may differ. Throws InputError where the checkpoint
/// is missing, truncated, damaged (by its hashes), of another version or of another problem (naming
/// the first difference with both values), or where the file of S is missing or has another hash;
/// do not use `state` and `sets` then. Collective. Memory: S and two times w.
template <class T>
void read_checkpoint(const comm::Communicator& comm, const std::string& path,
                     const Identity& identity, const net::Network& network, State<T>& state,
                     std::vector<RowSet<T>>& sets);

}  // namespace mercer::train
