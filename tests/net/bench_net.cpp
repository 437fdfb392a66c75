// A full-batch gradient step (outputs, then the gradient from kept activations), float, beside
// sgemm in the same run: mpirun -n 2 bench_net.
#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <vector>

#include "mercer/base/random.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/net/network.hpp"

namespace mercer {
namespace {

/// Processor time, which a busy machine disturbs less than the clock on the wall.
double now() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// Median seconds of each function, called in turn.
template <class... F>
std::vector<double> medians(int repeat, F&&... f) {
  std::vector<std::vector<double>> times(sizeof...(F));
  for (int k = 0; k <= repeat; ++k) {
    std::size_t which = 0;
    const auto time = [&](auto& call) {
      const double start = now();
      call();
      if (k > 0) times[which].push_back(now() - start);
      ++which;
    };
    (time(f), ...);
  }
  std::vector<double> result;
  for (auto& t : times) {
    std::ranges::nth_element(t, t.begin() + repeat / 2);
    result.push_back(t[static_cast<std::size_t>(repeat / 2)]);
  }
  return result;
}

Matrix<float> numbers(Index rows, Index cols) {
  Matrix<float> A(rows, cols);
  const Random random(1, Stream::test);
  for (Index k = 0; k < A.size(); ++k)
    A.data()[k] = static_cast<float>(random.normal(static_cast<std::uint64_t>(k)));
  return A;
}

void step(const char* text, Index rows, int repeat, net::Start start, bool print) {
  const net::Network network(arch::parse(text), 784, net::Parametrization::ntk, start);
  const auto X = numbers(784, rows), seed = numbers(network.outputs(), rows);
  const auto w = network.initial<float>(0);
  std::vector<float> g(w.size());
  Matrix<float> F(network.outputs(), rows);
  net::Evaluator<float> evaluator(network, rows);
  const auto A = numbers(1024, 1024);
  Matrix<float> C(1024, 1024);
  const auto seconds = medians(
      repeat,
      [&] {
        blas::gemm<float>(blas::Trans::no, blas::Trans::no, 1, A.view(), A.view(), 0, C.view());
      },
      [&] { evaluator.outputs(w, X.view(), F.view()); },
      [&] { evaluator.gradient(w, X.view(), seed.view(), g, true); },
      [&] {
        evaluator.outputs(w, X.view(), F.view());
        evaluator.gradient(w, X.view(), seed.view(), g, true);
      });
  const double ceiling = 2e-9 * 1024. * 1024. * 1024. / seconds[0];
  const double forward = seconds[1], backward = seconds[2], both = seconds[3];
  const double n = 1e-9 * static_cast<double>(rows), f = n * network.forward_flops(),
               all = n * network.gradient_flops();
  if (print)
    std::printf(
        "%-36s %5lld rows: %8.2f ms; forward %3.0f %%, backward %3.0f %%, step %3.0f %% of "
        "%.0f GFLOP/s\n",
        text, static_cast<long long>(rows), 1e3 * both, 100 * f / forward / ceiling,
        100 * (all - f) / backward / ceiling, 100 * all / both / ceiling, ceiling);
}

}  // namespace
}  // namespace mercer

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  mercer::blas::set_threads(1);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  using mercer::net::Start;
  mercer::step("dense(1024) relu dense(1024) relu dense(10)", 4096, 7, Start::gaussian, rank == 0);
  mercer::step("dense(256) relu dense(256) relu dense(10)", 512, 51, Start::gaussian, rank == 0);
  mercer::step("dense(256) relu dense(256) relu dense(10)", 512, 51, Start::antisymmetric,
               rank == 0);
  MPI_Finalize();
}
