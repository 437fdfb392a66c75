#include "mercer/net/empirical.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "mercer/blas/blas.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/net/cost.hpp"
#include "mercer/net/parameters.hpp"

namespace mercer::net {
namespace {

constexpr double kPassBytes = 32.0 * 1024 * 1024;  // activations and adjoints of one pass
constexpr Index kTile = 256;                       // two scratch tiles of 512 KiB each

/// Column j belongs to row j of the data set. The inputs of the first layer are those of the
/// network, and the adjoints ("signals") of the last layer are the seeds: both copies share them.
struct EmpiricalRows : kernel::Rows {
  Matrix<double> X;  ///< inputs; below them, for Outputs::full, the seeds
  /// By copy and layer: A_l, fan_in x m, for all trained layers but the first; B_l, fan_out x m for
  /// each seed, one below the other, for all trained layers but the last.
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
        folds_(!full_ && outputs_ > 1 && network.layers().size() > 1),
        given_(network),
        network_(one_copy(network, folds_)) {
    if (static_cast<Index>(parameters.size()) != network.parameters())
      throw InputError("{} parameters given, the network has {}", parameters.size(),
                       network.parameters());
    for (std::size_t l = 0; l < layers().size(); ++l)
      if (layers()[l].trained) trained_.push_back(l);
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
        rows->inputs[copy].emplace_back(input_rows(l), m);
        rows->signals[copy].emplace_back(signal_rows(l), m);
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
      const auto squared = [&](MatrixView<const double> v) {
        return dot(v.column(i0 + i), v.column(i0 + i), v.rows);
      };
      double sum = 0;
      for (std::size_t copy = 0; copy < copies_; ++copy)
        for (const std::size_t l : trained_) {
          const double a = weight_factor(l) * squared(inputs(x, copy, l)) + bias_factor(l);
          sum += signals_are_one(l) ? a : a * signal_factor(l) * squared(signals(x, copy, l));
        }
      out[i] = sum / static_cast<double>(copies_);
    }
  }

  Index bytes_per_row(Index d) const override {
    check(d);
    Index doubles = 0;
    for (std::size_t l = 0; l < layers().size(); ++l) doubles += input_rows(l) + signal_rows(l);
    return (d + static_cast<Index>(copies_) * doubles) * static_cast<Index>(sizeof(double));
  }

  /// An entry reads all that is kept of its two rows.
  Index entry_length(Index d) const override {
    return bytes_per_row(d) / static_cast<Index>(sizeof(double));
  }

  Index scratch_bytes() const override {
    constexpr Index kManyRows = 1 << 20;
    const double pass = Evaluator<double>::bytes(network_, kManyRows, kPassBytes);
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
  Index input_rows(std::size_t l) const {
    return l == 0 || !layers()[l].trained ? 0 : layers()[l].fan_in;
  }
  Index signal_rows(std::size_t l) const {
    if (l == last() || !layers()[l].trained) return 0;
    return (full_ || folded(l) ? 1 : outputs_) * layers()[l].fan_out;
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

  MatrixView<const double> inputs(const EmpiricalRows& rows, std::size_t copy,
                                  std::size_t l) const {
    if (l > 0) return rows.inputs[copy][l].view();
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

  /// Fills columns [first, first + m) of the rows' inputs and adjoints.
  void pass(Evaluator<double>& evaluator, Index first, Index m, EmpiricalRows& rows) const {
    const auto X = rows.X.view().block(0, first, network_.inputs(), m);
    Matrix<double> one_hot(network_.outputs(), m);
    std::vector<MatrixView<double>> A(layers().size()), B(layers().size());
    for (std::size_t copy = 0; copy < copies_; ++copy) {
      const auto w = std::span<const double>(w_).subspan(
          copy * static_cast<std::size_t>(network_.parameters()),
          static_cast<std::size_t>(network_.parameters()));
      for (const std::size_t l : trained_)
        if (l > 0) A[l] = rows.inputs[copy][l].view().block(0, first, layers()[l].fan_in, m);
      bool kept = false;
      for (const Index a : seeds()) {
        for (const std::size_t l : trained_) {
          if (l == last()) continue;
          const bool wanted = full_ || folded(l) == (a == outputs_);
          const Index at = folded(l) ? 0 : a * layers()[l].fan_out;
          B[l] = {};
          if (wanted) B[l] = rows.signals[copy][l].view().block(at, first, layers()[l].fan_out, m);
        }
        for (Index j = 0; j < m && !full_; ++j)
          for (Index i = 0; i < one_hot.rows(); ++i) one_hot(i, j) = i == a ? 1 : 0;
        const auto seed =
            full_ ? MatrixView<const double>(rows.X.view().block(X.rows, first, outputs_, m))
                  : one_hot.view();
        evaluator.signals(w, X, seed, A, B, kept);
        kept = true;
        std::ranges::fill(A, MatrixView<double>{});  // the same for every seed
      }
    }
  }

  void small_tile(const EmpiricalRows& x, Index i0, const EmpiricalRows& z, Index j0,
                  Matrix<double>& A_tile, Matrix<double>& B_tile, MatrixView<double> out) const {
    const MatrixView<double> A{A_tile.data(), out.rows, out.cols, std::max<Index>(1, out.rows)};
    const MatrixView<double> B{B_tile.data(), out.rows, out.cols, A.ld};
    const auto products = [&](double factor, MatrixView<const double> u, MatrixView<const double> v,
                              MatrixView<double> to) {
      blas::gemm<double>(blas::Trans::yes, blas::Trans::no, factor,
                         u.block(0, i0, u.rows, out.rows), v.block(0, j0, v.rows, out.cols), 0.0,
                         to);
    };
    for (Index j = 0; j < out.cols; ++j) std::fill_n(out.column(j), out.rows, 0.0);
    const double mean = 1 / static_cast<double>(copies_);
    for (std::size_t copy = 0; copy < copies_; ++copy)
      for (const std::size_t l : trained_) {
        const double bias = mean * bias_factor(l);
        products(mean * weight_factor(l), inputs(x, copy, l), inputs(z, copy, l), A);
        if (!signals_are_one(l))
          products(signal_factor(l), signals(x, copy, l), signals(z, copy, l), B);
        for (Index j = 0; j < out.cols; ++j) {
          const double *a = A.column(j), *b = B.column(j);
          double* k = out.column(j);
          if (signals_are_one(l))
            for (Index i = 0; i < out.rows; ++i) k[i] += a[i] + bias;
          else
            for (Index i = 0; i < out.rows; ++i) k[i] += (a[i] + bias) * b[i];
        }
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

dist::RowBlock<double> seeded_rows(const dist::RowBlock<double>& X, Index outputs) {
  auto rows = comm::together(X.comm(), [&] {
    return dist::RowBlock<double>(X.comm(), X.rows() * outputs, X.cols() + outputs);
  });
  std::vector<Index> wanted;
  for (Index k = 0; k < rows.local_rows(); ++k) wanted.push_back((rows.first_row() + k) / outputs);
  const auto inputs = dist::fetch_rows<double>(X, wanted);
  for (Index k = 0; k < rows.local_rows(); ++k) {
    const auto row = rows.row(k);
    std::ranges::fill(row, 0.0);
    std::copy_n(inputs.column(k), inputs.rows(), row.begin());
    row[static_cast<std::size_t>(X.cols() + (rows.first_row() + k) % outputs)] = 1;
  }
  return rows;
}

dist::RowBlock<double> outputs(const Network& network, std::span<const double> w,
                               const dist::RowBlock<double>& X) {
  return comm::together(X.comm(), [&] {
    if (X.cols() != network.inputs())
      throw InputError("the network has {} inputs, but the data set has {} columns",
                       network.inputs(), X.cols());
    dist::RowBlock<double> F(X.comm(), X.rows(), network.outputs());
    if (X.local_rows() > 0)
      Evaluator<double>(network, X.local_rows(), kPassBytes)
          .outputs(w, X.transposed(), F.transposed());
    return F;
  });
}

Cost outputs_cost(const Network& network, Index rows, int ranks) {
  const Index own = ceil_div(rows, ranks);
  auto cost = gemm_cost<double>(network.forward_flops() * static_cast<double>(rows), ranks);
  cost.bytes = 8 * static_cast<double>(network.parameters() + own * network.outputs()) +
               Evaluator<double>::bytes(network, own, kPassBytes);
  return cost;
}

}  // namespace mercer::net
