#include <algorithm>
#include <cmath>

#include "evaluator_state.hpp"
#include "mercer/la/blas.hpp"

namespace mercer::net {
namespace {

using la::Trans;

template <class T>
Rho<T> plain(const arch::Activation& rho) {
  return {static_cast<int>(rho.function), static_cast<T>(rho.a), static_cast<T>(rho.b),
          static_cast<T>(rho.c)};
}

}  // namespace

template <class T>
const DenseLayer& Evaluator<T>::State::layer(const Step& step) const {
  return network.layers()[static_cast<std::size_t>(step.layer)];
}

template <class T>
MatrixView<T> Evaluator<T>::State::node(const Batch& batch, Index n) {
  const auto which = static_cast<std::size_t>(batch.copy) * program.nodes.size();
  return {nodes[which + static_cast<std::size_t>(n)].data() + batch.at * units(n), units(n),
          batch.m, units(n)};
}

template <class T>
MatrixView<T> Evaluator<T>::State::slot(Index s, Index units, Index m) {
  return {slots[static_cast<std::size_t>(s)].data(), units, m, units};
}

template <class T>
T* Evaluator<T>::State::stored_slope(const Batch& batch, Index s) {
  if (s < 0) return nullptr;
  const auto which = static_cast<std::size_t>(batch.copy) * program.slopes.size();
  return slopes[which + static_cast<std::size_t>(s)].data() +
         batch.at * program.slopes[static_cast<std::size_t>(s)];
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

template <class T>
void Evaluator<T>::State::forward(const Batch& batch, const T* w, MatrixView<const T> X) {
  for (const Step& step : program.steps) {
    const auto in = input_of(step, batch, X);
    const auto out = node(batch, step.out);
    if (step.kind == Step::Kind::sum) {
      loop.add(out.rows * out.cols, in.data, out.data);
      continue;
    }
    const T* z = in.data;
    const T* bias = nullptr;
    T scale = 0;
    if (step.kind == Step::Kind::dense) {
      const DenseLayer& d = layer(step);
      la::gemm<T>(Trans::no, Trans::no, static_cast<T>(d.weight_scale), weights_of(d, w), in, T(0),
                  out);
      z = out.data;
      scale = static_cast<T>(d.bias_scale);
      if (d.bias_scale != 0) bias = w + d.biases;
    }
    if (step.activated)
      loop.activate(plain<T>(step.rho), out.rows, out.cols, z, bias, scale, out.data,
                    stored_slope(batch, step.slope));
    else if (bias)
      loop.add_bias(out.rows, out.cols, out.data, bias, scale);
  }
}

template <class T>
void Evaluator<T>::State::backward(const Batch& batch, const T* w, MatrixView<const T> X, T* g,
                                   bool begins, Index offset, const Watch* watch,
                                   std::span<const MatrixView<T>> signals) {
  const auto poll = [&] {
    if (watch && watch->poll) watch->poll();
  };
  for (auto step = program.steps.rbegin(); step != program.steps.rend(); ++step) {
    const auto G = slot(step->signal_out, units(step->out), batch.m);
    const auto H =
        step->signal_in < 0 ? MatrixView<T>{} : slot(step->signal_in, units(step->in), batch.m);
    const Slope<T> slope = slope_of(*step, batch);
    if (step->kind == Step::Kind::sum) {
      if (step->adds)
        loop.add(G.rows * G.cols, G.data, H.data);
      else
        std::copy_n(G.data, G.rows * G.cols, H.data);
      continue;
    }
    if (step->kind == Step::Kind::activation) {
      loop.times_slope(slope, G.rows * G.cols, G.data, H.data, step->adds);
      continue;
    }
    const DenseLayer& d = layer(*step);
    const T scale = static_cast<T>(d.weight_scale);
    if (g && begins) std::fill_n(g + d.biases, d.fan_out, T(0));
    const bool sums = g && d.bias_scale != 0;
    loop.slope_and_sums(slope, G.rows, G.cols, G.data, sums ? g + d.biases : nullptr,
                        static_cast<T>(d.bias_scale));
    if (!signals.empty()) {
      const auto& S = signals[static_cast<std::size_t>(step->layer)];
      for (Index j = 0; S.data && j < G.cols; ++j)
        std::copy_n(G.column(j), G.rows, S.column(batch.first + j));
    }
    if (g) {
      la::gemm<T>(Trans::no, Trans::yes, scale, G, input_of(*step, batch, X), begins ? T(0) : T(1),
                  weights_of(d, g));
      if (watch && watch->finished)
        watch->finished(offset + d.weights, d.biases + d.fan_out - d.weights);
      poll();
    }
    if (H.data) {
      la::gemm<T>(Trans::yes, Trans::no, scale, weights_of(d, w), G, step->adds ? T(1) : T(0), H);
      poll();
    }
  }
}

template <class T>
void Evaluator<T>::State::tangent(const Batch& batch, const T* w, const T* u,
                                  MatrixView<const T> X) {
  for (const Step& step : program.steps) {
    const auto out = slot(step.tangent_out, units(step.out), batch.m);
    const Index entries = out.rows * out.cols;
    const auto in =
        step.tangent_in < 0 ? MatrixView<T>{} : slot(step.tangent_in, units(step.in), batch.m);
    if (step.kind == Step::Kind::sum) {
      loop.add(entries, in.data, out.data);
      continue;
    }
    const Slope<T> slope = slope_of(step, batch);
    if (step.kind == Step::Kind::activation) {
      loop.times_slope(slope, entries, in.data, out.data, false);
      continue;
    }
    const DenseLayer& d = layer(step);
    const T scale = static_cast<T>(d.weight_scale);
    la::gemm<T>(Trans::no, Trans::no, scale, weights_of(d, u), input_of(step, batch, X), T(0), out);
    if (in.data) la::gemm<T>(Trans::no, Trans::no, scale, weights_of(d, w), in, T(1), out);
    if (d.bias_scale != 0)
      loop.add_bias(out.rows, out.cols, out.data, u + d.biases, static_cast<T>(d.bias_scale));
    if (step.activated) loop.times_slope(slope, entries, out.data, out.data, false);
  }
}

template struct Evaluator<double>::State;
template struct Evaluator<float>::State;

}  // namespace mercer::net
