#pragma once

#include <mpi.h>

#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "mercer/base/index.hpp"
#include "mercer/base/matrix.hpp"

namespace mercer::comm {

template <class T>
MPI_Datatype datatype() {
  if constexpr (std::is_same_v<T, double>)
    return MPI_DOUBLE;
  else if constexpr (std::is_same_v<T, float>)
    return MPI_FLOAT;
  else if constexpr (std::is_same_v<T, std::int64_t>)
    return MPI_INT64_T;
  else if constexpr (std::is_same_v<T, std::uint64_t>)
    return MPI_UINT64_T;
  else if constexpr (std::is_same_v<T, int>)
    return MPI_INT;
  else if constexpr (std::is_same_v<T, char> || std::is_same_v<T, std::byte> ||
                     std::is_same_v<T, std::uint8_t>)
    return MPI_BYTE;
  else
    static_assert(!sizeof(T), "no MPI datatype for this type");
}

enum class Op { sum, max, min };

/// A group of ranks. Owns a duplicate of the MPI communicator it is made from, so that Mercer's
/// messages never mix with the caller's. Copies share the duplicate; the last copy frees it, unless
/// MPI has been finalised. An error of MPI aborts the run with the rank and the place: it strikes
/// one rank, and an exception there could not unwind together with the other ranks.
///
/// Every member function below is collective unless it says otherwise. Counts are 64-bit: messages
/// are cut at 2^30 bytes.
class Communicator {
 public:
  /// Collective over `parent`. MPI_COMM_NULL makes an object that is not valid(): local then.
  explicit Communicator(MPI_Comm parent);
  static Communicator world();

  /// Local, these five.
  int rank() const { return rank_; }
  int size() const { return size_; }
  bool root() const { return rank_ == 0; }
  bool valid() const { return static_cast<bool>(handle_); }
  MPI_Comm handle() const { return handle_ ? *handle_ : MPI_COMM_NULL; }

  /// The ranks of equal `color`, ordered by `key`; a rank with color < 0 gets an invalid
  /// communicator.
  Communicator split(int color, int key) const;
  void barrier() const;

  /// values <- op over the ranks, element by element; the same bits on every rank.
  template <class T>
  void all_reduce(std::span<T> values, Op op) const;
  template <class T>
  T all_reduce(T value, Op op) const {
    all_reduce(std::span<T>(&value, 1), op);
    return value;
  }
  /// values <- those of rank `root`; of the same length on every rank. A text may have any length.
  template <class T>
  void broadcast(std::span<T> values, int root) const;
  std::string broadcast(std::string text, int root) const;
  /// One value of each rank, in rank order, on all ranks.
  template <class T>
  std::vector<T> all_gather(T value) const;
  /// Any number of values of each rank, in rank order, on all ranks. Memory: all of them.
  template <class T>
  std::vector<T> all_gather(std::span<const T> values) const;
  /// send_counts[r] elements of `send`, in rank order, go to rank r; `result` receives
  /// receive_counts[r] elements from rank r, in rank order. A rank that sends itself nothing keeps
  /// what `result` holds at its own place. Counts beyond the buffers abort the run.
  template <class T>
  void all_to_all(std::span<const T> send, std::span<const Index> send_counts, std::span<T> result,
                  std::span<const Index> receive_counts) const;
  /// counts[r] elements of `send`, in rank order, go to rank r. Returns what the ranks sent here,
  /// in rank order; `received`, if given, gets the number of elements that came from each.
  template <class T>
  RawVector<T> all_to_all(std::span<const T> send, std::span<const Index> counts,
                          std::vector<Index>* received = nullptr) const;

 private:
  Communicator() = default;
  std::shared_ptr<MPI_Comm> handle_;
  int rank_ = 0;
  int size_ = 1;
};

/// Bytes that this rank has passed to MPI through Communicator and StartedSums since the start,
/// each once: not what MPI's algorithms make of them, nor what ScaLAPACK and ELPA send. The values
/// of all_gather(value) and the counts of all_to_all() are left out. Local.
std::int64_t bytes_sent();

/// The number of nodes that the ranks are on: of sets of ranks that can share memory. Collective.
int node_count(const Communicator& comm);

}  // namespace mercer::comm
