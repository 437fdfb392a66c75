#include "batches.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "batches_rows.hpp"
#include "mercer/base/random.hpp"
#include "mercer/comm/together.hpp"
#include "sums.hpp"

namespace mercer::train {

template <class T>
Totals SmallSum::reduce(const Run<T>& run, Index numbers, double square) {
  const auto at = static_cast<std::size_t>(numbers);
  values_[at] = square;
  values_[at + 1] = run.comm.root() ? run.clock.seconds() : 0;
  values_[at + 2] = run.hooks.interrupted && run.hooks.interrupted() ? 1 : 0;
  run.comm.all_reduce(std::span<double>(values_.data(), at + 3), comm::Op::sum);
  return {values_[at], values_[at], values_[at + 1], values_[at + 2] > 0, true};
}

template <class T>
void Batches<T>::forward(MatrixView<const T> X, MatrixView<const T> Y, MatrixView<T> R) {
  run_.evaluator.outputs(run_.state.w, X, R);
  for (Index j = 0; j < R.cols; ++j)
    for (Index a = 0; a < R.rows; ++a) R(a, j) -= Y(a, j);
}

const std::vector<Index>& EpochOrder::of(Index epoch) {
  if (epoch == epoch_) return order_;
  epoch_ = epoch;
  random_order(order_, Random(seed_, Stream::batches),
               static_cast<std::uint64_t>(epoch * std::ssize(order_)));
  return order_;
}

namespace {

template <class T>
class FullBatch : public Batches<T> {
  using Batches<T>::run_;

 public:
  explicit FullBatch(Run<T>& run) : Batches<T>(run), R_(run.outputs(), set().rows()) { prepare(); }

  void prepare() final {
    small_.reserve(set().outputs_of_S(), set().S.k());
    set().S.reserve(set().outputs_of_S());
  }
  Totals evaluate() final {
    const auto& S = set().S;
    const auto P = small_.P(set().outputs_of_S(), S.k());
    this->forward(set().X.view(), set().Y.view(), R_.view());
    S.project(set().for_S(MatrixView<const T>(R_.view())), P);
    Totals totals = small_.reduce(run_, P.rows * S.k(), square_sum(entries<T>(R_.view())));
    totals.weighted += S.excess(P);
    return totals;
  }
  Totals evaluate_all() final { return evaluate(); }
  MatrixView<const T> X() const final { return run_.sets[0].X.view(); }
  MatrixView<const T> seed() final {
    const auto R = set().for_S(R_.view());
    set().S.add(R, small_.P(R.rows, set().S.k()), R);
    return R_.view();
  }
  MatrixView<const T> residual() const final { return R_.view(); }
  Index pieces() const final { return 1; }

 private:
  const RowSet<T>& set() const { return run_.sets[0]; }
  Matrix<T> R_;  // c x m
  SmallSum small_;
};

template <class T>
class Blocks : public Batches<T> {
  using Batches<T>::run_;

 public:
  explicit Blocks(Run<T>& run)
      : Batches<T>(run), order_(static_cast<Index>(run.sets.size()), run.options.seed) {
    epoch_ = run.state.step / pieces();
    Index most = 0;
    for (const auto& set : run.sets) most = std::max(most, set.rows());
    R_ = Matrix<T>(run.outputs(), most);
    found_.resize(2 * run.sets.size());
    prepare();
  }

  void prepare() final {
    Index most = 0;
    for (const auto& set : run_.sets) {
      most = std::max(most, set.S.k());
      set.S.reserve(run_.outputs());
    }
    small_.reserve(run_.outputs(), most);
  }
  Totals evaluate() final {
    if (run_.state.squares.empty()) {
      evaluate_all();
      keep_all();
    }
    const Index step = run_.state.step, epoch = step / pieces();
    if (run_.hooks.blocks && epoch > epoch_) {
      run_.hooks.blocks(run_.sets, epoch, run_.state.w);
      comm::together(run_.comm, [&] { prepare(); });
      evaluate_all();
      keep_all();
    }
    epoch_ = epoch;
    const auto b = order_.of(epoch)[static_cast<std::size_t>(step % pieces())];
    auto totals = look_at(static_cast<std::size_t>(b), run_.state.squares);
    totals.exact = false;
    return totals;
  }
  Totals evaluate_all() final {
    Totals totals;
    for (std::size_t b = 0; b < run_.sets.size(); ++b) totals = look_at(b, found_);
    return totals;
  }
  void keep_all() final { run_.state.squares = found_; }
  MatrixView<const T> X() const final { return run_.sets[at_].X.view(); }
  MatrixView<const T> seed() final {
    const auto& S = run_.sets[at_].S;
    S.add(R(), small_.P(run_.outputs(), S.k()), R());
    return R();
  }
  MatrixView<const T> residual() const final { return {}; }
  Index pieces() const final { return static_cast<Index>(run_.sets.size()); }

 private:
  MatrixView<T> R() { return R_.view().block(0, 0, R_.rows(), run_.sets[at_].rows()); }

  /// Evaluates r of set b, updates `squares`, and returns its totals over the sets.
  Totals look_at(std::size_t b, std::vector<double>& squares) {
    at_ = b;
    const RowSet<T>& set = run_.sets[b];
    const auto P = small_.P(run_.outputs(), set.S.k());
    this->forward(set.X.view(), set.Y.view(), R());
    set.S.project(R(), P);
    Totals totals = small_.reduce(run_, P.rows * set.S.k(), square_sum(entries<T>(R())));
    squares[2 * b] = totals.square;
    squares[2 * b + 1] = totals.square + set.S.excess(P);
    totals.square = totals.weighted = 0;
    for (std::size_t s = 0; s < run_.sets.size(); ++s) {
      totals.square += squares[2 * s];
      totals.weighted += squares[2 * s + 1];
    }
    return totals;
  }

  EpochOrder order_;
  Index epoch_ = 0;  // that the sets belong to
  std::size_t at_ = 0;
  Matrix<T> R_;  // c x (rows of the largest set)
  std::vector<double> found_;
  SmallSum small_;
};

}  // namespace

template <class T>
std::unique_ptr<Batches<T>> make_batches(Run<T>& run) {
  if (run.sets.size() > 1) return std::make_unique<Blocks<T>>(run);
  const Index batch = run.options.batch;
  if (batch == 0 || batch >= run.n() || run.options.stochastic == Stochastic::block)
    return std::make_unique<FullBatch<T>>(run);
  return std::make_unique<RowBatches<T>>(run);
}

#define MERCER_INSTANTIATE(T)                                        \
  template Totals SmallSum::reduce<T>(const Run<T>&, Index, double); \
  template class Batches<T>;                                         \
  template std::unique_ptr<Batches<T>> make_batches<T>(Run<T>&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::train
