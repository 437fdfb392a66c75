#include "mercer/train/rate.hpp"

#include <utility>

#include "lanczos.hpp"
#include "mercer/base/random.hpp"
#include "mercer/comm/together.hpp"

namespace mercer::train {

template <class T>
Bound largest_eigenvalue(const comm::Communicator& comm, net::Evaluator<T>& evaluator,
                         std::span<const T> w, const RowSet<T>& rows, std::uint64_t seed,
                         double tolerance, int most) {
  auto lanczos = comm::together(comm, [&] { return Lanczos<T>(comm, evaluator, w, rows); });
  const auto u = lanczos.start();
  const Random random(seed, Stream::probe);
  const Index before = rows.first * u.rows;
  for (Index i = 0; i < u.rows * u.cols; ++i)
    u.data[i] = static_cast<T>(random.normal(static_cast<std::uint64_t>(before + i)));

  Bound bound;
  double change_before = 1;
  while (bound.products < most && lanczos.step()) {
    ++bound.products;
    const double previous = std::exchange(bound.lambda_max, lanczos.largest());
    if (bound.lambda_max == 0) break;
    bound.change = (bound.lambda_max - previous) / bound.lambda_max;
    if (bound.change <= tolerance / 10 && change_before <= tolerance / 10) break;
    change_before = bound.change;
  }
  return bound;
}

template Bound largest_eigenvalue<double>(const comm::Communicator&, net::Evaluator<double>&,
                                          std::span<const double>, const RowSet<double>&,
                                          std::uint64_t, double, int);
template Bound largest_eigenvalue<float>(const comm::Communicator&, net::Evaluator<float>&,
                                         std::span<const float>, const RowSet<float>&,
                                         std::uint64_t, double, int);

}  // namespace mercer::train
