#pragma once

#include <string>
#include <vector>

#include "mercer/io/identity.hpp"
#include "mercer/train/descend.hpp"

namespace mercer::train {

using io::Identity;

/// Writes PATH: the state, the identity, and S by reference: S of the sets lies in a file beside it
/// (PATH.S-<hash of its bits>), written when S is new, whose hash PATH holds. Each file is written
/// under a temporary name, synced and renamed, S first; the S that is no longer referred to is
/// removed last, as are temporary files that killed runs left: PATH belongs to one run at a time
/// (io::PathLock). So at any moment PATH is a complete checkpoint, the old one or the new one.
///
/// PATH: attributes checkpoint_version, _precision, _hash (of all but S), _S, _identity (its
/// names), and the identity's values under their own names; /state/w and /state/velocity (p x 1),
/// /state/rate,
/// ..., /state/residualI (n x c), /history/loss, ... (one entry a record; /history/directions one
/// record after the other, /history/directions_count numbers each). Everything to the bit, float as
/// float32.
///
/// `settings`: what the run that goes on may have otherwise (io::write_settings).
///
/// Collective. Bytes: that of the state and, when new, of S; S is hashed every time (n k/P numbers
/// a rank). Memory: nothing of its size. Throws InputError where the place cannot be written to,
/// RunError.
template <class T>
void write_checkpoint(const comm::Communicator& comm, const std::string& path,
                      const Identity& identity, const State<T>& state,
                      const std::vector<RowSet<T>>& sets, const Identity& settings = {});

/// Reads PATH into `state` and the S of each set (n and first set). Throws InputError: missing,
/// truncated, damaged (the hashes tell), written by another version, another problem's (the first
/// difference named with both values), S's file missing or of another hash; `state` and `sets` are
/// then of no use. The number of ranks may be another one. Collective. Memory: S and two times w.
template <class T>
void read_checkpoint(const comm::Communicator& comm, const std::string& path,
                     const Identity& identity, State<T>& state, std::vector<RowSet<T>>& sets);

}  // namespace mercer::train
