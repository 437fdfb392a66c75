#include <cmath>

#include "bench/bench.hpp"
#include "mercer/arch/architecture.hpp"
#include "mercer/base/random.hpp"
#include "mercer/kernel/kernel.hpp"

namespace mercer::bench {
namespace {

Matrix<double> gaussian(Index d, Index n, std::uint64_t seed, std::uint32_t part) {
  Matrix<double> X(d, n);
  const Random random(seed, Stream::probe, part);
  for (Index i = 0; i < X.size(); ++i) X.data()[i] = random.normal(static_cast<std::uint64_t>(i));
  return X;
}

/// A kernel function, and two sets of `rows` rows each for it.
class TimedTile {
 public:
  TimedTile(const arch::Architecture& architecture, Index d, Index rows, bool single,
            std::uint64_t seed)
      : kernel_(kernel::make({.architecture = architecture, .single_state = single})),
        x_(kernel_->prepare(gaussian(d, rows, seed, 0))),
        z_(kernel_->prepare(gaussian(d, rows, seed, 1))),
        out_(rows, rows) {}

  const kernel::Kernel& kernel() const { return *kernel_; }
  double error() const { return std::max(x_->error_estimate(), z_->error_estimate()); }
  double entries() const { return static_cast<double>(out_.size()); }
  /// Seconds an entry.
  double seconds_each(const comm::Communicator& comm) {
    return seconds(comm, [&] { kernel_->tile(*x_, 0, *z_, 0, out_.view()); }) / entries();
  }

 private:
  std::shared_ptr<const kernel::Kernel> kernel_;
  std::unique_ptr<kernel::Rows> x_, z_;
  Matrix<double> out_;
};

arch::Architecture repeated(const std::string& layers, int times, const std::string& rest) {
  std::string text;
  for (int k = 0; k < times; ++k) text += layers + " ";
  return arch::parse(text + rest);
}

struct Network {
  std::string name;
  arch::Architecture architecture;
  arch::Image image;
  Index rows;  ///< of a tile that takes some tenths of a second
};

/// A network in one precision, and what was measured.
struct Timed {
  const Network& network;
  bool single;
  TimedTile tile;
  std::vector<double> seconds{}, over_elements{}, over_double{};
};

/// Pairs of pixels that rectifiers take, a convolution before each.
double relus(const Timed& timed) {
  return timed.tile.kernel().steps_per_entry() / 2;
}

Json table(const Bench& bench, const std::vector<Timed>& all, double element, int layers) {
  bench.say(
      "element pass of {} layers of relu on 1024 x 1024 entries: {:.2f} ns an entry and "
      "layer",
      layers, 1e9 * element);
  bench.say("{:<26} {:<9} {:>10} {:>14} {:>14} {:>12} {:>8}", "kernel", "state", "ms a pair",
            "ns pair, layer", "/ element pass", "/ in double", "error");
  auto rows = Json::array();
  for (const Timed& timed : all) {
    const double each = median(timed.seconds);
    Json row{{"kernel", timed.tile.kernel().text()},
             {"name", timed.network.name},
             {"state", timed.single ? "single" : "double"},
             {"seconds_per_pair", each},
             {"pixel_pairs", relus(timed)},
             {"seconds_per_pixel_pair", each / relus(timed)},
             {"element_pass", element},
             {"ratio_element_pass", median(timed.over_elements)},
             {"error", timed.tile.error()}};
    if (timed.single) row["ratio_double"] = median(timed.over_double);
    bench.say("{:<26} {:<9} {:>10.4g} {:>14.2f} {:>14.2f} {:>12} {:>8.1g}", timed.network.name,
              timed.single ? "single" : "double", 1e3 * each, 1e9 * each / relus(timed),
              median(timed.over_elements),
              timed.single ? fmt::format("{:.2f}", median(timed.over_double)) : "",
              timed.tile.error());
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

Json images(const Bench& bench) {
  constexpr int kLayers = 21;
  const arch::Image cifar = arch::parse_image("32x32x3"), mnist = arch::parse_image("28x28x1");
  const Network networks[] = {
      {"21 conv(3) relu, gap", repeated("conv(3) relu", kLayers, "gap dense").on(cifar), cifar, 1},
      {"21 conv(3) relu, flatten", repeated("conv(3) relu", kLayers, "flatten dense").on(cifar),
       cifar, 16},
      {"lenet5", arch::parse("lenet5").on(mnist), mnist, 12}};
  // The element pass of dense kernels, on as many entries as two images of CIFAR have pairs: what
  // rectifiers add to a network of dense layers alone.
  const Index pixels = cifar.height * cifar.width;
  TimedTile with(repeated("dense relu", kLayers, "dense"), 4, pixels, false, bench.seed);
  TimedTile without(repeated("dense", kLayers, "dense"), 4, pixels, false, bench.seed);
  std::vector<Timed> all;
  for (const Network& network : networks)
    for (const bool single : {false, true})
      all.push_back({network, single,
                     TimedTile(network.architecture, network.image.numbers(), network.rows, single,
                               bench.seed)});
  std::vector<double> element_seconds;
  for (int r = 0; r < bench.repeat; ++r) {
    const double both = with.seconds_each(bench.comm());
    element_seconds.push_back((both - without.seconds_each(bench.comm())) / kLayers);
    for (std::size_t k = 0; k < all.size(); ++k) {
      Timed& timed = all[k];
      timed.seconds.push_back(timed.tile.seconds_each(bench.comm()));
      timed.over_elements.push_back(timed.seconds.back() / relus(timed) / element_seconds.back());
      if (timed.single)
        timed.over_double.push_back(timed.seconds.back() / all[k - 1].seconds.back());
    }
  }
  return table(bench, all, median(element_seconds), kLayers);
}

}  // namespace mercer::bench
