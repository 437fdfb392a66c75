#include "mercer/comm/communicator.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <numeric>

#include "mercer/comm/environment.hpp"
#include "mercer/comm/together.hpp"
#include "messages.hpp"

namespace mercer::comm {
namespace {

std::atomic<std::int64_t> g_bytes_sent{0};

MPI_Op mpi_op(Op op) {
  switch (op) {
    case Op::max:
      return MPI_MAX;
    case Op::min:
      return MPI_MIN;
    default:
      return MPI_SUM;
  }
}

template <class T>
Index max_elements() {
  return kMaxMessageBytes / static_cast<Index>(sizeof(T));
}

}  // namespace

void check(int code, const char* where) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  abort_run(where, text);
}

void count_sent(Index bytes) {
  g_bytes_sent += bytes;
}

std::int64_t bytes_sent() {
  return g_bytes_sent;
}

int node_count(const Communicator& comm) {
  MPI_Comm node = MPI_COMM_NULL;
  MPI_Comm_split_type(comm.handle(), MPI_COMM_TYPE_SHARED, comm.rank(), MPI_INFO_NULL, &node);
  int rank = 0;
  MPI_Comm_rank(node, &rank);
  MPI_Comm_free(&node);
  return comm.all_reduce(rank == 0 ? 1 : 0, Op::sum);
}

Communicator::Communicator(MPI_Comm parent) {
  if (parent == MPI_COMM_NULL) return;
  MPI_Comm copy = MPI_COMM_NULL;
  check(MPI_Comm_dup(parent, &copy), "MPI_Comm_dup");
  MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN);  // so that check() sees the error codes
  handle_ = std::shared_ptr<MPI_Comm>(new MPI_Comm(copy), [](MPI_Comm* comm) {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (!finalized) MPI_Comm_free(comm);
    delete comm;
  });
  MPI_Comm_rank(copy, &rank_);
  MPI_Comm_size(copy, &size_);
}

Communicator Communicator::world() {
  return Communicator(MPI_COMM_WORLD);
}

Communicator Communicator::split(int color, int key) const {
  MPI_Comm part = MPI_COMM_NULL;
  check(MPI_Comm_split(handle(), color < 0 ? MPI_UNDEFINED : color, key, &part), "MPI_Comm_split");
  Communicator result(part);
  if (part != MPI_COMM_NULL) MPI_Comm_free(&part);
  return result;
}

void Communicator::barrier() const {
  check(MPI_Barrier(handle()), "MPI_Barrier");
}

template <class T>
void Communicator::all_reduce(std::span<T> values, Op op) const {
  const Index n = static_cast<Index>(values.size());
  for (Index begin = 0; begin < n; begin += max_elements<T>()) {
    const Index count = std::min(max_elements<T>(), n - begin);
    check(MPI_Allreduce(MPI_IN_PLACE, values.data() + begin, static_cast<int>(count), datatype<T>(),
                        mpi_op(op), handle()),
          "MPI_Allreduce");
  }
  if (size_ > 1) g_bytes_sent += n * static_cast<Index>(sizeof(T));
}

template <class T>
void Communicator::broadcast(std::span<T> values, int root) const {
  const Index n = static_cast<Index>(values.size());
  for (Index begin = 0; begin < n; begin += max_elements<T>()) {
    const Index count = std::min(max_elements<T>(), n - begin);
    check(MPI_Bcast(values.data() + begin, static_cast<int>(count), datatype<T>(), root, handle()),
          "MPI_Bcast");
  }
  if (rank_ == root) g_bytes_sent += n * static_cast<Index>(sizeof(T)) * (size_ > 1);
}

std::string Communicator::broadcast(std::string text, int root) const {
  Index length = static_cast<Index>(text.size());
  broadcast(std::span<Index>(&length, 1), root);
  text.resize(static_cast<std::size_t>(length));
  broadcast(std::span<char>(text.data(), text.size()), root);
  return text;
}

template <class T>
std::vector<T> Communicator::all_gather(T value) const {
  std::vector<T> all(static_cast<std::size_t>(size_));
  check(MPI_Allgather(&value, 1, datatype<T>(), all.data(), 1, datatype<T>(), handle()),
        "MPI_Allgather");
  return all;
}

template <class T>
std::vector<T> Communicator::all_gather(std::span<const T> values) const {
  const auto counts = all_gather(static_cast<Index>(values.size()));
  Index total = 0;
  for (Index c : counts) total += c;
  std::vector<T> all(static_cast<std::size_t>(total));
  Index begin = 0;
  for (int r = 0; r < size_; ++r) {
    const std::span<T> part(all.data() + begin,
                            static_cast<std::size_t>(counts[static_cast<std::size_t>(r)]));
    if (r == rank_) std::copy(values.begin(), values.end(), part.begin());
    broadcast(part, r);
    begin += counts[static_cast<std::size_t>(r)];
  }
  return all;
}

template <class T>
void Communicator::all_to_all(std::span<const T> send, std::span<const Index> send_counts,
                              std::span<T> result, std::span<const Index> receive_counts) const {
  const auto P = static_cast<std::size_t>(size_);
  std::vector<Index> from(P + 1, 0), to(P + 1, 0);
  for (std::size_t r = 0; r < P; ++r) {
    to[r + 1] = to[r] + send_counts[r];
    from[r + 1] = from[r] + receive_counts[r];
  }
  if (to[P] > static_cast<Index>(send.size()) || from[P] > static_cast<Index>(result.size()))
    abort_run("all_to_all", "the counts exceed the buffer");

  // Pairwise messages: 64-bit displacements, and pieces of any size.
  std::vector<MPI_Request> requests;
  const auto pieces = [&](Index begin, Index count, auto&& post) {
    for (Index done = 0; done < count; done += max_elements<T>())
      post(begin + done, static_cast<int>(std::min(max_elements<T>(), count - done)));
  };
  for (int shift = 1; shift < size_; ++shift) {
    const int source = (rank_ - shift + size_) % size_;
    const auto s = static_cast<std::size_t>(source);
    pieces(from[s], receive_counts[s], [&](Index at, int count) {
      check(MPI_Irecv(result.data() + at, count, datatype<T>(), source, 0, handle(),
                      &requests.emplace_back()),
            "MPI_Irecv");
    });
  }
  for (int shift = 1; shift < size_; ++shift) {
    const int target = (rank_ + shift) % size_;
    const auto t = static_cast<std::size_t>(target);
    pieces(to[t], send_counts[t], [&](Index at, int count) {
      check(MPI_Isend(send.data() + at, count, datatype<T>(), target, 0, handle(),
                      &requests.emplace_back()),
            "MPI_Isend");
    });
    g_bytes_sent += send_counts[t] * static_cast<Index>(sizeof(T));
  }
  const auto self = static_cast<std::size_t>(rank_);
  if (send_counts[self] != 0 && send_counts[self] != receive_counts[self])
    abort_run("all_to_all", "a rank's counts of what it sends to itself differ");
  std::copy_n(send.data() + to[self], send_counts[self], result.data() + from[self]);
  check(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE),
        "MPI_Waitall");
}

template <class T>
RawVector<T> Communicator::all_to_all(std::span<const T> send, std::span<const Index> counts,
                                      std::vector<Index>* received) const {
  std::vector<Index> incoming(static_cast<std::size_t>(size_));
  check(MPI_Alltoall(counts.data(), 1, MPI_INT64_T, incoming.data(), 1, MPI_INT64_T, handle()),
        "MPI_Alltoall");
  RawVector<T> result(
      static_cast<std::size_t>(std::accumulate(incoming.begin(), incoming.end(), Index{0})));
  all_to_all(send, counts, std::span<T>(result), incoming);
  if (received != nullptr) *received = incoming;
  return result;
}

#define MERCER_INSTANTIATE(T)                                                                   \
  template void Communicator::all_reduce<T>(std::span<T>, Op) const;                            \
  template void Communicator::broadcast<T>(std::span<T>, int) const;                            \
  template std::vector<T> Communicator::all_gather<T>(T) const;                                 \
  template std::vector<T> Communicator::all_gather<T>(std::span<const T>) const;                \
  template void Communicator::all_to_all<T>(std::span<const T>, std::span<const Index>,         \
                                            std::span<T>, std::span<const Index>) const;        \
  template RawVector<T> Communicator::all_to_all<T>(std::span<const T>, std::span<const Index>, \
                                                    std::vector<Index>*) const;
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
MERCER_INSTANTIATE(std::int64_t)
MERCER_INSTANTIATE(std::uint64_t)
MERCER_INSTANTIATE(int)
MERCER_INSTANTIATE(char)
#undef MERCER_INSTANTIATE

void agree_or_throw(const Communicator& comm, bool ok, ExitCode code, std::string_view what) {
  const int first = comm.all_reduce(ok ? comm.size() : comm.rank(), Op::min);
  if (first == comm.size()) return;
  int agreed = static_cast<int>(code);
  comm.broadcast(std::span<int>(&agreed, 1), first);
  const std::string text = comm.broadcast(std::string(what), first);
  switch (static_cast<ExitCode>(agreed)) {
    case ExitCode::bad_input:
      throw InputError("{}", text);
    case ExitCode::failed:
      throw RunError("{}", text);
    case ExitCode::out_of_memory:
      throw MemoryError("{}", text);
    default:
      throw Error(static_cast<ExitCode>(agreed), text);
  }
}

}  // namespace mercer::comm
