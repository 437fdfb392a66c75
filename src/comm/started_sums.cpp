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
  const std::size_t n = sum.values.size(), P = static_cast<std::size_t>(comm_.size());
  const std::size_t r = static_cast<std::size_t>(rank), begin = n * r / P;
  return sum.values.subspan(begin, n * (r + 1) / P - begin);
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
  sum.spreading = false;
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

/// Second round, once the first one's messages are complete: sums the own part, sends it to all.
template <class T>
void StartedSums<T>::spread(Sum& sum) {
  const int me = comm_.rank(), P = comm_.size();
  const auto own = part(sum, me);
  const T* received = sum.received.data();
  for (int r = 1; r < P; ++r, received += own.size())
    for (std::size_t i = 0; i < own.size(); ++i) own[i] += received[i];
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
    int done = 0;
    check(MPI_Testall(static_cast<int>(sum.requests.size()), sum.requests.data(), &done,
                      MPI_STATUSES_IGNORE),
          "MPI_Testall");
    if (done != 0 && !sum.spreading) spread(sum);
  }
}

template <class T>
void StartedSums<T>::wait() {
  const auto wait_for = [](Sum& sum) {
    check(MPI_Waitall(static_cast<int>(sum.requests.size()), sum.requests.data(),
                      MPI_STATUSES_IGNORE),
          "MPI_Waitall");
  };
  // The first round completes once every rank has called start(), so that all reach the second.
  for (std::size_t i = 0; i < open_; ++i)
    if (!sums_[i].spreading) {
      wait_for(sums_[i]);
      spread(sums_[i]);
    }
  for (std::size_t i = 0; i < open_; ++i) {
    wait_for(sums_[i]);
    sums_[i].requests.clear();
  }
  open_ = 0;
}

template class StartedSums<double>;
template class StartedSums<float>;

}  // namespace mercer::comm
