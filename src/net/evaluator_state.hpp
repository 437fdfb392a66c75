#pragma once

#include <vector>

#include "loops.hpp"
#include "mercer/net/network.hpp"
#include "program.hpp"

namespace mercer::net {

/// Entries from one column of a buffer to the next, but of images, which have no gaps. From 2048
/// bytes on these are whole cache lines but no multiple of 2048 bytes, at which the same entry of
/// all columns would map to few sets of a cache. It makes gradients of weights, which go across
/// columns, up to a tenth faster. Does not decrease with `units`.
Index pitch(Index units, Index entry_bytes);

/// How many rows are held, and how many go through a pass.
struct Heights {
  Index held = 0;   ///< rows whose activations are held, of `copies` copies
  Index batch = 0;  ///< rows of a pass
  Index copies = 1;
  double bytes = 0;  ///< of all buffers
};
Heights heights(const Network& network, const Program& program, Index rows, double memory,
                Index entry_bytes);

template <class T>
struct Evaluator<T>::State {
  State(const Network& network, Index rows, double memory);

  /// A batch: m columns, from column `first` on of the call's matrices, whose activations are in
  /// the columns from `at` on of the buffers of `copy`.
  struct Batch {
    Index first = 0, m = 0, at = 0, copy = 0;
  };

  // Passes of one copy over one batch: w, u and g are those of the copy, X that of the batch.
  void forward(const Batch& batch, const T* w, MatrixView<const T> X);
  /// The adjoints of the last node must be in place (put_seed). g null: no gradient is computed.
  /// `begins`: g is overwritten, else added to. `offset`: the copy's place in the whole gradient,
  /// for `watch`, which is null except in the last batch. `signals`: as in Evaluator::signals().
  void backward(const Batch& batch, const T* w, MatrixView<const T> X, T* g, bool begins,
                Index offset, const Watch* watch, std::span<const MatrixView<T>> signals);
  void tangent(const Batch& batch, const T* w, const T* u, MatrixView<const T> X);

  // The parts of these passes.
  bool narrow(const Step& step) const;
  const T* bias_of_units(const WeightLayer& layer, const T* biases);
  template <class F>
  void each_piece(const Step& step, const Batch& batch, F&& f) const;
  void product(const Step& step, const Batch& batch, const T* w, MatrixView<const T> X);
  void complete(const Step& step, const Batch& batch, const T* w, MatrixView<const T> X);
  void differentiate(const Step& step, const Batch& piece, Index j, T* g, bool begins);

  /// F <- the result of the first copy; for the second copy F <- (F - result)/sqrt(2), which is
  /// exactly 0 where the copies agree.
  void take_result(Index copy, MatrixView<const T> result, MatrixView<T> F) const;
  /// The adjoints of the last node <- the seed times the copy's factor.
  void put_seed(const Batch& batch, MatrixView<const T> seed, T factor);
  T factor(Index copy) const;

  /// Of node n: entries from one row's column to the next; m columns, the first at `column`.
  Index stride(Index n) const;
  MatrixView<T> view(T* column, Index n, Index m) const;
  MatrixView<T> node(const Batch& batch, Index n);
  MatrixView<T> slot(Index s, Index n, Index m);  ///< the adjoint or tangent of node n at place s
  T* stored_slope(const Batch& batch, Index s);
  Slope<T> slope_of(const Step& step, const Batch& batch);
  MatrixView<const T> input_of(const Step& step, const Batch& batch, MatrixView<const T> X);
  const WeightLayer& layer(const Step& step) const;
  const LinearMap<T>& map(const Step& step) const {
    return *maps[static_cast<std::size_t>(&step - program.steps.data())];
  }
  Index units(Index n) const { return program.nodes[static_cast<std::size_t>(n)].units; }
  bool keeps_all() const { return sizes.held >= rows && sizes.copies == network.copies(); }

  Network network;
  Program program;
  Index rows;
  Heights sizes;
  const Loops<T>& loop;
  std::vector<RawVector<T>> nodes, slopes;  ///< copies x nodes, copies x slopes
  std::vector<RawVector<T>> slots;
  RawVector<T> patches;   ///< for the convolutions
  RawVector<T> per_unit;  ///< the bias of every unit of a convolution, or its gradient
  std::vector<std::unique_ptr<LinearMap<T>>> maps;  ///< of each step; null of an activation or sum
  const T* kept_inputs = nullptr;  ///< of the last outputs(); null: nothing is kept
  Index kept_rows = 0;
};

}  // namespace mercer::net
