#include "mercer/comm/started_sums.hpp"

#include <type_traits>

#include "mercer/comm/environment.hpp"
#include "messages.hpp"

namespace mercer::comm {

template <class T>
StartedSums<T>::~StartedSums() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (!finalized) wait();  // MPI still writes to the values
}

/// The part of the values that `rank` sums.
template <class T>
std::span<T> StartedSums<T>::part(const Sum& sum, int rank) const {
  const auto part = part_of(static_cast<Index>(sum.values.size()), rank, comm_.size());
  return sum.values.subspan(static_cast<std::size_t>(part.begin),
                            static_cast<std::size_t>(part.count));
}

/// A tag of its own for each open sum and each of its two rounds of messages.
template <class T>
int StartedSums<T>::tag(const Sum& sum) const {
  return static_cast<int>((&sum - sums_.data()) % 8192) * 2 + (sum.spreading ? 1 : 0);
}

template <class T>
void StartedSums<T>::start(std::span<T> values) {
  const Index bytes = static_cast<Index>(values.size_bytes());
  if (bytes > kMaxMessageBytes) abort_run("StartedSums::start", "a sum of more than 2^30 bytes");
  if (comm_.size() == 1 || values.empty()) return;
  count_sent(bytes);
  static_assert(std::is_nothrow_move_constructible_v<Sum>);  // growing sums_ keeps MPI's buffers
  if (open_ == sums_.size()) sums_.emplace_back();
  Sum& sum = sums_[open_++];
  sum.values = values;
  sum.summed = sum.spreading = false;
  const int me = comm_.rank(), P = comm_.size();
  const std::size_t own = part(sum, me).size();
  sum.received.resize(own * static_cast<std::size_t>(P - 1));
  for (int shift = 1; shift < P; ++shift) {
    const int source = (me - shift + P) % P, target = (me + shift) % P;
    const auto out = part(sum, target);
    check(MPI_Irecv(sum.received.data() + own * static_cast<std::size_t>(shift - 1),
                    static_cast<int>(own), datatype<T>(), source, tag(sum), comm_.handle(),
                    &sum.requests.emplace_back()),
          "MPI_Irecv");
    check(MPI_Isend(out.data(), static_cast<int>(out.size()), datatype<T>(), target, tag(sum),
                    comm_.handle(), &sum.requests.emplace_back()),
          "MPI_Isend");
  }
}

/// Once the first round's messages are complete: sums the own part.
template <class T>
void StartedSums<T>::add_received(Sum& sum) {
  const auto own = part(sum, comm_.rank());
  const T* received = sum.received.data();
  for (int r = 1; r < comm_.size(); ++r, received += own.size())
    for (std::size_t i = 0; i < own.size(); ++i) own[i] += received[i];
  sum.summed = true;
}

/// Second round: sends the own part to all.
template <class T>
void StartedSums<T>::spread(Sum& sum) {
  const int me = comm_.rank(), P = comm_.size();
  const auto own = part(sum, me);
  sum.spreading = true;
  sum.requests.clear();
  for (int shift = 1; shift < P; ++shift) {
    const int source = (me - shift + P) % P, target = (me + shift) % P;
    const auto in = part(sum, source);
    check(MPI_Irecv(in.data(), static_cast<int>(in.size()), datatype<T>(), source, tag(sum),
                    comm_.handle(), &sum.requests.emplace_back()),
          "MPI_Irecv");
    check(MPI_Isend(own.data(), static_cast<int>(own.size()), datatype<T>(), target, tag(sum),
                    comm_.handle(), &sum.requests.emplace_back()),
          "MPI_Isend");
  }
}

template <class T>
void StartedSums<T>::test() {
  for (std::size_t i = 0; i < open_; ++i) {
    Sum& sum = sums_[i];
    if (sum.summed && !sum.spreading) continue;  // until wait()
    int done = 0;
    check(MPI_Testall(static_cast<int>(sum.requests.size()), sum.requests.data(), &done,
                      MPI_STATUSES_IGNORE),
          "MPI_Testall");
    if (done == 0 || sum.spreading) continue;
    add_received(sum);
    if (spread_ == Spread::at_once) spread(sum);
  }
}

namespace {

void wait_for(std::vector<MPI_Request>& requests) {
  check(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE),
        "MPI_Waitall");
}

}  // namespace

template <class T>
void StartedSums<T>::sum_parts() {
  for (std::size_t i = 0; i < open_; ++i) {
    if (sums_[i].summed) continue;
    wait_for(sums_[i].requests);
    add_received(sums_[i]);
  }
}

template <class T>
void StartedSums<T>::wait() {
  // The first round completes once every rank has called start(), so that all reach the second.
  for (std::size_t i = 0; i < open_; ++i) {
    Sum& sum = sums_[i];
    if (sum.spreading) continue;
    if (!sum.summed) {
      wait_for(sum.requests);
      add_received(sum);
    }
    spread(sum);
  }
  for (std::size_t i = 0; i < open_; ++i) {
    wait_for(sums_[i].requests);
    sums_[i].requests.clear();
  }
  open_ = 0;
}

template class StartedSums<double>;
template class StartedSums<float>;

}  // namespace mercer::comm
