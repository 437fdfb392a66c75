#include "hermite.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "mercer/la/blas.hpp"

namespace mercer::kernel {

namespace {

/// rho without its constant and linear part: odd for tanh and sigmoid, even for softplus.
double core(arch::Function function, double x) {
  switch (function) {
    case arch::Function::sigmoid:
      return 0.5 * std::tanh(0.5 * x);
    case arch::Function::softplus:
      return 0.5 * std::fabs(x) + std::log1p(std::exp(-std::fabs(x)));
    default:
      return std::tanh(x);
  }
}

/// What it takes to integrate against Hermite functions. rho(s g) is analytic in a strip of
/// half-width `strip`: its spectrum falls as exp(-strip omega), its coefficients as exp(-strip
/// sqrt(2 n)), and u_n oscillates at sqrt(n).
struct Resolution {
  Index most_terms;
  std::vector<double> nodes;  ///< on the half line
};
Resolution resolve(double strip) {
  const double last_wave = std::min(28 / strip + 12, std::sqrt(2.0 * kMostTerms));
  const double wave = last_wave + 38 / strip + 12, end = 13;
  const auto count = static_cast<Index>(std::min(4096.0, end * wave / (2 * std::numbers::pi) + 2));
  Resolution result;
  result.most_terms = static_cast<Index>(last_wave * last_wave / 2);
  for (Index j = 0; j < count; ++j)
    result.nodes.push_back(end * static_cast<double>(j) / static_cast<double>(count - 1));
  return result;
}

/// u_n(g) = He_n(g)/sqrt(n!) exp(-g^2/4) at the nodes, advanced one n at a time; times the weights.
class HermiteFunctions {
 public:
  explicit HermiteFunctions(const std::vector<double>& nodes)
      : nodes_(nodes), now_(nodes.size()), before_(nodes.size(), 0.0), weights_(nodes.size()) {
    const double step = nodes[1] - nodes[0];
    for (std::size_t j = 0; j < nodes.size(); ++j) {
      now_[j] = std::exp(-nodes[j] * nodes[j] / 4);
      weights_[j] = (j == 0 ? 1 : 2) * step * now_[j] / std::sqrt(2 * std::numbers::pi);
    }
  }
  void advance() {
    const double n = static_cast<double>(n_++);
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      const double next = (nodes_[j] * now_[j] - std::sqrt(n) * before_[j]) / std::sqrt(n + 1);
      before_[j] = now_[j];
      now_[j] = next;
    }
  }
  void write(double* column) const {
    for (std::size_t j = 0; j < nodes_.size(); ++j) column[j] = weights_[j] * now_[j];
  }

 private:
  const std::vector<double>& nodes_;
  std::vector<double> now_, before_, weights_;
  Index n_ = 0;
};

/// Rows with (nearly) the same s share a group: data of unit norm has one, up to the last bits.
struct Groups {
  std::vector<Index> of, first;  ///< group of each row; a row of each group
};
Groups group(std::span<const double> s) {
  std::vector<Index> order(s.size());
  std::iota(order.begin(), order.end(), Index{0});
  std::sort(order.begin(), order.end(), [&](Index a, Index b) { return s[a] < s[b]; });
  Groups groups;
  groups.of.resize(s.size());
  for (const Index i : order) {
    if (groups.first.empty() || !(s[i] <= s[groups.first.back()] * (1 + 1e-14)))
      groups.first.push_back(i);
    groups.of[i] = static_cast<Index>(groups.first.size()) - 1;
  }
  return groups;
}

}  // namespace

HermiteParts hermite_parts(const arch::Activation& rho) {
  if (rho.function == arch::Function::sigmoid) return {0.5, 0, 1};
  if (rho.function == arch::Function::softplus) return {0, 0.5, 0};
  return {0, 0, 1};
}

Features hermite_features(const arch::Activation& rho, std::span<const double> s,
                          std::span<const double> norm, std::span<const double> slope) {
  Features features;
  const Index m = static_cast<Index>(s.size());
  if (m == 0) return features;
  const HermiteParts parts = hermite_parts(rho);
  const Groups groups = group(s);
  const Index G = static_cast<Index>(groups.first.size());
  const double largest = *std::max_element(s.begin(), s.end());
  const double distance =
      rho.function == arch::Function::tanh ? std::numbers::pi / 2 : std::numbers::pi;
  const auto [most_terms, nodes] = resolve(distance / std::max(largest, 1e-3));
  const Index Q = static_cast<Index>(nodes.size());

  Matrix<double> values(Q, G);
  for (Index g = 0; g < G; ++g) {
    const Index i = groups.first[g];
    for (Index j = 0; j < Q; ++j)
      values(j, g) = norm[i] > 0 ? core(rho.function, s[i] * nodes[j]) / norm[i] : 0.0;
  }

  // In blocks of terms until a block adds nothing to any row. shares: what each term adds to c' and
  // to the slope of a row, the larger of the two after division by the whole.
  constexpr Index kBlock = 32;
  HermiteFunctions hermite(nodes);
  if (parts.parity == 1) hermite.advance();
  std::vector<double> value_left(G, 1.0), slope_left(G, 1.0), blocks;
  std::vector<std::vector<double>> shares;  // term, group
  Matrix<double> table(Q, kBlock);
  for (Index g = 0; g < G; ++g) {
    const Index i = groups.first[g];
    const double r = norm[i] > 0 ? 1 / norm[i] : 0;
    value_left[g] -= std::pow(parts.constant * r, 2) + std::pow(parts.linear * s[i] * r, 2);
    slope_left[g] -= slope[i] > 0 ? std::pow(parts.linear * s[i] * r, 2) / slope[i] : 0;
  }
  Index terms = 0;
  RawVector<double>& F = features.values;
  bool converged = false;
  for (; terms < most_terms && !converged; terms += kBlock) {
    for (Index k = 0; k < kBlock; ++k) {
      hermite.write(table.column(k));
      hermite.advance();
      hermite.advance();
    }
    F.resize(static_cast<std::size_t>((terms + kBlock) * G));
    la::gemm<double>(la::Trans::yes, la::Trans::no, 1.0, values.view(), table.view(), 0.0,
                     MatrixView<double>{F.data() + terms * G, G, kBlock, G});
    double added = 0;
    for (Index k = terms; k < terms + kBlock; ++k) {
      const double n = static_cast<double>(parts.parity + 2 * k);
      auto& share = shares.emplace_back(G);
      for (Index g = 0; g < G; ++g) {
        const double square = F[k * G + g] * F[k * G + g], diagonal = slope[groups.first[g]];
        const double steep = diagonal > 0 ? n * square / diagonal : 0;
        value_left[g] -= square;
        slope_left[g] -= steep;
        share[g] = std::max(square, steep);
        added = std::max(added, share[g]);
      }
    }
    converged = added <= 1e-25;
  }

  // What is left after the last term, where the cap ended the loop; below 1e-13 it is rounding.
  std::vector<double> tail(G, 0.0);
  for (Index g = 0; g < G && !converged; ++g) {
    if (!(norm[groups.first[g]] > 0)) continue;
    const double value = value_left[g] <= 1e-13 ? 0 : value_left[g];
    const double steep = slope_left[g] <= 1e-13 ? 0 : slope_left[g];
    features.value_error = std::max(features.value_error, value);
    features.slope_error = std::max(features.slope_error, steep);
    tail[g] = std::max(value, steep);
  }
  features.tails.assign(static_cast<std::size_t>(terms + 1), 0.0);
  for (Index k = terms; k >= 0; --k) {
    for (Index g = 0; g < G && k < terms; ++g) tail[g] += shares[k][g];
    features.tails[k] = *std::max_element(tail.begin(), tail.end());
  }

  features.uniform = G == 1;
  features.stride = features.uniform ? 1 : m;
  if (features.uniform) return features;
  RawVector<double> expanded(static_cast<std::size_t>(terms * m));
  for (Index k = 0; k < terms; ++k)
    for (Index i = 0; i < m; ++i) expanded[k * m + i] = F[k * G + groups.of[i]];
  F = std::move(expanded);
  return features;
}

Index terms_needed(const Features& x, const Features& z) {
  const Index most = static_cast<Index>(std::min(x.tails.size(), z.tails.size())) - 1;
  Index low = 0, high = std::max<Index>(most, 0);
  while (low < high) {
    const Index k = (low + high) / 2;
    if (x.tails[k] * z.tails[k] <= 1e-26)
      high = k;
    else
      low = k + 1;
  }
  return low;
}

}  // namespace mercer::kernel
