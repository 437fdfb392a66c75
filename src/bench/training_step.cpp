#include <algorithm>
#include <array>
#include <cmath>

#include "bench/bench.hpp"
#include "bench/training.hpp"
#include "mercer/blas/blas.hpp"

namespace mercer::bench {
namespace {

/// The variants of a step, timed in turn; `blocking`: plain, with the sum after the backward pass.
enum Way : std::size_t { plain, preconditioned, blocking };
constexpr std::size_t kWays = 3;

/// The GEMMs of a step on this rank's rows, in the order of a step, and nothing else, in batches of
/// as many rows as an Evaluator takes at once: about the least time of a step (an Evaluator
/// computes narrow layers in pieces of a batch, which is a little faster).
template <class T>
class StepGemms {
 public:
  StepGemms(const net::Network& network, Index rows)
      : network_(network), rows_(rows), w_(size(network.parameters()), T(1)), g_(w_) {
    for (auto* values : {&in_, &out_, &back_})
      values->assign(size((widest(network) + kApart) * columns(network, rows)), T(1));
  }

  void run() {
    using enum blas::Trans;
    const auto& layers = network_.layers();
    for (Index copy = 0; copy < network_.copies(); ++copy)
      for (Index first = 0; first < rows_; first += batch()) {
        const Index m = std::min(batch(), rows_ - first);
        for (const auto& layer : layers)
          each_part(layer, m, [&](Index columns) {
            blas::gemm<T>(no, no, 1, weights(layer, w_), rows(in_, layer.fan_in, columns), 0,
                          rows(out_, layer.fan_out, columns));
          });
        for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer)
          each_part(*layer, m, [&](Index columns) {
            const auto G = rows(out_, layer->fan_out, columns);
            blas::gemm<T>(no, yes, 1, G, rows(in_, layer->fan_in, columns), 0, weights(*layer, g_));
            if (layer + 1 != layers.rend())
              blas::gemm<T>(yes, no, 1, weights(*layer, w_), G, 0,
                            rows(back_, layer->fan_in, columns));
          });
      }
  }

  static double bytes(const net::Network& network, Index rows) {
    return sizeof(T) *
           (2.0 * static_cast<double>(network.parameters()) +
            3.0 * static_cast<double>((widest(network) + kApart) * columns(network, rows)));
  }

 private:
  static constexpr Index kBatch = 4096;
  static constexpr Index kApart = 64 / sizeof(T);  ///< padding: ld is then no power of two

  static std::size_t size(Index count) { return static_cast<std::size_t>(count); }
  Index batch() const { return std::min(rows_, kBatch); }
  /// The most numbers of a column of a GEMM, and the most columns: rows of the data set, or patches
  /// of a convolution.
  static Index widest(const net::Network& network) {
    Index most = 0;
    for (const auto& layer : network.layers()) most = std::max({most, layer.fan_in, layer.fan_out});
    return most;
  }
  static Index columns(const net::Network& network, Index rows) {
    const bool images = network.architecture().of_images();
    return images ? kBatch : std::min(rows, kBatch);
  }
  /// Calls f(columns) until all pixels of m rows are done.
  template <class F>
  void each_part(const net::WeightLayer& layer, Index m, F&& f) const {
    for (Index left = m * layer.pixels(); left > 0; left -= kBatch) f(std::min(left, kBatch));
  }
  MatrixView<T> weights(const net::WeightLayer& layer, RawVector<T>& w) const {
    return {w.data() + layer.weights, layer.fan_out, layer.fan_in, layer.fan_out};
  }
  MatrixView<T> rows(RawVector<T>& values, Index units, Index m) const {
    return {values.data(), units, m, units >= 32 * kApart ? units + kApart : units};
  }

  const net::Network& network_;
  Index rows_;
  RawVector<T> w_, g_, in_, out_, back_;
};

/// Seconds of a step of each variant, and the last run of each.
struct StepTimes {
  std::array<std::vector<double>, kWays> times{};
  std::array<train::Outcome, kWays> last{};
  /// ?gemm's rate; times with S over plain ones; seconds of a step's GEMMs.
  std::vector<double> peak{}, ratio{}, alone{};
};

template <class T>
StepTimes measure(const Bench& bench, const net::Network& network, Index n, Index k) {
  const auto& comm = bench.comm();
  const dist::RowPartition partition{n, comm.size()};
  auto rows = random_rows<T>(comm, network, n);
  const auto w_0 = network.initial<T>(bench.seed);
  const double flops = network.gradient_flops() * static_cast<double>(n) / comm.size();
  const Index steps = steps_of(flops);

  StepTimes result;
  auto& [times, last, peak, ratio, alone] = result;
  StepGemms<T> gemms(network, partition.size(comm.rank()));
  for (int r = 0; r < bench.repeat; ++r) {
    peak.push_back(gemm_peak<T>(comm));
    for (const Way way : {plain, preconditioned, blocking}) {
      rows[0].S = {};
      if (way == preconditioned)  // columns of norm about 1, not orthogonal: for timing only
        rows[0].S = {gaussian<T>(partition, comm.rank(), k, Stream::probe,
                                 1 / std::sqrt(static_cast<double>(n))),
                     std::vector<double>(static_cast<std::size_t>(k), -0.5)};
      train::State<T> state;
      state.w = w_0;
      auto options = timed_steps(steps);
      options.overlap = way != blocking;
      last[way] = train::descend<T>(comm, network, rows, state, w_0, options, {}, {});
      times[way].push_back(comm.all_reduce(last[way].seconds_per_step, comm::Op::max));
    }
    ratio.push_back(times[preconditioned].back() / times[plain].back());
    std::vector<double> gemm_times;
    for (Index step = 0; step < steps; ++step)
      gemm_times.push_back(seconds(comm, [&] { gemms.run(); }));
    alone.push_back(median(gemm_times));
  }
  return result;
}

}  // namespace

template <class T>
double step_bytes(const Bench& bench, const net::Network& network, Index n, Index top) {
  const Index own = ceil_div(n, bench.comm().size());
  const double c = static_cast<double>(network.outputs());
  return sizeof(T) *
             (4.0 * static_cast<double>(network.parameters()) +
              static_cast<double>(own) * (static_cast<double>(network.inputs() + top) + 5 * c)) +
         net::Evaluator<T>::bytes(network, own) + StepGemms<T>::bytes(network, own);
}

template <class T>
Json training_step(const Bench& bench, const net::Network& network, Index n, Index top) {
  const Index c = network.outputs(), k = std::min(top, n);
  const double flops = network.gradient_flops() * static_cast<double>(n) / bench.comm().size();
  const auto [times, last, peak, ratio, alone] = measure<T>(bench, network, n, k);
  const double p = static_cast<double>(network.parameters());
  const double ceiling = 1e-9 * median(peak);
  bench.say("\n{}, {} rows, {} parameters; {}gemm {:.1f} GFLOP/s a rank", network.text(), n,
            network.parameters(), std::is_same_v<T, float> ? 's' : 'd', ceiling);
  bench.say("{:<28} {:>10} {:>14} {:>9} {:>13} {:>16}", "a step", "seconds", "GFLOP/s a rank",
            "of peak", "wait for sum", "bytes sent");
  const auto line = [&, &times = times, &last = last](const std::string& name, Way way) {
    const double t = median(times[way]), gflops = 1e-9 * flops / t;
    bench.say("{:<28} {:>10.4f} {:>14.1f} {:>8.0f}% {:>12.1f}% {:>16.0f}", name, t, gflops,
              100 * gflops / ceiling, 100 * last[way].sum_share, last[way].bytes_per_step);
  };
  line("plain", plain);
  line(fmt::format("with S, k = {}", k), preconditioned);
  line("plain, sum after the pass", blocking);
  const double bare = median(alone);
  bench.say("{:<28} {:>10.4f} {:>14.1f} {:>8.0f}%   ({:.0f}% of a plain step)", "its GEMMs alone",
            bare, 1e-9 * flops / bare, 1e-7 * flops / bare / ceiling,
            100 * bare / median(times[plain]));
  bench.say(
      "with S / plain: {:.3f} (median of {}; {:.3f} ... {:.3f});  sums of p numbers of {} bytes, "
      "k c of 8: {:.0f} bytes, {:.0f} without S",
      median(ratio), bench.repeat, *std::ranges::min_element(ratio),
      *std::ranges::max_element(ratio), sizeof(T), sizeof(T) * p + 8 * static_cast<double>(k * c),
      sizeof(T) * p);
  const double t = median(times[plain]);
  return Json{{"network", network.text()},
              {"rows", n},
              {"parameters", network.parameters()},
              {"seconds_per_step", t},
              {"gflops_per_rank", 1e-9 * flops / t},
              {"gflops_gemm", ceiling},
              {"share_of_peak", 1e-9 * flops / t / ceiling},
              {"seconds_gemms", bare},
              {"share_of_gemms", bare / t},
              {"top", k},
              {"seconds_with_S", median(times[preconditioned])},
              {"ratio_with_S", median(ratio)},
              {"seconds_without_overlap", median(times[blocking])},
              {"sum_share", last[plain].sum_share},
              {"sum_share_without_overlap", last[blocking].sum_share},
              {"bytes_per_step", last[plain].bytes_per_step},
              {"bytes_per_step_with_S", last[preconditioned].bytes_per_step}};
}

template double step_bytes<double>(const Bench&, const net::Network&, Index, Index);
template double step_bytes<float>(const Bench&, const net::Network&, Index, Index);
template Json training_step<double>(const Bench&, const net::Network&, Index, Index);
template Json training_step<float>(const Bench&, const net::Network&, Index, Index);

}  // namespace mercer::bench
