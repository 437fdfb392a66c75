#include <algorithm>

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

}  // namespace mercer::bench
