#include <algorithm>
#include <cmath>
#include <numbers>

#include "evaluator_state.hpp"

namespace mercer::net {
namespace {

/// The most rows of a pass. Measured on networks of 256 and 1024 units: up to here more rows are
/// faster, because the rate of GEMM matters more than what stays in the second-level cache.
constexpr Index kBatch = 4096;

/// With convolutions: bytes of the largest layer in a pass, so that adjoints stay in the cache from
/// one step to the next; and the least rows of a pass.
constexpr Index kPassBytes = 4 * 1024 * 1024;
constexpr Index kLeastRows = 16;

Index batch_of(const Network& network, Index rows, Index entry_bytes) {
  Index widest = 0;
  for (const WeightLayer& layer : network.layers())
    if (layer.conv) widest = std::max(widest, layer.outputs());
  if (widest == 0) return std::min(rows, kBatch);
  return std::min(rows, std::clamp(kPassBytes / (widest * entry_bytes), kLeastRows, kBatch));
}

Index stride_of(const Node& node, Index entry_bytes) {
  return node.image ? node.units : pitch(node.units, entry_bytes);
}

/// The most numbers that a layer takes of the memory which all share.
template <class F>
Index most(const Network& network, F&& numbers) {
  Index result = 0;
  for (const WeightLayer& layer : network.layers()) result = std::max(result, numbers(layer));
  return result;
}
Index shared_patches(const Network& network, Index entry_bytes) {
  return most(network, [&](const WeightLayer& l) { return patch_numbers(l, entry_bytes); });
}
Index shared_units(const Network& network) {
  return most(network, [](const WeightLayer& l) { return l.conv ? l.outputs() : 0; });
}

template <class T>
void check_shapes(const Network& network, std::span<const T> w, MatrixView<const T> X, Index rows,
                  Index parameters) {
  if (static_cast<Index>(w.size()) != parameters)
    throw InputError("{} parameters given, the network has {}", w.size(), parameters);
  if (X.rows != network.inputs() || X.cols > rows)
    throw InputError("inputs of {} x {}: this evaluator takes {} inputs and at most {} rows",
                     X.rows, X.cols, network.inputs(), rows);
}

void check_outputs(const Network& network, Index rows, Index cols, Index m) {
  if (rows != network.outputs() || cols != m)
    throw InputError("outputs or seed of {} x {}: they must be {} x {} for these inputs", rows,
                     cols, network.outputs(), m);
}

/// Calls f(batch) for batches of m rows, of equal height up to rounding and at most `height` each.
template <class Batch, class F>
void each_batch(Index m, Index height, bool held, F&& f) {
  const Index equal = m == 0 ? 1 : ceil_div(m, ceil_div(m, height));
  for (Index first = 0; first < m; first += equal)
    f(Batch{first, std::min(equal, m - first), held ? first : 0, 0});
}

}  // namespace

Index pitch(Index units, Index entry_bytes) {
  const Index line = 64 / entry_bytes, conflict = 2048 / entry_bytes;
  if (units < conflict) return units;
  const Index lines = ceil_div(units, line) * line;
  return lines % conflict == 0 ? lines + line : lines;
}

Heights heights(const Network& network, const Program& program, Index rows, double memory,
                Index entry_bytes) {
  const auto bytes = [entry_bytes](Index numbers) {
    return static_cast<double>(numbers * entry_bytes);
  };
  double held = 0, passing = 0;
  for (std::size_t n = 1; n < program.nodes.size(); ++n)
    held += bytes(stride_of(program.nodes[n], entry_bytes));
  for (const Index n : program.slopes)
    held += bytes(stride_of(program.nodes[static_cast<std::size_t>(n)], entry_bytes));
  for (const Index units : program.slots) passing += bytes(pitch(units, entry_bytes));
  const double fixed = bytes(shared_patches(network, entry_bytes) + shared_units(network));
  const double copies = static_cast<double>(network.copies()), all = static_cast<double>(rows);
  Heights h;
  h.batch = batch_of(network, rows, entry_bytes);
  h.held = rows;
  h.copies = network.copies();
  h.bytes = fixed + copies * held * all + passing * static_cast<double>(h.batch);
  if (h.bytes <= memory || rows == 0) return h;
  // Not all rows fit: hold as many at a time as do, of one copy.
  const double fits = std::floor((memory - fixed) / (held + passing));
  h.batch =
      std::max<Index>(1, static_cast<Index>(std::clamp(fits, 0.0, static_cast<double>(h.batch))));
  h.held = h.batch;
  h.copies = 1;
  h.bytes = fixed + (held + passing) * static_cast<double>(h.batch);
  return h;
}

template <class T>
Evaluator<T>::State::State(const Network& the_network, Index most_rows, double memory)
    : network(the_network),
      program(compile(network)),
      rows(most_rows),
      sizes(heights(network, program, rows, memory, sizeof(T))),
      loop(loops<T>()) {
  const auto buffer = [](Index numbers) { return RawVector<T>(static_cast<std::size_t>(numbers)); };
  const auto columns = [&](Index n) { return buffer(stride(n) * sizes.held); };
  for (Index copy = 0; copy < sizes.copies; ++copy) {
    nodes.emplace_back();  // the inputs are the caller's
    for (std::size_t n = 1; n < program.nodes.size(); ++n)
      nodes.push_back(columns(static_cast<Index>(n)));
    for (const Index n : program.slopes) slopes.push_back(columns(n));
  }
  for (const Index units : program.slots)
    slots.push_back(buffer(pitch(units, sizeof(T)) * sizes.batch));
  patches = buffer(shared_patches(network, sizeof(T)));
  per_unit = buffer(shared_units(network));
  for (const Step& step : program.steps) {
    maps.emplace_back();
    if (step.kind == Step::Kind::weights) maps.back() = map_of<T>(layer(step), patches);
    if (step.pool) maps.back() = map_of<T>(*step.pool);
  }
}

template <class T>
Index Evaluator<T>::State::stride(Index n) const {
  return stride_of(program.nodes[static_cast<std::size_t>(n)], sizeof(T));
}

template <class T>
T Evaluator<T>::State::factor(Index copy) const {
  if (network.copies() == 1) return T(1);
  return static_cast<T>(copy == 0 ? std::numbers::sqrt2 / 2 : -std::numbers::sqrt2 / 2);
}

template <class T>
void Evaluator<T>::State::take_result(Index copy, MatrixView<const T> result,
                                      MatrixView<T> F) const {
  const T half = static_cast<T>(std::numbers::sqrt2 / 2);
  for (Index j = 0; j < F.cols; ++j)
    for (Index i = 0; i < F.rows; ++i)
      F(i, j) = copy == 0 ? result(i, j) : half * (F(i, j) - result(i, j));
}

template <class T>
void Evaluator<T>::State::put_seed(const Batch& batch, MatrixView<const T> seed, T factor) {
  const auto S = slot(program.result_signal, program.result, batch.m);
  for (Index j = 0; j < S.cols; ++j)
    for (Index i = 0; i < S.rows; ++i) S(i, j) = factor * seed(i, batch.first + j);
}

template <class T>
Evaluator<T>::Evaluator(const Network& network, Index rows, double memory)
    : state_(std::make_unique<State>(network, rows, memory)) {}
template <class T>
Evaluator<T>::~Evaluator() = default;
template <class T>
Evaluator<T>::Evaluator(Evaluator&&) noexcept = default;

template <class T>
void Evaluator<T>::outputs(std::span<const T> w, MatrixView<const T> X, MatrixView<T> F) {
  State& s = *state_;
  check_shapes(s.network, w, X, s.rows, s.network.parameters());
  check_outputs(s.network, F.rows, F.cols, X.cols);
  using Batch = typename State::Batch;
  each_batch<Batch>(X.cols, s.sizes.batch, s.keeps_all(), [&](Batch batch) {
    for (Index copy = 0; copy < s.network.copies(); ++copy) {
      batch.copy = s.keeps_all() ? copy : 0;
      s.forward(batch, w.data() + copy * s.network.parameters_of_copy(),
                X.block(0, batch.first, X.rows, batch.m));
      s.take_result(copy, s.node(batch, s.program.result),
                    F.block(0, batch.first, F.rows, batch.m));
    }
  });
  s.kept_inputs = s.keeps_all() ? X.data : nullptr;
  s.kept_rows = X.cols;
}

template <class T>
void Evaluator<T>::gradient(std::span<const T> w, MatrixView<const T> X, MatrixView<const T> seed,
                            std::span<T> g, bool kept, const Watch& watch) {
  State& s = *state_;
  check_shapes(s.network, w, X, s.rows, s.network.parameters());
  check_outputs(s.network, seed.rows, seed.cols, X.cols);
  if (g.size() != w.size())
    throw InputError("a gradient of {} entries: it must have {}, one for each parameter", g.size(),
                     w.size());
  kept = kept && s.kept_inputs && s.kept_inputs == X.data && s.kept_rows == X.cols;
  if (!kept) s.kept_inputs = nullptr;
  using Batch = typename State::Batch;
  const auto pass = [&](Batch batch) {
    // The second copy first, so that `finished` goes from the end of g to its beginning.
    for (Index copy = s.network.copies() - 1; copy >= 0; --copy) {
      const Index offset = copy * s.network.parameters_of_copy();
      const auto x = X.block(0, batch.first, X.rows, batch.m);
      batch.copy = s.keeps_all() ? copy : 0;
      if (!kept) s.forward(batch, w.data() + offset, x);
      s.put_seed(batch, seed, s.factor(copy));
      const bool last = batch.first + batch.m == X.cols;
      s.backward(batch, w.data() + offset, x, g.data() + offset, batch.first == 0, offset,
                 last ? &watch : nullptr, {});
    }
  };
  if (X.cols == 0) pass(Batch{});  // writes zeros, and calls `finished`
  each_batch<Batch>(X.cols, s.sizes.batch, s.keeps_all(), pass);
}

template <class T>
void Evaluator<T>::jvp(std::span<const T> w, std::span<const T> u, MatrixView<const T> X,
                       MatrixView<T> F, bool kept) {
  State& s = *state_;
  check_shapes(s.network, w, X, s.rows, s.network.parameters());
  check_shapes(s.network, u, X, s.rows, s.network.parameters());
  check_outputs(s.network, F.rows, F.cols, X.cols);
  kept = kept && s.kept_inputs && s.kept_inputs == X.data && s.kept_rows == X.cols;
  if (!kept) s.kept_inputs = nullptr;
  using Batch = typename State::Batch;
  each_batch<Batch>(X.cols, s.sizes.batch, s.keeps_all(), [&](Batch batch) {
    for (Index copy = 0; copy < s.network.copies(); ++copy) {
      const Index offset = copy * s.network.parameters_of_copy();
      const auto x = X.block(0, batch.first, X.rows, batch.m);
      batch.copy = s.keeps_all() ? copy : 0;
      if (!kept) s.forward(batch, w.data() + offset, x);
      s.tangent(batch, w.data() + offset, u.data() + offset, x);
      s.take_result(copy, s.slot(s.program.result_tangent, s.program.result, batch.m),
                    F.block(0, batch.first, F.rows, batch.m));
    }
  });
}

template <class T>
void Evaluator<T>::signals(std::span<const T> w_of_copy, MatrixView<const T> X,
                           MatrixView<const T> seed, std::span<const MatrixView<T>> inputs,
                           std::span<const MatrixView<T>> signals, bool kept) {
  State& s = *state_;
  check_shapes(s.network, w_of_copy, X, rows_kept(), s.network.parameters_of_copy());
  check_outputs(s.network, seed.rows, seed.cols, X.cols);
  const std::size_t layers = s.network.layers().size();
  if ((!inputs.empty() && inputs.size() != layers) ||
      (!signals.empty() && signals.size() != layers))
    throw InputError("inputs of {} and signals of {} layers: the network has {}", inputs.size(),
                     signals.size(), layers);
  s.kept_inputs = nullptr;
  using Batch = typename State::Batch;
  each_batch<Batch>(X.cols, s.sizes.batch, s.keeps_all(), [&](const Batch& batch) {
    const auto x = X.block(0, batch.first, X.rows, batch.m);
    if (!kept) s.forward(batch, w_of_copy.data(), x);
    for (const Step& step : s.program.steps) {
      if (step.kind != Step::Kind::weights || inputs.empty()) continue;
      const auto A = s.input_of(step, batch, x);
      const auto& to = inputs[static_cast<std::size_t>(step.layer)];
      for (Index j = 0; to.data && j < A.cols; ++j)
        std::copy_n(A.column(j), A.rows, to.column(batch.first + j));
    }
    if (signals.empty()) return;
    s.put_seed(batch, seed, T(1));
    s.backward(batch, w_of_copy.data(), x, nullptr, true, 0, nullptr, signals);
  });
}

template <class T>
Index Evaluator<T>::rows_kept() const {
  return state_->sizes.held;
}

template <class T>
bool Evaluator<T>::keeps_all() const {
  return state_->keeps_all();
}

template <class T>
double Evaluator<T>::bytes(const Network& network, Index rows, double memory) {
  return heights(network, compile(network), rows, memory, sizeof(T)).bytes;
}

template class Evaluator<double>;
template class Evaluator<float>;

}  // namespace mercer::net
