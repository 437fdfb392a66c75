#include "mercer/train/gradient_sum.hpp"

#include <utility>

#include "mercer/base/error.hpp"
#include "mercer/base/timer.hpp"

namespace mercer::train {
namespace {

constexpr Index kLargestBucket = Index{1} << 27;  // 2^30 bytes of double

}  // namespace

template <class T>
GradientSum<T>::GradientSum(const comm::Communicator& comm, std::span<T> g, const Options& options)
    : comm_(comm), g_(g), options_(options), sums_(comm) {
  if (options.bucket < 1 || options.bucket > kLargestBucket)
    throw InputError("a bucket of {} gradient entries: 1 to {} are possible", options.bucket,
                     kLargestBucket);
}

template <class T>
typename net::Evaluator<T>::Watch GradientSum<T>::watch() {
  if (!overlaps()) return {};
  return {[this](Index first, Index count) { announced(first, count); }, [this] { sums_.test(); }};
}

template <class T>
void GradientSum<T>::announced(Index first, Index count) {
  const bool before = first + count == pending_begin_, after = first == pending_end_;
  if (pending_begin_ == pending_end_ || !(before || after)) {
    start_pending();
    pending_begin_ = first;
    pending_end_ = first + count;
  } else if (before) {
    pending_begin_ = first;
  } else {
    pending_end_ = first + count;
  }
  if (pending_end_ - pending_begin_ >= options_.bucket) start_pending();
}

template <class T>
void GradientSum<T>::start_pending() {
  const Index count = pending_end_ - pending_begin_;
  if (count == 0) return;
  const Index pieces = ceil_div(count, options_.bucket);
  for (Index i = 0; i < pieces; ++i) {
    const Index begin = count * i / pieces, end = count * (i + 1) / pieces;
    sums_.start(g_.subspan(static_cast<std::size_t>(pending_begin_ + begin),
                           static_cast<std::size_t>(end - begin)));
  }
  started_ += count;
  pending_begin_ = pending_end_ = 0;
}

template <class T>
void GradientSum<T>::finish() {
  const Timer timer;
  const Index p = static_cast<Index>(g_.size());
  start_pending();
  sums_.wait();
  const Index started = std::exchange(started_, 0);
  if (started == 0)
    comm_.all_reduce(g_, comm::Op::sum);
  else if (started != p)
    throw RunError("the backward pass announced {} of the gradient's {} entries", started, p);
  if (comm_.size() > 1) bytes_ += p * static_cast<Index>(sizeof(T));
  waiting_ += timer.seconds();
}

template class GradientSum<double>;
template class GradientSum<float>;

}  // namespace mercer::train
