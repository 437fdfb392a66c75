// Nanoseconds an entry of the tile functions, one thread: bench_kernel --benchmark_filter=...
// The GEMM is part of a tile: `d` is kept small to see the element pass, and BM_Gemm is its own
// part.
#include <benchmark/benchmark.h>

#include "mercer/base/random.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/kernel/kernel.hpp"

namespace mercer {
namespace {

constexpr Index kTile = 512;

Matrix<double> gaussian_rows(Index d, Index m) {
  Matrix<double> X(d, m);
  const Random random(1, Stream::test);
  for (Index k = 0; k < X.size(); ++k) X.data()[k] = random.normal(static_cast<std::uint64_t>(k));
  return X;
}

void per_entry(benchmark::State& state) {
  state.counters["ns/entry"] =
      benchmark::Counter(static_cast<double>(state.iterations() * kTile * kTile) / 1e9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void BM_Tile(benchmark::State& state, kernel::Kind kind, const char* text, double bias) {
  arch::Options options;
  options.bias_std = bias;
  kernel::Options job;
  job.kind = kind;
  if (kind == kernel::Kind::ntk || kind == kernel::Kind::nngp)
    job.architecture = arch::parse(text, options);
  const auto k = kernel::make(job);
  const auto X = gaussian_rows(state.range(0), kTile);
  const auto x = k->prepare(X.copy());
  Matrix<double> out(kTile, kTile);
  for (auto _ : state) {
    k->tile(*x, 0, *x, 0, out.view());
    benchmark::DoNotOptimize(out.data());
  }
  per_entry(state);
}

void BM_Gemm(benchmark::State& state) {
  const auto X = gaussian_rows(state.range(0), kTile);
  Matrix<double> out(kTile, kTile);
  for (auto _ : state) {
    blas::gemm<double>(blas::Trans::yes, blas::Trans::no, 1.0, X.view(), X.view(), 0.0, out.view());
    benchmark::DoNotOptimize(out.data());
  }
  per_entry(state);
}

using kernel::Kind;
constexpr const char* kRelu3 = "dense relu dense relu dense relu dense";
BENCHMARK(BM_Gemm)->Arg(16)->Arg(784);
BENCHMARK_CAPTURE(BM_Tile, ntk_relu_3, Kind::ntk, kRelu3, 0.0)->Arg(16)->Arg(784);
BENCHMARK_CAPTURE(BM_Tile, ntk_relu_3_bias, Kind::ntk, kRelu3, 0.1)->Arg(16);
BENCHMARK_CAPTURE(BM_Tile, nngp_relu_3, Kind::nngp, kRelu3, 0.0)->Arg(16);
BENCHMARK_CAPTURE(BM_Tile, ntk_erf_3, Kind::ntk, "dense erf dense erf dense erf dense", 0.0)
    ->Arg(16);
BENCHMARK_CAPTURE(BM_Tile, ntk_gelu_1, Kind::ntk, "dense gelu dense", 0.0)->Arg(16);
BENCHMARK_CAPTURE(BM_Tile, ntk_sin_1, Kind::ntk, "dense sin(1,1,0) dense", 0.0)->Arg(16);
BENCHMARK_CAPTURE(BM_Tile, ntk_tanh_1, Kind::ntk, "dense tanh dense", 0.0)->Arg(16);
BENCHMARK_CAPTURE(BM_Tile, ntk_res_2, Kind::ntk, "dense res(relu dense) res(relu dense) relu dense",
                  0.1)
    ->Arg(16);
BENCHMARK_CAPTURE(BM_Tile, gaussian, Kind::gaussian, "", 0.0)->Arg(16);

}  // namespace
}  // namespace mercer

int main(int argc, char** argv) {
  mercer::blas::set_threads(1);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
