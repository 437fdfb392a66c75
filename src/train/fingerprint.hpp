#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "mercer/base/hash.hpp"
#include "mercer/comm/communicator.hpp"

namespace mercer::train {

/// A hash of the bits of named arrays, a sum over their entries: each rank adds its own entries,
/// and the result does not depend on the distribution. Detects damage and mistakes, not attacks.
class Fingerprint {
 public:
  /// Entries first, first + 1, ... of the array `name`. Local.
  template <class T>
  void add(std::string_view name, Index first, std::span<const T> values) {
    using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
    std::uint64_t key = 0;
    for (const char c : name) key = mix(key + static_cast<unsigned char>(c) + 1);
    key += static_cast<std::uint64_t>(first) * kGolden;
    for (const T value : values) {
      sum_ += mix(key ^ std::bit_cast<Bits>(value));
      key += kGolden;  // another key for every position
    }
  }
  /// An array that every rank holds. Local.
  template <class T>
  void add_replicated(const comm::Communicator& comm, std::string_view name,
                      std::span<const T> values) {
    if (comm.root()) add(name, 0, values);
  }
  /// The hash. Collective.
  std::uint64_t total(const comm::Communicator& comm) const {
    return comm.all_reduce(sum_, comm::Op::sum);
  }

 private:
  std::uint64_t sum_ = 0;
};

}  // namespace mercer::train
