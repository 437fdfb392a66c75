#include "hermite.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "mercer/blas/blas.hpp"

namespace mercer::kernel {

namespace {

/// rho without its constant and linear parts: odd for tanh and sigmoid, even for softplus.
double core(arch::Function function, double x) {
  switch (function) {
    case arch::Function::sigmoid:
      return 0.5 * std::tanh(0.5 * x);
    case arch::Function::softplus:
      return 0.5 * std::fabs(x) + std::log1p(std::exp(-std::fabs(x)));
    case arch::Function::tanh:
    case arch::Function::rectifier:  // these have closed forms
    case arch::Function::erf:
    case arch::Function::gelu:
    case arch::Function::sin:
      break;
  }
  return std::tanh(x);
}

/// Terms of the expansion, and quadrature nodes for its coefficients. rho(s g) is analytic in a
/// strip of half-width `strip` about the real line: its Fourier transform falls as
/// exp(-strip omega). u_n oscillates with frequency sqrt(n), so that the coefficient of order n
/// falls as exp(-strip sqrt(n)).
struct Resolution {
  Index most_terms;
  std::vector<double> nodes;  ///< on the half line g >= 0
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

/// u_n(g) = He_n(g)/sqrt(n!) exp(-g^2/4) at the nodes. advance() goes to the next n; write() gives
/// u_n times the quadrature weights of E over N(0, 1).
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

/// Rows whose s agree to 1e-14 form a group: rows of unit norm all do. The group of the largest s
/// comes first: it needs the most terms.
struct Groups {
  std::vector<Index> of, first;  ///< group of each row; a row of each group
};
Groups group(std::span<const double> s) {
  std::vector<Index> order(s.size());
  std::iota(order.begin(), order.end(), Index{0});
  std::sort(order.begin(), order.end(), [&](Index a, Index b) { return s[a] > s[b]; });
  Groups groups;
  groups.of.resize(s.size());
  for (const Index i : order) {
    if (groups.first.empty() || !(s[i] >= s[groups.first.back()] * (1 - 1e-14)))
      groups.first.push_back(i);
    groups.of[i] = static_cast<Index>(groups.first.size()) - 1;
  }
  return groups;
}

/// For every row: its deviation s, norm = sqrt(E[rho^2]) and slope = s^2 E[rho'^2]/E[rho^2].
struct RowMoments {
  std::span<const double> s, norm, slope;
};

/// The features of a batch of rows, one block of terms after the other.
struct Batch {
  std::vector<Index> rows;
  std::vector<double> features;  ///< term-major: rows.size() values a term
  std::vector<double> shares;    ///< same shape: a term's share of c' or of the slope, the larger
  std::vector<double> value_left, slope_left;  ///< 1 - the sum of the shares (Parseval's identity)
};

constexpr Index kBlock = 32;

/// Appends the features of the batch in blocks of kBlock terms, until a block adds at most 1e-25 to
/// every row or `most_terms` is reached, but at least `least_terms`. Returns the number of terms.
Index expand(Batch& batch, const arch::Activation& rho, const RowMoments& moments,
             const std::vector<double>& nodes, Index least_terms, Index most_terms) {
  const HermiteParts parts = hermite_parts(rho);
  const Index B = static_cast<Index>(batch.rows.size()), Q = static_cast<Index>(nodes.size());
  Matrix<double> values(Q, B), table(Q, kBlock), block(B, kBlock);
  for (const Index i : batch.rows) {
    const Index g = static_cast<Index>(batch.value_left.size());
    const double norm = moments.norm[i] > 0 ? moments.norm[i] : INFINITY;  // 1/norm may overflow
    for (Index j = 0; j < Q; ++j) values(j, g) = core(rho.function, moments.s[i] * nodes[j]) / norm;
    const double linear = std::pow(parts.linear * moments.s[i] / norm, 2);
    batch.value_left.push_back(1 - std::pow(parts.constant / norm, 2) - linear);
    batch.slope_left.push_back(1 - (moments.slope[i] > 0 ? linear / moments.slope[i] : 0));
  }
  HermiteFunctions hermite(nodes);
  if (parts.parity == 1) hermite.advance();
  Index terms = 0;
  for (bool done = false; terms < least_terms || (terms < most_terms && !done); terms += kBlock) {
    for (Index k = 0; k < kBlock; ++k) {
      hermite.write(table.column(k));
      hermite.advance();
      hermite.advance();
    }
    blas::gemm<double>(blas::Trans::yes, blas::Trans::no, 1.0, values.view(), table.view(), 0.0,
                       block.view());
    double added = 0;
    for (Index k = 0; k < kBlock; ++k)
      for (Index g = 0; g < B; ++g) {
        const double square = block(g, k) * block(g, k), slope = moments.slope[batch.rows[g]];
        const double n = static_cast<double>(parts.parity + 2 * (terms + k));
        const double steep = slope > 0 ? n * square / slope : 0;
        batch.features.push_back(block(g, k));
        batch.shares.push_back(std::max(square, steep));
        batch.value_left[g] -= square;
        batch.slope_left[g] -= steep;
        added = std::max(added, batch.shares.back());
      }
    done = added <= 1e-25;
  }
  return terms;
}

/// Adds a batch to the tails: the shares beyond each term. Beyond the last one the share is 0, or,
/// where the series was cut off, what Parseval's identity leaves (up to 1e-13 counts as rounding).
void add_tails(const Batch& batch, const RowMoments& moments, bool cut_off, Index terms,
               Features& features) {
  const Index B = static_cast<Index>(batch.rows.size());
  features.tails.resize(static_cast<std::size_t>(terms + 1), 0.0);
  for (Index g = 0; g < B; ++g) {
    double tail = 0;
    if (cut_off && moments.norm[batch.rows[g]] > 0) {
      const double value = batch.value_left[g] <= 1e-13 ? 0 : batch.value_left[g];
      const double steep = batch.slope_left[g] <= 1e-13 ? 0 : batch.slope_left[g];
      features.value_error = std::max(features.value_error, value);
      features.slope_error = std::max(features.slope_error, steep);
      tail = std::max(value, steep);
    }
    for (Index k = terms; k >= 0; --k) {
      if (k < terms) tail += batch.shares[k * B + g];
      features.tails[k] = std::max(features.tails[k], tail);
    }
  }
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
  if (s.empty()) return features;
  const Index m = static_cast<Index>(s.size());
  const RowMoments moments{s, norm, slope};
  const Groups groups = group(s);
  const Index G = static_cast<Index>(groups.first.size());
  const double pole =
      rho.function == arch::Function::tanh ? std::numbers::pi / 2 : std::numbers::pi;
  const auto [most_terms, nodes] = resolve(pole / std::max(s[groups.first[0]], 1e-3));
  std::vector<std::vector<Index>> members(G);
  for (Index i = 0; i < m; ++i) members[groups.of[i]].push_back(i);
  features.uniform = G == 1;

  constexpr Index kBatch = 256;
  Index terms = 0;
  for (Index first = 0; first < G; first += kBatch) {
    Batch batch;
    const Index last = std::min(first + kBatch, G);
    batch.rows.assign(groups.first.begin() + first, groups.first.begin() + last);
    if (first == 0) {
      terms = expand(batch, rho, moments, nodes, 0, most_terms);
      features.values.resize(static_cast<std::size_t>(terms * (features.uniform ? 1 : m)));
    } else {
      expand(batch, rho, moments, nodes, terms, terms);
    }
    add_tails(batch, moments, terms >= most_terms, terms, features);
    for (Index g = first; g < last; ++g)
      for (const Index i : members[g]) {
        if (features.uniform && i > 0) break;
        for (Index k = 0; k < terms; ++k)
          features.values[i * terms + k] = batch.features[k * (last - first) + g - first];
      }
  }
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
