// Features of the NTK of a deep network, layer by layer (after Zandieh, Han, Avron, Shoham, Kim,
// Shin, "Scaling neural tangent kernels via sketching and random features", NeurIPS 2021, alg. 2).
// With the recursion of the analytic kernel (DESIGN: Sigma, Theta),
//
//     phi^0 = (sigma_w d^(-1/2) x, sigma_b),                        <phi^0, phi^0'> = Sigma^(0),
//     phi^l = (sigma_w m^(-1/2) rho(W phi^(l-1)), sigma_b),         W Gaussian, m rows,
//     tau^l = sigma_w m^(-1/2) rho'(W phi^(l-1)) o (H psi^(l-1)),   H of random signs,
//     psi^l = (phi^l, tau^l), where layer l + 1 of weights is trained, else tau^l;  psi^0 likewise.
//
// Given the layer before, the means of <phi^l, phi^l'> and <tau^l, tau^l'> are the next Sigma^(l)
// and sigma_w^2 E[rho' rho'] Theta^(l-1): h_j^T psi is one sample of <psi, psi'> for a draw w_j,
// where the paper compresses the tensor product of all of them by a sketch. One hidden layer is
// free of bias; deeper ones have one of order 1/m, because the next layer is not linear in <phi,
// phi'>.

#include <algorithm>
#include <cmath>

#include "loops.hpp"
#include "map.hpp"
#include "mercer/base/error.hpp"
#include "mercer/base/random.hpp"
#include "mercer/blas/blas.hpp"

namespace mercer::features {
namespace {

/// A rectifier and the layer of weights behind it.
struct Hidden {
  double below = 0, above = 1;
  bool trained = true;  ///< the layer of weights behind it
};
struct Layers {
  bool first_trained = true;
  std::vector<Hidden> hidden;
};

/// Throws InputError for anything but dense layers with rectifiers between them.
Layers layers_of(const arch::Architecture& architecture) {
  const auto refuse = [&](const arch::Layer& layer) {
    throw InputError(
        "`arch` {}: '{}': features deep-ntk are of dense layers with relu, leaky_relu or abrelu "
        "between them",
        architecture.source.empty() ? architecture.text() : architecture.source, layer.token);
  };
  Layers layers;
  bool first = true;
  for (const auto& layer : architecture.layers) {
    if (const auto* dense = std::get_if<arch::Dense>(&layer.what)) {
      if (first)
        layers.first_trained = dense->trained;
      else if (layers.hidden.empty())
        refuse(layer);
      else
        layers.hidden.back().trained = dense->trained;
      first = false;
      continue;
    }
    const auto* rho = std::get_if<arch::Activation>(&layer.what);
    if (rho == nullptr || rho->function != arch::Function::rectifier || first) refuse(layer);
    layers.hidden.push_back({.below = rho->a, .above = rho->b});
  }
  if (layers.hidden.empty())
    throw InputError("`arch` {}: features deep-ntk need a hidden layer", architecture.text());
  return layers;
}

/// Sizes of one hidden layer.
struct Sizes {
  Index phi = 0;  ///< of phi^l without the bias, where it is needed; else 0
  Index tau = 0;
  Index gates = 0;  ///< rows of W
};

class Plan {
 public:
  explicit Plan(const FeatureSpec& spec)
      : layers_(layers_of(spec.architecture)),
        bias_(spec.architecture.bias_std > 0 ? 1 : 0),
        input_(spec.dimension + bias_) {
    for (std::size_t l = 0; l < layers_.hidden.size(); ++l) {
      const bool last = l + 1 == layers_.hidden.size(), trained = layers_.hidden[l].trained;
      const Index s = spec.count;
      Sizes sizes;
      sizes.phi = last && !trained ? 0 : std::max<Index>(1, (s - bias_) / 2);
      sizes.tau = last && !trained ? s : last ? s - sizes.phi - bias_ : sizes.phi;
      if (l == 0 && !layers_.first_trained) sizes.tau = 0;  // Theta^(0) = 0
      if (last && l == 0 && !layers_.first_trained) sizes.phi = s - bias_;
      sizes.gates = std::max(sizes.phi, sizes.tau);
      sizes_.push_back(sizes);
    }
  }
  const Layers& layers() const { return layers_; }
  const Sizes& sizes(std::size_t l) const { return sizes_[l]; }
  std::size_t depth() const { return sizes_.size(); }
  Index bias() const { return bias_; }
  /// Rows of phi^l and psi^l, l = 0 for the inputs.
  Index phi(std::size_t l) const { return l == 0 ? input_ : sizes_[l - 1].phi + bias_; }
  Index psi(std::size_t l) const {
    if (l == 0) return layers_.first_trained ? input_ : 0;
    return sizes_[l - 1].tau + (layers_.hidden[l - 1].trained ? phi(l) : 0);
  }

 private:
  Layers layers_;
  Index bias_, input_;
  std::vector<Sizes> sizes_;
};

template <class T>
class DeepMap final : public Features<T>::Map {
 public:
  explicit DeepMap(const FeatureSpec& spec) : Features<T>::Map(spec), plan_(spec) {
    for (std::size_t l = 0; l < plan_.depth(); ++l) {
      const auto substream = kDeep + 2 * static_cast<std::uint32_t>(l);
      const Random gates(spec.seed, Stream::features, substream),
          signs(spec.seed, Stream::features, substream + 1);
      const auto& sizes = plan_.sizes(l);
      Matrix<T> W(plan_.phi(l), sizes.gates), H(plan_.psi(l), sizes.tau);
      for (Index i = 0; i < W.size(); ++i)
        W.data()[i] = static_cast<T>(gates.normal(static_cast<std::uint64_t>(i)));
      for (Index i = 0; i < H.size(); ++i)
        H.data()[i] = signs.uniform(static_cast<std::uint64_t>(i)) < 0.5 ? T{-1} : T{1};
      const double sigma = spec.architecture.weight_std;
      const auto scale = [&](Index m) {
        return std::vector<T>(static_cast<std::size_t>(m),
                              static_cast<T>(sigma / std::sqrt(static_cast<double>(m))));
      };
      layers_.push_back({std::move(W), std::move(H), scale(sizes.phi), scale(sizes.tau)});
    }
  }

  void evaluate(MatrixView<const T> X, MatrixView<T> psi) const override {
    Matrix<T> phi = inputs(X);
    Matrix<T> before;  // psi^(l-1), where it is not phi^0
    for (std::size_t l = 1; l <= plan_.depth(); ++l) {
      Matrix<T> next_phi(plan_.phi(l), X.cols), next(plan_.psi(l), X.cols);
      const bool last = l == plan_.depth();
      const auto out = last ? psi : next.view();
      const Matrix<T>& tangent = l == 1 ? phi : before;
      step(l, phi, tangent, next_phi, out);
      phi = std::move(next_phi);
      before = std::move(next);
    }
  }

 private:
  struct Layer {
    Matrix<T> W, H;  ///< columns: one row of the matrices above each
    std::vector<T> phi_scale, tau_scale;
  };

  Matrix<T> inputs(MatrixView<const T> X) const {
    const auto& architecture = this->spec().architecture;
    const T scale = static_cast<T>(architecture.weight_std /
                                   std::sqrt(static_cast<double>(this->spec().dimension)));
    Matrix<T> phi(plan_.phi(0), X.cols);
    for (Index j = 0; j < X.cols; ++j) {
      for (Index i = 0; i < X.rows; ++i) phi(i, j) = scale * X(i, j);
      if (plan_.bias() > 0) phi(X.rows, j) = static_cast<T>(architecture.bias_std);
    }
    return phi;
  }

  /// phi^l and psi^l from phi^(l-1) and psi^(l-1).
  void step(std::size_t l, const Matrix<T>& phi, const Matrix<T>& tangent, Matrix<T>& next_phi,
            MatrixView<T> psi) const {
    using blas::Trans;
    const auto& layer = layers_[l - 1];
    const auto& hidden = plan_.layers().hidden[l - 1];
    const auto& sizes = plan_.sizes(l - 1);
    const Index cols = phi.cols();
    const T below = static_cast<T>(hidden.below), above = static_cast<T>(hidden.above);
    Matrix<T> z(sizes.gates, cols), along(sizes.tau, cols);
    blas::gemm<T>(Trans::yes, Trans::no, 1, layer.W.view(), phi.view(), 0, z.view());
    if (sizes.phi > 0) {
      for (Index j = 0; j < cols; ++j) std::copy_n(z.column(j), sizes.phi, next_phi.column(j));
      loops<T>().rectify(sizes.phi, cols, next_phi.ld(), layer.phi_scale.data(), below, above,
                         next_phi.data());
      if (plan_.bias() > 0)
        for (Index j = 0; j < cols; ++j)
          next_phi(sizes.phi, j) = static_cast<T>(this->spec().architecture.bias_std);
    }
    const Index above_tau = hidden.trained ? plan_.phi(l) : 0;
    for (Index j = 0; j < cols; ++j) std::copy_n(next_phi.column(j), above_tau, psi.column(j));
    if (sizes.tau == 0) return;
    blas::gemm<T>(Trans::yes, Trans::no, 1, layer.H.view(), tangent.view(), 0, along.view());
    loops<T>().slope_times(sizes.tau, cols, z.ld(), layer.tau_scale.data(), below, above, z.data(),
                           along.ld(), along.data());
    for (Index j = 0; j < cols; ++j) std::copy_n(z.column(j), sizes.tau, psi.column(j) + above_tau);
  }

  Plan plan_;
  std::vector<Layer> layers_;
};

}  // namespace

void require_deep(const FeatureSpec& spec) {
  const Plan plan(spec);
  if (plan.psi(plan.depth()) != spec.count || spec.count < 4)
    throw InputError("`count` {}: give at least 4 columns for deep-ntk", spec.count);
}

FeatureCost deep_cost(const FeatureSpec& spec, bool single) {
  const Plan plan(spec);
  const double element = single ? 4 : 8;
  FeatureCost cost;
  double widest = 0;
  for (std::size_t l = 1; l <= plan.depth(); ++l) {
    const auto& sizes = plan.sizes(l - 1);
    const double numbers =
        static_cast<double>(sizes.gates * plan.phi(l - 1) + sizes.tau * plan.psi(l - 1));
    cost.flops += 2 * numbers;
    cost.bytes += element * numbers;
    widest = std::max(widest, static_cast<double>(plan.phi(l - 1) + plan.psi(l - 1) + plan.phi(l) +
                                                  plan.psi(l) + sizes.gates + sizes.tau));
  }
  cost.bytes_per_row = element * widest;
  return cost;
}

template <class T>
std::unique_ptr<const typename Features<T>::Map> make_deep(const FeatureSpec& spec) {
  return std::make_unique<DeepMap<T>>(spec);
}

template std::unique_ptr<const Features<double>::Map> make_deep<double>(const FeatureSpec&);
template std::unique_ptr<const Features<float>::Map> make_deep<float>(const FeatureSpec&);

}  // namespace mercer::features
