#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <type_traits>

#include "bench/bench.hpp"
#include "mercer/base/timer.hpp"
#include "mercer/blas/blas.hpp"

namespace mercer::bench {

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t m = values.size() / 2;
  return values.size() % 2 == 1 ? values[m] : 0.5 * (values[m - 1] + values[m]);
}

double seconds(const comm::Communicator& comm, const std::function<void()>& body) {
  comm.barrier();
  const Timer timer;
  body();
  return comm.all_reduce(timer.seconds(), comm::Op::max);
}

template <class T>
double gemm_peak(const comm::Communicator& comm) {
  constexpr Index m = 2048;
  Matrix<T> A(m, m, T(1)), B(m, m, T(1)), C(m, m);
  std::vector<double> times;
  for (int r = 0; r < 5; ++r)
    times.push_back(seconds(comm, [&] {
      blas::gemm<T>(blas::Trans::no, blas::Trans::no, 1, A.view(), B.view(), 0, C.view());
    }));
  return 2.0 * m * m * m / median(times);
}
template double gemm_peak<double>(const comm::Communicator&);
template double gemm_peak<float>(const comm::Communicator&);

template <class T>
double read_rate(const comm::Communicator& comm, std::span<const T> values) {
  using Word = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr std::size_t kStreams = 4, kWords = 32 / sizeof(T);  // streams keep prefetchers busy
  std::array<std::array<Word, kWords>, kStreams> sums{};
  const std::size_t part = values.size() / kStreams;
  std::vector<double> times;
  for (int r = 0; r < 3; ++r)
    times.push_back(seconds(comm, [&] {
      for (std::size_t i = 0; i + kWords <= part; i += kWords)
        for (std::size_t stream = 0; stream < kStreams; ++stream)
          for (std::size_t j = 0; j < kWords; ++j)
            sums[stream][j] += std::bit_cast<Word>(values[stream * part + i + j]);
    }));
  volatile Word used = 0;  // so that nothing is optimised away
  for (const auto& stream : sums)
    for (const auto sum : stream) used = used + sum;
  const double most = comm.all_reduce(static_cast<double>(values.size_bytes()), comm::Op::max);
  return most / *std::ranges::min_element(times);
}
template double read_rate<double>(const comm::Communicator&, std::span<const double>);
template double read_rate<float>(const comm::Communicator&, std::span<const float>);

}  // namespace mercer::bench
