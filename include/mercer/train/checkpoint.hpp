#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mercer/train/descend.hpp"

namespace mercer::train {

/// What a checkpoint must belong to: names and values, e.g. {"architecture", "dense(64) relu
/// dense(1)"}, {"data_hash", "..."}, {"lr", "auto"}: all that changes the numbers of a run.
using Identity = std::vector<std::pair<std::string, std::string>>;

/// Writes PATH: the state, the identity, and S by reference: S of the sets lies in a file beside it
/// (PATH.S-<hash>), written when S is new, whose name and hash PATH holds. Each file is written
/// under a temporary name, synced and renamed, S first; the S that is no longer referred to is
/// removed last. So at any moment PATH is a complete checkpoint, the old one or the new one.
/// Collective. Throws RunError.
template <class T>
void write_checkpoint(const comm::Communicator& comm, const std::string& path,
                      const Identity& identity, const State<T>& state,
                      const std::vector<RowSet<T>>& sets);

/// Reads PATH into `state` and the S of each set. Throws InputError: missing, truncated, written by
/// another version, another problem's (the first difference named with both values), S's file
/// missing or of another hash. The number of ranks may be another one. Collective.
template <class T>
void read_checkpoint(const comm::Communicator& comm, const std::string& path,
                     const Identity& identity, State<T>& state, std::vector<RowSet<T>>& sets);

}  // namespace mercer::train
