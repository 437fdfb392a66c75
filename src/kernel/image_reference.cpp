#include <array>
#include <unordered_map>

#include "reference.hpp"
#include "steps.hpp"

namespace mercer::kernel {
namespace {

using Real = long double;

/// K and T of a pair of pixels.
struct Entry {
  Real K = 0, T = 0;
};

/// The layers on pixels as nodes, each a function of the values of others before it, evaluated
/// where they are asked for and then kept.
class PixelNodes {
 public:
  PixelNodes(const arch::Architecture& net, std::span<const double>& terms,
             std::span<const double> x, std::span<const double> z)
      : net_(net), terms_(terms), inputs_{x, z}, shape_(net.image) {
    nodes_.push_back({.image = shape_});
    for (const arch::Layer& layer : net.layers) {
      ++layers_;
      std::visit([this](const auto& what) { append(what); }, layer.what);
      if (readout_) break;
    }
  }

  /// The units behind flatten or gap.
  ReferenceState readout() {
    const auto last = static_cast<int>(nodes_.size()) - 1;
    const Index pixels = nodes_.back().image.pixels();
    const bool gap = *readout_;
    const auto mean = [&](int a, int b) {
      Entry sum;
      for (Index p = 0; p < pixels; ++p)
        for (Index q = gap ? 0 : p; q < (gap ? pixels : p + 1); ++q) {
          const Entry e = value(last, a, b, p, q);
          sum.K += e.K;
          sum.T += e.T;
        }
      const Real count = static_cast<Real>(pixels) * (gap ? static_cast<Real>(pixels) : 1);
      return Entry{sum.K / count, sum.T / count};
    };
    const auto units = [&](int a) {
      Real sum = 0;
      for (Index p = 0; gap && p < pixels; ++p) sum += mean_of(last, a, p);
      return sum / static_cast<Real>(pixels);
    };
    const Entry both = mean(0, 1);
    return {mean(0, 0).K, both.K, mean(1, 1).K, both.T, units(0), units(1)};
  }
  std::size_t layers() const { return layers_; }

 private:
  struct Node {
    arch::Image image{};
    const arch::Conv* conv = nullptr;
    const arch::Activation* rho = nullptr;
    const arch::AveragePool* pool = nullptr;
    int from = -1, branch = -1;  ///< the sum of two where branch is given
    arch::Window window{};
    std::optional<Real> term{};  ///< of a conv in the standard parametrisation
    std::array<std::unordered_map<Index, Entry>, 4> known{};
  };

  void push(Node node) {
    node.from = from_;
    node.image = shape_;
    nodes_.push_back(std::move(node));
    from_ = static_cast<int>(nodes_.size()) - 1;
  }
  void append(const arch::Conv& conv) {
    const auto window = on_image(conv.filter, shape_);
    shape_ = shape_after(conv, shape_);
    push({.conv = &conv, .window = window, .term = next_term(terms_)});
  }
  void append(const arch::Activation& rho) { push({.rho = &rho}); }
  void append(const arch::AveragePool& pool) {
    const auto window = on_image(pool.window, shape_);
    shape_ = shape_after(pool, shape_);
    push({.pool = &pool, .window = window});
  }
  void append(const arch::Residual& res) {
    const int skip = from_;
    for (const arch::Layer& layer : res.branch)
      std::visit([this](const auto& what) { append(what); }, layer.what);
    const int branch = from_;
    from_ = skip;
    push({.branch = branch});
  }
  void append(const arch::Flatten&) { readout_ = false; }
  void append(const arch::GlobalAverage&) { readout_ = true; }
  void append(const arch::Dense&) {}

  Entry value(int n, int a, int b, Index p, Index q) {
    Node& node = nodes_[static_cast<std::size_t>(n)];
    auto& known = node.known[2 * static_cast<std::size_t>(a) + static_cast<std::size_t>(b)];
    const Index key = p * node.image.pixels() + q;
    if (const auto found = known.find(key); found != known.end()) return found->second;
    const Entry entry = compute(node, a, b, p, q);
    known.emplace(key, entry);
    return entry;
  }
  Entry compute(const Node& node, int a, int b, Index p, Index q) {
    if (node.from < 0) return input(a, b, p, q);
    if (node.conv) return convolved(node, a, b, p, q);
    if (node.pool) return pooled(node, a, b, p, q);
    const Entry skip = value(node.from, a, b, p, q);
    if (node.rho) {
      const auto dual = reference_dual(*node.rho, value(node.from, a, a, p, p).K, skip.K,
                                       value(node.from, b, b, q, q).K);
      return {dual.value, dual.slope * skip.T};
    }
    const Entry branch = value(node.branch, a, b, p, q);
    const Real means = mean_of(node.from, a, p) * mean_of(node.branch, b, q) +
                       mean_of(node.branch, a, p) * mean_of(node.from, b, q);
    return {skip.K + branch.K + means, skip.T + branch.T};
  }
  Entry input(int a, int b, Index p, Index q) const {
    const auto C = static_cast<std::size_t>(net_.image.channels);
    const auto pixel = [&](int i, Index at) {
      return inputs_[static_cast<std::size_t>(i)].subspan(static_cast<std::size_t>(at) * C, C);
    };
    return {reference_linear(pixel(a, p), pixel(b, q)) / static_cast<Real>(C), 0};
  }
  Entry convolved(const Node& node, int a, int b, Index p, Index q) {
    const arch::Image from = nodes_[static_cast<std::size_t>(node.from)].image;
    const auto [f1, f2] = node.window;
    const auto& conv = *node.conv;
    const Index back1 = conv.padding == arch::Padding::valid ? 0 : (f1 - 1) / 2;
    const Index back2 = conv.padding == arch::Padding::valid ? 0 : (f2 - 1) / 2;
    const auto moved = [&](Index pixel, Index y, Index x) -> Index {
      Index row = pixel / node.image.width * conv.stride + y - back1;
      Index column = pixel % node.image.width * conv.stride + x - back2;
      if (conv.padding == arch::Padding::circular) {
        row = (row + from.height) % from.height;
        column = (column + from.width) % from.width;
      }
      const bool outside = row < 0 || row >= from.height || column < 0 || column >= from.width;
      return outside ? -1 : row * from.width + column;
    };
    // The rest of a filter larger than the image is outside it wherever it stands.
    const Index end1 = std::min(f1, back1 + from.height), end2 = std::min(f2, back2 + from.width);
    Entry sum;
    for (Index y = std::max<Index>(0, back1 - from.height); y < end1; ++y)
      for (Index x = std::max<Index>(0, back2 - from.width); x < end2; ++x) {
        const Index p_in = moved(p, y, x), q_in = moved(q, y, x);
        if (p_in < 0 || q_in < 0) continue;
        const Entry e = value(node.from, a, b, p_in, q_in);
        sum.K += e.K;
        sum.T += e.T;
      }
    const Real W2 = static_cast<Real>(net_.weight_std) * net_.weight_std;
    const Real b2 = static_cast<Real>(net_.bias_std) * net_.bias_std;
    const Real share = W2 / static_cast<Real>(f1 * f2), K = share * sum.K + b2;
    if (node.term) return {K, share * (sum.T + (conv.trained ? *node.term : 0) * sum.K)};
    return {K, share * sum.T + (conv.trained ? K : 0)};
  }
  Entry pooled(const Node& node, int a, int b, Index p, Index q) {
    Entry sum;
    each_of_window(node, p, [&](Index p_in) {
      each_of_window(node, q, [&](Index q_in) {
        const Entry e = value(node.from, a, b, p_in, q_in);
        sum.K += e.K;
        sum.T += e.T;
      });
    });
    const auto count = static_cast<Real>(node.window.f1 * node.window.f2);
    return {sum.K / (count * count), sum.T / (count * count)};
  }
  template <class Visit>
  void each_of_window(const Node& node, Index pixel, const Visit& visit) const {
    const auto [f1, f2] = node.window;
    const Index width = node.image.width * f2;
    for (Index y = 0; y < f1; ++y)
      for (Index x = 0; x < f2; ++x)
        visit((pixel / node.image.width * f1 + y) * width + pixel % node.image.width * f2 + x);
  }
  /// Of the units at a pixel.
  Real mean_of(int n, int a, Index p) {
    const Node& node = nodes_[static_cast<std::size_t>(n)];
    if (node.from < 0 || node.conv) return 0;
    if (node.rho) return reference_mean(*node.rho, value(node.from, a, a, p, p).K);
    if (node.branch >= 0) return mean_of(node.from, a, p) + mean_of(node.branch, a, p);
    Real sum = 0;
    each_of_window(node, p, [&](Index from) { sum += mean_of(node.from, a, from); });
    return sum / static_cast<Real>(node.window.f1 * node.window.f2);
  }

  const arch::Architecture& net_;
  std::span<const double>& terms_;
  std::array<std::span<const double>, 2> inputs_;
  arch::Image shape_;
  std::vector<Node> nodes_;
  int from_ = 0;
  std::size_t layers_ = 0;
  std::optional<bool> readout_;  ///< whether it is gap
};

}  // namespace

long double reference_images(const arch::Architecture& architecture, bool tangent,
                             std::span<const double> weight_terms, std::span<const double> x,
                             std::span<const double> z) {
  PixelNodes pixels(architecture, weight_terms, x, z);
  ReferenceState state = pixels.readout();
  reference_rows(std::span(architecture.layers).subspan(pixels.layers()), architecture,
                 weight_terms, state);
  return tangent ? state.T : state.K;
}

}  // namespace mercer::kernel
