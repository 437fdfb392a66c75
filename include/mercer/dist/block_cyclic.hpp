#pragma once

#include <algorithm>

#include "mercer/base/index.hpp"

namespace mercer::dist {

/// One dimension of ScaLAPACK's block-cyclic distribution with source process 0: block b of nb
/// consecutive indices belongs to process b mod nprocs. A pure value; a 2-D distribution is two of
/// them. Every function is local and O(1). Requires n >= 0, nb >= 1, 0 <= p < nprocs.
struct BlockCyclic1D {
  Index n = 0;     ///< global size
  Index nb = 1;    ///< block size
  int p = 0;       ///< this process's coordinate
  int nprocs = 1;  ///< processes in this dimension

  /// Number of indices that process `q` owns (ScaLAPACK's NUMROC).
  constexpr Index size_of(int q) const {
    const Index full = n / nb;
    Index size = full / nprocs * nb;
    const Index extra = full % nprocs;
    if (q < extra) size += nb;
    if (q == extra) size += n % nb;
    return size;
  }
  constexpr Index local_size() const { return size_of(p); }
  constexpr int owner(GlobalIndex i) const { return static_cast<int>(i.value / nb % nprocs); }
  constexpr bool mine(GlobalIndex i) const { return owner(i) == p; }
  /// Where index i lies on its owner.
  constexpr LocalIndex local(GlobalIndex i) const {
    return {i.value / (nb * nprocs) * nb + i.value % nb};
  }
  constexpr GlobalIndex global_of(int q, LocalIndex l) const {
    return {(l.value / nb * nprocs + q) * nb + l.value % nb};
  }
  constexpr GlobalIndex global(LocalIndex l) const { return global_of(p, l); }
  /// The first local index whose global index is at least i (local_size() if there is none).
  constexpr LocalIndex lower_bound(GlobalIndex i) const {
    if (i.value >= n) return {local_size()};
    const Index cycle = nb * nprocs;
    const Index offset = i.value % cycle - p * nb;
    return {std::min(local_size(), i.value / cycle * nb + std::clamp(offset, Index{0}, nb))};
  }
  friend constexpr bool operator==(const BlockCyclic1D&, const BlockCyclic1D&) = default;
};

}  // namespace mercer::dist
