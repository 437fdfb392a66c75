#include <algorithm>
#include <cmath>
#include <utility>

#include "evaluator_state.hpp"

namespace mercer::net {
namespace {

constexpr Index kNarrow = 15;      ///< most units of a narrow layer
constexpr Index kPiece = 1 << 16;  ///< entries of a narrow layer's inputs in one piece
constexpr Index kLowest = 16;      ///< least rows of a piece

template <class T>
Rho<T> plain(const arch::Activation& rho) {
  return {rho.function, static_cast<T>(rho.a), static_cast<T>(rho.b), static_cast<T>(rho.c)};
}

/// The slopes from entry `at` on.
template <class T>
Slope<T> from(const Slope<T>& s, Index at) {
  return {s.stored ? s.stored + at : nullptr, s.value ? s.value + at : nullptr, s.below, s.above};
}

/// Calls f(j, m) for runs of m columns from column j on that are without gaps in x and in y: all
/// columns at once, or one by one.
template <class T, class F>
void each_run(MatrixView<const T> x, MatrixView<const T> y, F&& f) {
  const Index run = x.ld == x.rows && y.ld == y.rows ? x.cols : 1;
  for (Index j = 0; j < x.cols; j += run) f(j, run);
}

template <class T>
void add(const Loops<T>& loop, MatrixView<const T> x, MatrixView<T> y) {
  each_run<T>(x, y, [&](Index j, Index m) { loop.add(x.rows * m, x.column(j), y.column(j)); });
}

/// Y = slope o G, or Y += slope o G where `adds`; slopes are laid out as Y.
template <class T>
void times_slope(const Loops<T>& loop, const Slope<T>& slope, MatrixView<const T> G,
                 MatrixView<T> Y, bool adds) {
  each_run<T>(G, Y, [&](Index j, Index m) {
    loop.times_slope(from(slope, j * Y.ld), G.rows * m, G.column(j), Y.column(j), adds);
  });
}

}  // namespace

template <class T>
const WeightLayer& Evaluator<T>::State::layer(const Step& step) const {
  return network.layers()[static_cast<std::size_t>(step.layer)];
}

template <class T>
MatrixView<T> Evaluator<T>::State::view(T* column, Index n, Index m) const {
  return {column, units(n), m, stride(n)};
}

template <class T>
MatrixView<T> Evaluator<T>::State::node(const Batch& batch, Index n) {
  const auto which = static_cast<std::size_t>(batch.copy) * program.nodes.size();
  T* first = nodes[which + static_cast<std::size_t>(n)].data();
  return view(first + batch.at * stride(n), n, batch.m);
}

template <class T>
MatrixView<T> Evaluator<T>::State::slot(Index s, Index n, Index m) {
  return view(slots[static_cast<std::size_t>(s)].data(), n, m);
}

template <class T>
T* Evaluator<T>::State::stored_slope(const Batch& batch, Index s) {
  if (s < 0) return nullptr;
  const auto which = static_cast<std::size_t>(batch.copy) * program.slopes.size();
  return slopes[which + static_cast<std::size_t>(s)].data() +
         batch.at * stride(program.slopes[static_cast<std::size_t>(s)]);
}

template <class T>
Slope<T> Evaluator<T>::State::slope_of(const Step& step, const Batch& batch) {
  if (!step.activated) return {nullptr, nullptr, T(1), T(1)};
  if (step.slope >= 0) return {stored_slope(batch, step.slope), nullptr, T(1), T(1)};
  return {nullptr, node(batch, step.out).data, static_cast<T>(step.rho.a),
          static_cast<T>(step.rho.b)};
}

template <class T>
MatrixView<const T> Evaluator<T>::State::input_of(const Step& step, const Batch& batch,
                                                  MatrixView<const T> X) {
  return step.in == 0 ? X : MatrixView<const T>(node(batch, step.in));
}

/// Whether a step is a dense layer of few units: its GEMMs, and the passes over its inputs, are
/// limited by memory bandwidth.
template <class T>
bool Evaluator<T>::State::narrow(const Step& step) const {
  return step.kind == Step::Kind::weights && !layer(step).conv && units(step.out) <= kNarrow;
}

/// The bias of every unit: of a convolution those of its channels for each pixel.
template <class T>
const T* Evaluator<T>::State::bias_of_units(const WeightLayer& layer, const T* biases) {
  if (!layer.conv) return biases;
  for (Index p = 0; p < layer.pixels(); ++p)
    std::copy_n(biases, layer.fan_out, per_unit.data() + p * layer.fan_out);
  return per_unit.data();
}

/// Calls f(piece, j) for pieces of the batch, each from its column j on, with so few rows that the
/// inputs of a narrow layer stay in the second-level cache from one pass to the next.
template <class T>
template <class F>
void Evaluator<T>::State::each_piece(const Step& step, const Batch& batch, F&& f) const {
  const Index height = std::max(kLowest, kPiece / units(step.in));
  for (Index j = 0; j < batch.m; j += height)
    f(Batch{batch.first + j, std::min(height, batch.m - j), batch.at + j, batch.copy}, j);
}

/// The linear part of a step.
template <class T>
void Evaluator<T>::State::product(const Step& step, const Batch& batch, const T* w,
                                  MatrixView<const T> X) {
  if (step.kind == Step::Kind::weights || step.kind == Step::Kind::pool)
    map(step).apply(w, input_of(step, batch, X), false, node(batch, step.out));
}

/// The rest of a step after product(): bias, activation, or sum.
template <class T>
void Evaluator<T>::State::complete(const Step& step, const Batch& batch, const T* w,
                                   MatrixView<const T> X) {
  const auto in = input_of(step, batch, X);
  const auto out = node(batch, step.out);
  if (step.kind == Step::Kind::pool) return;
  if (step.kind == Step::Kind::sum) return add<T>(loop, in, out);
  const bool weights = step.kind == Step::Kind::weights;
  const T scale = weights ? static_cast<T>(layer(step).bias_scale) : T(0);
  const T* bias = scale != 0 ? bias_of_units(layer(step), w + layer(step).biases) : nullptr;
  const MatrixView<const T> z = weights ? MatrixView<const T>(out) : in;
  T* slope = stored_slope(batch, step.slope);
  each_run<T>(z, out, [&](Index j, Index m) {
    if (step.activated)
      loop.activate(plain<T>(step.rho), out.rows, m, z.column(j), bias, scale, out.column(j),
                    slope ? slope + j * out.ld : nullptr);
    else if (bias)
      loop.add_bias(out.rows, m, out.column(j), bias, scale);
  });
}

template <class T>
void Evaluator<T>::State::forward(const Batch& batch, const T* w, MatrixView<const T> X) {
  for (auto step = program.steps.begin(); step != program.steps.end(); ++step) {
    product(*step, batch, w, X);
    const auto next = step + 1;
    if (next == program.steps.end() || !narrow(*next) || next->in != step->out) {
      complete(*step, batch, w, X);
      continue;
    }
    each_piece(*next, batch, [&](const Batch& piece, Index j) {
      const auto x = X.block(0, j, X.rows, piece.m);
      complete(*step, piece, w, x);
      product(*next, piece, w, x);
      complete(*next, piece, w, x);
    });
    step = next;
  }
}

/// The adjoints G of a layer's activated outputs become those of z = weight_scale W^T a +
/// bias_scale b, for the columns of `piece`, which begins at column j of the batch; their sums are
/// the gradient of the biases. The gradient of a fixed layer is 0.
template <class T>
void Evaluator<T>::State::differentiate(const Step& step, const Batch& piece, Index j, T* g,
                                        bool begins) {
  const WeightLayer& d = layer(step);
  const auto G = slot(step.signal_out, step.out, j + piece.m);
  if (g && begins && j == 0) {
    const Index first = d.trained ? d.biases : d.weights;
    std::fill_n(g + first, d.biases + d.fan_out - first, T(0));
  }
  T* sums = g && d.trained && d.bias_scale != 0 ? g + d.biases : nullptr;
  T* of_units = sums && d.conv ? per_unit.data() : sums;
  if (of_units != sums) std::fill_n(of_units, G.rows, T(0));
  loop.slope_and_sums(slope_of(step, piece), G.rows, piece.m, G.ld, G.column(j), of_units,
                      static_cast<T>(d.bias_scale));
  for (Index u = 0; of_units != sums && u < G.rows; u += d.fan_out)
    loop.add(d.fan_out, of_units + u, sums);
}

namespace {

/// Columns first ... of S become G's, where signals of this layer are kept at all.
template <class T>
void keep(MatrixView<const T> G, MatrixView<T> S, Index first) {
  for (Index j = 0; S.data && j < G.cols; ++j)
    std::copy_n(G.column(j), G.rows, S.column(first + j));
}

}  // namespace

template <class T>
void Evaluator<T>::State::backward(const Batch& batch, const T* w, MatrixView<const T> X, T* g,
                                   bool begins, Index offset, const Watch* watch,
                                   std::span<const MatrixView<T>> signals) {
  const auto poll = [&] {
    if (watch && watch->poll) watch->poll();
  };
  bool differentiated = false;  // already done, with the pieces of the step before
  for (auto step = program.steps.rbegin(); step != program.steps.rend(); ++step) {
    const auto G = slot(step->signal_out, step->out, batch.m);
    const auto H = step->signal_in < 0 ? MatrixView<T>{} : slot(step->signal_in, step->in, batch.m);
    if (step->kind == Step::Kind::sum) {
      if (step->adds)
        add<T>(loop, G, H);
      else
        for (Index j = 0; j < G.cols; ++j) std::copy_n(G.column(j), G.rows, H.column(j));
      continue;
    }
    if (step->kind == Step::Kind::activation) {
      times_slope<T>(loop, slope_of(*step, batch), G, H, step->adds);
      continue;
    }
    if (step->kind == Step::Kind::pool) {
      if (H.data) map(*step).transpose(w, G, step->adds, H);
      continue;
    }
    const WeightLayer& d = layer(*step);
    if (!std::exchange(differentiated, false)) differentiate(*step, batch, 0, g, begins);
    if (!signals.empty()) keep<T>(G, signals[static_cast<std::size_t>(step->layer)], batch.first);
    const auto A = input_of(*step, batch, X);
    const auto weights = [&](Index j, Index m, bool first) {
      if (d.trained)
        map(*step).gradient(G.block(0, j, G.rows, m), A.block(0, j, A.rows, m), !first, g);
    };
    const auto inputs = [&](Index j, Index m) {
      map(*step).transpose(w, G.block(0, j, G.rows, m), step->adds, H.block(0, j, H.rows, m));
    };
    const auto next = std::next(step);
    const bool pieces = narrow(*step) && g && H.data && next != program.steps.rend() &&
                        next->kind == Step::Kind::weights && next->out == step->in && batch.m > 0;
    if (pieces) {
      each_piece(*step, batch, [&](const Batch& piece, Index j) {
        weights(j, piece.m, begins && j == 0);
        inputs(j, piece.m);
        differentiate(*next, piece, j, g, begins);
      });
      differentiated = true;
    } else if (g) {
      weights(0, batch.m, begins);
    }
    if (g && watch && watch->finished)
      watch->finished(offset + d.weights, d.biases + d.fan_out - d.weights);
    if (g) poll();
    if (H.data && !pieces) {
      inputs(0, batch.m);
      poll();
    }
  }
}

template <class T>
void Evaluator<T>::State::tangent(const Batch& batch, const T* w, const T* u,
                                  MatrixView<const T> X) {
  for (const Step& step : program.steps) {
    const auto out = slot(step.tangent_out, step.out, batch.m);
    const auto in = step.tangent_in < 0 ? MatrixView<T>{} : slot(step.tangent_in, step.in, batch.m);
    if (step.kind == Step::Kind::sum) {
      add<T>(loop, in, out);
      continue;
    }
    const Slope<T> slope = slope_of(step, batch);
    if (step.kind == Step::Kind::activation) {
      times_slope<T>(loop, slope, in, out, false);
      continue;
    }
    if (step.kind == Step::Kind::pool) {
      map(step).apply(w, in, false, out);
      continue;
    }
    const WeightLayer& d = layer(step);
    if (d.trained)
      map(step).apply(u, input_of(step, batch, X), false, out);
    else
      for (Index j = 0; j < out.cols; ++j) std::fill_n(out.column(j), out.rows, T(0));
    if (in.data) map(step).apply(w, in, true, out);
    if (d.trained && d.bias_scale != 0) {
      const T* bias = bias_of_units(d, u + d.biases);
      each_run<T>(out, out, [&](Index j, Index m) {
        loop.add_bias(out.rows, m, out.column(j), bias, static_cast<T>(d.bias_scale));
      });
    }
    if (step.activated) times_slope<T>(loop, slope, out, out, false);
  }
}

template struct Evaluator<double>::State;
template struct Evaluator<float>::State;

}  // namespace mercer::net
