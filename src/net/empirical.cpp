#include "mercer/net/empirical.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "mercer/blas/blas.hpp"
#include "mercer/net/parameters.hpp"
#include "patches.hpp"

namespace mercer::net {
namespace {

constexpr double kPassBytes = 32.0 * 1024 * 1024;  // activations and adjoints of one pass
constexpr Index kTile = 256;                       // two scratch tiles of 512 KiB each

/// Column j belongs to row j of the data set. The inputs of the first layer are those of the
/// network, and the adjoints ("signals") of the last layer are the seeds: both copies share them.
struct EmpiricalRows : kernel::Rows {
  Matrix<double> X;  ///< inputs; below them, for Outputs::full, the seeds
  /// By copy and layer, for trained layers. As factors: A_l, fan_in x (pixels m), of convolutions
  /// the patches (a dense first layer takes X); B_l, fan_out x (pixels m) for each seed, one below
  /// the other (the last layer takes the seeds). As gradients: no A_l; for each seed the
  /// derivatives with respect to W and b as one column, sum_p weight_scale A_l(p) B_l(p)^T above
  /// bias_scale sum_p B_l(p).
  std::array<std::vector<Matrix<double>>, 2> inputs, signals;

  Index size() const override { return X.cols(); }
  Index bytes() const override {
    Index doubles = X.size();
    for (const auto* of : {&inputs, &signals})
      for (const auto& copy : *of)
        for (const auto& layer : copy) doubles += layer.size();
    return doubles * static_cast<Index>(sizeof(double));
  }
};

double dot(const double* a, const double* b, Index n) {
  double sum = 0;
  for (Index i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

class EmpiricalKernel : public kernel::Kernel {
 public:
  EmpiricalKernel(const Network& network, std::vector<double> parameters, Outputs outputs)
      : outputs_(network.outputs()),
        full_(outputs == Outputs::full),
        folds_(can_fold(network, outputs)),
        given_(network),
        network_(one_copy(network, folds_)) {
    if (static_cast<Index>(parameters.size()) != network.parameters())
      throw InputError("{} parameters given, the network has {}", parameters.size(),
                       network.parameters());
    for (std::size_t l = 0; l < layers().size(); ++l)
      if (layers()[l].trained) trained_.push_back(l);
    for (std::size_t l = 0; l < layers().size(); ++l) terms_.push_back(term(l));
    text_ = fmt::format("empirical({}; {}; parameters={:016x})", network.text(),
                        full_ ? "full" : "trace", hash<double>(parameters));
    const Index p = network.parameters_of_copy();
    const auto second = parameters.begin() + p;
    if (network.copies() == 2 && !std::equal(parameters.begin(), second, second, parameters.end()))
      copies_ = 2;
    parameters.resize(copies_ * static_cast<std::size_t>(p));
    w_ = folds_ ? folded(network, parameters) : std::move(parameters);
  }

  std::string text() const override { return text_; }
  arch::Image image() const override { return given_.architecture().image; }

  /// The network and parameters as given: w_ without what was folded in, for each copy.
  StoredNetwork stored() const {
    const WeightLayer& readout = given_.layers().back();
    const Index c = readout.fan_out, p = given_.parameters_of_copy();
    std::vector<double> w;
    w.reserve(static_cast<std::size_t>(given_.parameters()));
    auto from = w_.begin();
    for (std::size_t copy = 0; copy < copies_; ++copy) {
      const Index whole = folds_ ? readout.weights : p;
      w.insert(w.end(), from, from + whole);
      from += whole;
      for (Index row = 0; folds_ && row <= readout.fan_in; ++row, from += c + 1)
        w.insert(w.end(), from, from + c);  // the last row are the biases
    }
    if (const auto found = std::ssize(w); found < given_.parameters()) {  // two equal copies
      w.resize(static_cast<std::size_t>(2 * found));
      std::copy_n(w.begin(), found, w.begin() + found);
    }
    return {given_, std::move(w)};
  }

  std::unique_ptr<kernel::Rows> prepare(Matrix<double>&& X) const override {
    check(X.rows());
    auto rows = std::make_unique<EmpiricalRows>();
    const Index m = X.cols();
    rows->X = std::move(X);
    for (std::size_t copy = 0; copy < copies_; ++copy)
      for (std::size_t l = 0; l < layers().size(); ++l) {
        rows->inputs[copy].emplace_back(terms_[l].inputs, terms_[l].pixels * m);
        rows->signals[copy].emplace_back(terms_[l].signals, terms_[l].pixels * m);
      }
    if (m == 0) return rows;
    Evaluator<double> evaluator(network_, m, kPassBytes);
    for (Index first = 0; first < m; first += evaluator.rows_kept())
      pass(evaluator, first, std::min(evaluator.rows_kept(), m - first), *rows);
    return rows;
  }

  void tile(const kernel::Rows& x_rows, Index i0, const kernel::Rows& z_rows, Index j0,
            MatrixView<double> out) const override {
    const auto& x = static_cast<const EmpiricalRows&>(x_rows);
    const auto& z = static_cast<const EmpiricalRows&>(z_rows);
    Matrix<double> A(std::min(kTile, out.rows), std::min(kTile, out.cols));
    Matrix<double> B(A.rows(), A.cols());
    for (Index j = 0; j < out.cols; j += kTile)
      for (Index i = 0; i < out.rows; i += kTile) {
        const Index h = std::min(kTile, out.rows - i), w = std::min(kTile, out.cols - j);
        small_tile(x, i0 + i, z, j0 + j, A, B, out.block(i, j, h, w));
      }
  }

  void diagonal(const kernel::Rows& x_rows, Index i0, Index count, double* out) const override {
    const auto& x = static_cast<const EmpiricalRows&>(x_rows);
    for (Index i = 0; i < count; ++i) {
      double sum = 0;
      for (std::size_t copy = 0; copy < copies_; ++copy)
        for (const std::size_t l : trained_) sum += entry(x, copy, l, i0 + i);
      out[i] = sum / static_cast<double>(copies_);
    }
  }

  Index bytes_per_row(Index d) const override {
    check(d);
    Index doubles = 0;
    for (const Term& t : terms_) doubles += t.pixels * (t.inputs + t.signals);
    return (d + static_cast<Index>(copies_) * doubles) * static_cast<Index>(sizeof(double));
  }

  /// An entry reads all that is kept of its two rows, as factors for every pair of pixels.
  Index entry_length(Index d) const override {
    Index length = d;
    for (const Term& t : terms_)
      length += static_cast<Index>(copies_) * t.pixels * t.pixels * (t.inputs + t.signals);
    return length;
  }

  Index scratch_bytes() const override {
    constexpr Index kManyRows = 1 << 20;
    double pass = Evaluator<double>::bytes(network_, kManyRows, kPassBytes);
    if (network_.architecture().of_images()) pass *= 3;  // inputs and adjoints of convolutions too
    return static_cast<Index>(pass) + 2 * kTile * kTile * static_cast<Index>(sizeof(double));
  }

 private:
  const std::vector<WeightLayer>& layers() const { return network_.layers(); }
  std::size_t last() const { return layers().size() - 1; }
  /// Whether the adjoints of layer l are folded into one: true for the last hidden layer of a trace
  /// kernel with several outputs. Its adjoints are B_a = D w_a with D diagonal and w_a the readout
  /// weights of output a, because no dense layer is between it and the readout. The mean of their c
  /// products is the product of D sqrt(sum_a w_a^2/c): one more output with these weights replaces
  /// all of them.
  bool folded(std::size_t l) const { return folds_ && l + 1 == last(); }
  /// The last hidden layer must be dense: between a convolution and the readout pixels are added.
  static bool can_fold(const Network& network, Outputs outputs) {
    const auto& layers = network.layers();
    return outputs == Outputs::trace && network.outputs() > 1 && layers.size() > 1 &&
           !layers[layers.size() - 2].conv;
  }

  /// What is kept of a row for a layer: `inputs` and `signals` numbers for each of `pixels`.
  struct Term {
    Index pixels = 1, inputs = 0, signals = 0;
    bool gradients = false;
  };
  /// A convolution is kept in the form in which an entry costs less: for every pair of pixels the
  /// products of fan_in and of fan_out numbers, or those of fan_in fan_out derivatives.
  Term term(std::size_t l) const {
    const WeightLayer& layer = layers()[l];
    if (!layer.trained) return {};
    const Index seeds = full_ || folded(l) ? 1 : outputs_;
    if (!layer.conv)
      return {.inputs = l == 0 ? 0 : layer.fan_in,
              .signals = l == last() ? 0 : seeds * layer.fan_out};
    const Index pixels = layer.pixels(), K = layer.fan_in, C = seeds * layer.fan_out;
    if (pixels * pixels * (K + C) < (K + 1) * C)
      return {.pixels = pixels, .inputs = K, .signals = C};
    return {.signals = (K + 1) * C, .gradients = true};
  }

  static Network one_copy(const Network& network, bool fold) {
    auto architecture = network.architecture();
    if (fold) std::get<arch::Dense>(architecture.layers.back().what).width += 1;
    return {architecture, network.inputs(), network.parametrization(), Start::gaussian};
  }
  static std::vector<double> folded(const Network& network, const std::vector<double>& parameters) {
    const WeightLayer& readout = network.layers().back();
    const Index c = readout.fan_out;
    std::vector<double> w;
    w.reserve(parameters.size() + 2 * static_cast<std::size_t>(readout.fan_in + 1));
    for (auto copy = parameters.begin(); copy < parameters.end();
         copy += network.parameters_of_copy()) {
      w.insert(w.end(), copy, copy + readout.weights);
      for (auto row = copy + readout.weights; row < copy + readout.biases; row += c) {
        w.insert(w.end(), row, row + c);
        w.push_back(std::sqrt(dot(&*row, &*row, c) / static_cast<double>(c)));
      }
      w.insert(w.end(), copy + readout.biases, copy + network.parameters_of_copy());
      w.push_back(0);
    }
    return w;
  }
  double weight_factor(std::size_t l) const {
    return layers()[l].weight_scale * layers()[l].weight_scale;
  }
  double bias_factor(std::size_t l) const {
    return layers()[l].bias_scale * layers()[l].bias_scale;
  }
  /// The factor 1/c of the mean over the outputs, where it is not contained in the adjoints.
  double signal_factor(std::size_t l) const {
    return full_ || l == last() || folded(l) ? 1 : 1 / static_cast<double>(outputs_);
  }
  /// Whether B B^T is 1: in the last layer of the trace kernel it is (1/c) sum_a <e_a, e_a>.
  bool signals_are_one(std::size_t l) const { return !full_ && l == last(); }

  /// The term of layer l of k(x_i, x_i), for one copy.
  double entry(const EmpiricalRows& x, std::size_t copy, std::size_t l, Index i) const {
    const auto A = inputs(x, copy, l), B = signals(x, copy, l);
    const Index pixels = terms_[l].pixels;
    double sum = 0;
    for (Index p = i * pixels; p < (i + 1) * pixels; ++p)
      for (Index q = i * pixels; q < (i + 1) * pixels; ++q) {
        const double b =
            signals_are_one(l) ? 1 : signal_factor(l) * dot(B.column(p), B.column(q), B.rows);
        const double a =
            terms_[l].gradients
                ? 1
                : weight_factor(l) * dot(A.column(p), A.column(q), A.rows) + bias_factor(l);
        sum += a * b;
      }
    return sum;
  }

  MatrixView<const double> inputs(const EmpiricalRows& rows, std::size_t copy,
                                  std::size_t l) const {
    if (l > 0 || layers()[l].conv) return rows.inputs[copy][l].view();
    return rows.X.view().block(0, 0, network_.inputs(), rows.X.cols());
  }
  MatrixView<const double> signals(const EmpiricalRows& rows, std::size_t copy,
                                   std::size_t l) const {
    if (l < last()) return rows.signals[copy][l].view();
    return rows.X.view().block(network_.inputs(), 0, outputs_, rows.X.cols());
  }

  void check(Index d) const {
    const Index wanted = network_.inputs() + (full_ ? outputs_ : 0);
    if (d != wanted)
      throw InputError(
          "the network of the empirical kernel has {} inputs{}, but the data set has {} columns",
          network_.inputs(), full_ ? fmt::format(" and {} outputs", outputs_) : "", d);
  }

  /// The outputs from which adjoints are backpropagated, one backward pass each.
  std::vector<Index> seeds() const {
    std::vector<Index> result;
    if (full_) return {0};
    if (!folds_ || last() > 1)
      for (Index a = 0; a < outputs_; ++a) result.push_back(a);
    if (folds_) result.push_back(outputs_);
    return result;
  }

  /// The inputs and adjoints of the convolutions for the rows of a pass.
  struct Images {
    std::vector<Matrix<double>> inputs, signals;  ///< by layer, as Evaluator::signals() gives them
  };
  Images images(Index m) const {
    Images all;
    for (const WeightLayer& layer : layers()) {
      const bool wanted = layer.conv && layer.trained;
      all.inputs.emplace_back(wanted ? layer.inputs() : 0, wanted ? m : 0);
      all.signals.emplace_back(wanted ? layer.outputs() : 0, wanted ? m : 0);
    }
    return all;
  }

  /// Fills columns [first, first + m) of the rows' inputs and adjoints.
  void pass(Evaluator<double>& evaluator, Index first, Index m, EmpiricalRows& rows) const {
    const auto X = rows.X.view().block(0, first, network_.inputs(), m);
    Matrix<double> one_hot(network_.outputs(), m);
    Images of_images = images(m);
    std::vector<MatrixView<double>> A(layers().size()), B(layers().size());
    for (std::size_t copy = 0; copy < copies_; ++copy) {
      const auto w = std::span<const double>(w_).subspan(
          copy * static_cast<std::size_t>(network_.parameters()),
          static_cast<std::size_t>(network_.parameters()));
      for (const std::size_t l : trained_) {
        if (layers()[l].conv)
          A[l] = of_images.inputs[l].view();
        else if (l > 0)
          A[l] = rows.inputs[copy][l].view().block(0, first, layers()[l].fan_in, m);
      }
      bool kept = false;
      for (const Index a : seeds()) {
        for (const std::size_t l : trained_) {
          if (l == last()) continue;
          B[l] = {};
          if (full_ || folded(l) == (a == outputs_))
            B[l] = layers()[l].conv ? of_images.signals[l].view()
                                    : rows.signals[copy][l].view().block(at(l, a), first,
                                                                         layers()[l].fan_out, m);
        }
        for (Index j = 0; j < m && !full_; ++j)
          for (Index i = 0; i < one_hot.rows(); ++i) one_hot(i, j) = i == a ? 1 : 0;
        const auto seed =
            full_ ? MatrixView<const double>(rows.X.view().block(X.rows, first, outputs_, m))
                  : one_hot.view();
        evaluator.signals(w, X, seed, A, B, kept);
        for (const std::size_t l : trained_)
          if (layers()[l].conv && B[l].data)
            take_images(of_images, l, a, first, rows.inputs[copy][l], rows.signals[copy][l]);
        kept = true;
        std::ranges::fill(A, MatrixView<double>{});  // the same for every seed
      }
    }
  }

  /// Where seed a begins in the adjoints that are kept of layer l.
  Index at(std::size_t l, Index a) const {
    return full_ || folded(l) ? 0 : a * (terms_[l].signals / outputs_);
  }

  /// Columns from `first` on of what is kept of a convolution: its patches and the adjoints of
  /// output a, or their products.
  void take_images(const Images& images, std::size_t l, Index a, Index first,
                   Matrix<double>& inputs, Matrix<double>& signals) const {
    const WeightLayer& layer = layers()[l];
    const Index pixels = layer.pixels(), K = layer.fan_in, C = layer.fan_out;
    const auto A = images.inputs[l].view();
    const auto& B = images.signals[l];
    if (!terms_[l].gradients) {
      gather<double>(*layer.conv, A, 0, A.cols * layer.conv->out.height,
                     inputs.column(first * pixels));
      for (Index p = 0; p < A.cols * pixels; ++p)
        std::copy_n(B.data() + p * C, C, signals.column(first * pixels + p) + at(l, a));
      return;
    }
    Matrix<double> patches(K, pixels);
    for (Index j = 0; j < A.cols; ++j) {
      gather<double>(*layer.conv, A.block(0, j, A.rows, 1), 0, layer.conv->out.height,
                     patches.data());
      double* g = signals.column(first + j) + at(l, a);
      const MatrixView<const double> G{B.column(j), C, pixels, C};
      blas::gemm<double>(blas::Trans::no, blas::Trans::yes, layer.weight_scale, G, patches.view(),
                         0.0, MatrixView<double>{g, C, K, C});
      std::fill_n(g + C * K, C, 0.0);
      for (Index p = 0; p < pixels; ++p)
        for (Index o = 0; o < C; ++o) g[C * K + o] += layer.bias_scale * G(o, p);
    }
  }

  /// out (rows i0 ... by j0 ...) becomes the tile, of at most kTile x kTile entries.
  void small_tile(const EmpiricalRows& x, Index i0, const EmpiricalRows& z, Index j0,
                  Matrix<double>& A, Matrix<double>& B, MatrixView<double> out) const {
    for (Index j = 0; j < out.cols; ++j) std::fill_n(out.column(j), out.rows, 0.0);
    for (std::size_t copy = 0; copy < copies_; ++copy)
      for (const std::size_t l : trained_) {
        const double mean = 1 / static_cast<double>(copies_);
        if (terms_[l].gradients) {
          const auto u = signals(x, copy, l), v = signals(z, copy, l);
          blas::gemm<double>(blas::Trans::yes, blas::Trans::no, mean * signal_factor(l),
                             u.block(0, i0, u.rows, out.rows), v.block(0, j0, v.rows, out.cols),
                             1.0, out);
          continue;
        }
        const Index step = std::max<Index>(1, kTile / terms_[l].pixels);
        for (Index j = 0; j < out.cols; j += step)
          for (Index i = 0; i < out.rows; i += step)
            add_factors(
                x, i0 + i, z, j0 + j, {copy, l, mean}, A, B,
                out.block(i, j, std::min(step, out.rows - i), std::min(step, out.cols - j)));
      }
  }

  struct Part {
    std::size_t copy, l;
    double mean;
  };
  /// out += the term of a layer that is kept as factors: the sum over pairs of pixels of
  /// (weight_scale^2 A^T A + bias_scale^2) o (B^T B).
  void add_factors(const EmpiricalRows& x, Index i0, const EmpiricalRows& z, Index j0, Part part,
                   Matrix<double>& A_tile, Matrix<double>& B_tile, MatrixView<double> out) const {
    const auto [copy, l, mean] = part;
    const Index pixels = terms_[l].pixels, height = out.rows * pixels, width = out.cols * pixels;
    const auto product = [&](double factor, MatrixView<const double> u, MatrixView<const double> v,
                             Matrix<double>& to) {
      if (to.size() < height * width) to = Matrix<double>(height, width);
      const MatrixView<double> tile{to.data(), height, width, std::max<Index>(1, height)};
      blas::gemm<double>(blas::Trans::yes, blas::Trans::no, factor,
                         u.block(0, i0 * pixels, u.rows, height),
                         v.block(0, j0 * pixels, v.rows, width), 0.0, tile);
      return tile;
    };
    const double bias = mean * bias_factor(l);
    const auto A = product(mean * weight_factor(l), inputs(x, copy, l), inputs(z, copy, l), A_tile);
    if (signals_are_one(l)) {
      for (Index j = 0; j < out.cols; ++j)
        for (Index i = 0; i < out.rows; ++i) out(i, j) += A(i, j) + bias;
      return;
    }
    const auto B = product(signal_factor(l), signals(x, copy, l), signals(z, copy, l), B_tile);
    for (Index j = 0; j < width; ++j) {
      const double *a = A.column(j), *b = B.column(j);
      double* k = out.column(j / pixels);
      if (pixels == 1)
        for (Index i = 0; i < height; ++i) k[i] += (a[i] + bias) * b[i];
      else
        for (Index i = 0; i < height; ++i) k[i / pixels] += (a[i] + bias) * b[i];
    }
  }

  std::string text_;
  Index outputs_;
  bool full_, folds_;
  Network given_;
  Network network_;  ///< one copy; where it folds, with one output more
  std::vector<double> w_;
  std::size_t copies_ = 1;
  std::vector<std::size_t> trained_;  ///< the layers that are trained
  std::vector<Term> terms_;           ///< of each layer
};

}  // namespace

std::shared_ptr<const kernel::Kernel> empirical_kernel(const Network& network,
                                                       std::vector<double> parameters,
                                                       Outputs outputs) {
  return std::make_shared<EmpiricalKernel>(network, std::move(parameters), outputs);
}

std::optional<StoredNetwork> network_of(const kernel::Kernel& kernel) {
  const auto* empirical = dynamic_cast<const EmpiricalKernel*>(&kernel);
  if (empirical == nullptr) return std::nullopt;
  return empirical->stored();
}

}  // namespace mercer::net
