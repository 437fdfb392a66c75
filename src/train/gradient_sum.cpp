#include "mercer/train/gradient_sum.hpp"

#include <algorithm>
#include <utility>

#include "mercer/base/error.hpp"
#include "mercer/base/timer.hpp"

namespace mercer::train {
namespace {

constexpr Index kLargestBucket = Index{1} << 27;  // 2^30 bytes of double

/// Announces the layers as Evaluator::gradient() does: from the last one to the first, copy by copy.
template <class F>
void each_layer(const net::Network& network, F&& announced) {
  for (Index copy = network.copies() - 1; copy >= 0; --copy)
    for (auto layer = network.layers().rbegin(); layer != network.layers().rend(); ++layer)
      announced(copy * network.parameters_of_copy() + layer->weights,
                layer->biases + layer->fan_out - layer->weights);
}

Index seam_of(const net::Network* network) {
  return network != nullptr && network->copies() > 1 ? network->parameters_of_copy() : -1;
}

}  // namespace

std::vector<comm::Part> own_parts(const net::Network& network, int rank, int ranks, Index bucket) {
  std::vector<comm::Part> parts;
  const auto start = [&](Index begin, Index end) {
    const auto own = comm::part_of(end - begin, rank, ranks);
    if (own.count > 0) parts.push_back({begin + own.begin, own.count});
  };
  GradientBuckets buckets(bucket, seam_of(&network));
  each_layer(network, [&](Index first, Index count) { buckets.add(first, count, start); });
  buckets.flush(start);
  return parts;
}

template <class T>
GradientSum<T>::GradientSum(const comm::Communicator& comm, std::span<T> g, const Options& options)
    : comm_(comm),
      g_(g),
      options_(options),
      buckets_(std::max<Index>(1, options.bucket), seam_of(options.in_halves)),
      sums_(comm, options.in_halves ? comm::Spread::later : comm::Spread::at_once) {
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
void GradientSum<T>::start(Index begin, Index end) {
  sums_.start(g_.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)));
  started_ += end - begin;
}

template <class T>
void GradientSum<T>::announced(Index first, Index count) {
  buckets_.add(first, count, [this](Index begin, Index end) { start(begin, end); });
}

template <class T>
void GradientSum<T>::check_started(Index started) const {
  if (started != std::ssize(g_))
    throw RunError("the backward pass announced {} of the gradient's {} entries", started,
                   g_.size());
}

template <class T>
void GradientSum<T>::finish() {
  const Timer timer;
  buckets_.flush([this](Index begin, Index end) { start(begin, end); });
  sums_.wait();
  const Index started = std::exchange(started_, 0);
  if (started == 0)
    comm_.all_reduce(g_, comm::Op::sum);
  else
    check_started(started);
  if (comm_.size() > 1) bytes_ += std::ssize(g_) * static_cast<Index>(sizeof(T));
  waiting_ += timer.seconds();
}

template <class T>
void GradientSum<T>::reduce() {
  const Timer timer;
  if (started_ == 0 && buckets_.empty())  // the pass was not watched
    each_layer(*options_.in_halves, [this](Index first, Index count) { announced(first, count); });
  buckets_.flush([this](Index begin, Index end) { start(begin, end); });
  sums_.sum_parts();
  check_started(std::exchange(started_, 0));
  waiting_ += timer.seconds();
}

template <class T>
void GradientSum<T>::gather() {
  const Timer timer;
  sums_.wait();
  if (comm_.size() > 1) bytes_ += std::ssize(g_) * static_cast<Index>(sizeof(T));
  waiting_ += timer.seconds();
}

template class GradientSum<double>;
template class GradientSum<float>;

}  // namespace mercer::train
