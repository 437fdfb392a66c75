#include "mercer/train/parameter_preconditioner.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <tuple>
#include <utility>

#include "mercer/base/error.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/train/gradient_sum.hpp"

namespace mercer::train {
namespace {

using blas::Trans;

constexpr Index kSumRows = 1 << 14;  // rows of Psi whose products are summed in T

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

/// Calls f(first, count) for pieces of `size` entries of at most kSumRows.
template <class F>
void each_piece(Index size, F&& f) {
  for (Index first = 0; first < size; first += kSumRows) f(first, std::min(kSumRows, size - first));
}

/// The same pieces from the last one to the first: what was read last may still be in a cache.
template <class F>
void each_piece_back(Index size, F&& f) {
  for (Index i = ceil_div(size, kSumRows) - 1; i >= 0; --i)
    f(i * kSumRows, std::min(kSumRows, size - i * kSumRows));
}

}  // namespace

template <class T>
Index ParameterPreconditioner<T>::Layout::entries() const {
  Index sum = 0;
  for (const auto& part : parts) sum += part.count;
  return sum;
}

template <class T>
ParameterPreconditioner<T>::ParameterPreconditioner(Layout layout, Matrix<T> Psi,
                                                    std::vector<double> coefficients,
                                                    const BatchBound& bound)
    : layout_(std::move(layout)),
      Psi_(std::move(Psi)),
      c_(std::move(coefficients)),
      bound_(bound),
      x_(at(layout_.entries())),
      small_(at(k())),
      products_(at(k())) {
  if (Psi_.rows() != layout_.entries() || Psi_.cols() != k())
    throw RunError("S on the parameters: Psi is {} x {}, with {} entries and {} coefficients",
                   Psi_.rows(), Psi_.cols(), layout_.entries(), k());
}

template <class T>
void ParameterPreconditioner<T>::take(std::span<const T> g) const {
  const T half = static_cast<T>(std::numbers::sqrt2 / 2);
  const T* second = g.data() + layout_.size;
  T* x = x_.data();
  for (const auto& part : layout_.parts) {
    if (layout_.mirrored)
      for (Index i = 0; i < part.count; ++i)
        x[i] = half * (g[at(part.begin + i)] - second[part.begin + i]);
    else
      std::copy_n(g.data() + part.begin, part.count, x);
    x += part.count;
  }
}

template <class T>
void ParameterPreconditioner<T>::put(std::span<T> g) const {
  const T half = static_cast<T>(std::numbers::sqrt2 / 2);
  T* second = g.data() + layout_.size;
  const T* x = x_.data();
  for (const auto& part : layout_.parts) {
    T* first = g.data() + part.begin;
    if (layout_.mirrored) {
      for (Index i = 0; i < part.count; ++i) {
        first[i] += half * x[i];
        second[part.begin + i] -= half * x[i];
      }
    } else {
      for (Index i = 0; i < part.count; ++i) first[i] += x[i];
    }
    x += part.count;
  }
}

template <class T>
void ParameterPreconditioner<T>::apply(const comm::Communicator& comm, std::span<T> g) const {
  if (identity()) return;
  take(g);
  const std::span<T> x(x_), small(small_);
  std::ranges::fill(products_, 0.0);
  each_piece(Psi_.rows(), [&](Index first, Index count) {
    blas::gemv<T>(Trans::yes, T{1}, Psi_.view().block(first, 0, count, k()),
                  x.subspan(at(first), at(count)), T{0}, small);
    for (std::size_t i = 0; i < products_.size(); ++i)
      products_[i] += static_cast<double>(small[i]);
  });
  comm.all_reduce(std::span<double>(products_), comm::Op::sum);
  for (std::size_t i = 0; i < products_.size(); ++i)
    small[i] = static_cast<T>(c_[i] * products_[i]);
  each_piece_back(Psi_.rows(), [&](Index first, Index count) {
    blas::gemv<T>(Trans::no, T{1}, Psi_.view().block(first, 0, count, k()), small, T{0},
                  x.subspan(at(first), at(count)));
  });
  put(g);
}

template <class T>
std::vector<T> ParameterPreconditioner<T>::gathered(const comm::Communicator& comm, Index i) const {
  auto psi = comm::together(comm, [&] { return std::vector<T>(at(layout_.size), T{0}); });
  const T* from = Psi_.column(i);
  for (const auto& part : layout_.parts) {
    std::copy_n(from, part.count, psi.begin() + part.begin);
    from += part.count;
  }
  comm.all_reduce(std::span<T>(psi), comm::Op::sum);
  return psi;
}

template <class T>
typename ParameterPreconditioner<T>::Layout parameter_layout(const comm::Communicator& comm,
                                                             const net::Network& network,
                                                             bool mirrored) {
  typename ParameterPreconditioner<T>::Layout layout;
  layout.mirrored = mirrored;
  layout.size = mirrored ? network.parameters_of_copy() : network.parameters();
  for (const auto& part :
       own_parts(network, comm.rank(), comm.size(), typename GradientSum<T>::Options{}.bucket))
    if (part.begin < layout.size) layout.parts.push_back(part);
  std::ranges::sort(layout.parts, {}, &comm::Part::begin);
  return layout;
}

template <class T>
bool equal_copies(const net::Network& network, std::span<const T> w) {
  const Index p = network.parameters_of_copy();
  return network.copies() > 1 && std::equal(w.begin(), w.begin() + p, w.begin() + p);
}

double most_entries(const net::Network& network, bool mirrored, int ranks) {
  const auto p =
      static_cast<double>(mirrored ? network.parameters_of_copy() : network.parameters());
  const double buckets = static_cast<double>(network.copies()) *
                         (p / static_cast<double>(GradientSum<double>::Options{}.bucket) + 1);
  return ranks == 1 ? p : p / ranks + buckets;  // a bucket's parts differ by one entry
}

namespace {

/// The own entries of g, where mirrored those of psi' = sqrt(2) times the first copy, times
/// `scale`.
template <class T>
void take_column(const typename ParameterPreconditioner<T>::Layout& layout, std::span<const T> g,
                 double scale, T* column) {
  const double factor = layout.mirrored ? std::numbers::sqrt2 * scale : scale;
  for (const auto& part : layout.parts) {
    for (Index i = 0; i < part.count; ++i)
      column[i] = static_cast<T>(factor * static_cast<double>(g[at(part.begin + i)])) + T{0};
    column += part.count;
  }
}

/// Psi <- Psi R^-1 with Psi^T Psi = R^T R. Collective.
template <class T>
void make_orthonormal(const comm::Communicator& comm, Matrix<T>& Psi) {
  const Index k = Psi.cols();
  Matrix<double> G(k, k, 0.0);
  Matrix<T> piece(k, k);
  each_piece(Psi.rows(), [&](Index first, Index count) {
    const auto rows = Psi.view().block(first, 0, count, k);
    blas::gemm<T>(Trans::yes, Trans::no, T{1}, rows, rows, T{0}, piece.view());
    for (Index i = 0; i < G.size(); ++i) G.data()[i] += static_cast<double>(piece.data()[i]);
  });
  comm.all_reduce(std::span<double>(G.data(), at(G.size())), comm::Op::sum);
  if (!std::ranges::all_of(std::span<const double>(G.data(), at(G.size())),
                           [](double x) { return std::isfinite(x); }))
    throw RunError("S on the parameters: J^T v_i is not finite");
  if (!blas::cholesky(G.view()))
    throw RunError(
        "S on the parameters: its {} directions J^T v_i are not independent to rounding: take a "
        "smaller `top`",
        k);
  Matrix<T> R(k, k);
  for (Index i = 0; i < G.size(); ++i) R.data()[i] = static_cast<T>(G.data()[i]);
  blas::solve_right<T>(R.view(), Psi.view());
  for (Index i = 0; i < Psi.size(); ++i) Psi.data()[i] += T{0};  // no -0: sums would lose its sign
}

/// D <- D + c (J u)^2, c x q, for the rows X.
template <class T>
void add_squares(net::Evaluator<T>& evaluator, std::span<const T> w, std::span<const T> u,
                 MatrixView<const T> X, double c, Matrix<T>& F, Matrix<double>& D) {
  evaluator.jvp(w, u, X, F.view(), true);
  for (Index i = 0; i < D.size(); ++i) {
    const auto x = static_cast<double>(F.data()[i]);
    D.data()[i] += c * x * x;
  }
}

/// Throws InputError, on all ranks, where sizes do not agree on one.
template <class T>
void check(const comm::Communicator& comm, const net::Network& network, std::span<const T> w,
           const PairRows<T>& rows, Index k, const BoundRows<T>& more) {
  comm::together(comm, [&] {
    const Index c = network.outputs(), d = network.inputs(), m = rows.X.cols(), q = more.X.cols();
    if (std::ssize(w) != network.parameters())
      throw InputError("{} parameters for a network of {}", w.size(), network.parameters());
    if (rows.X.rows() != d || more.X.rows() != d)
      throw InputError("the network takes {} inputs, the rows have {} and {}", d, rows.X.rows(),
                       more.X.rows());
    if (rows.V.rows() != c * m || rows.V.cols() != k || std::ssize(rows.norm) != k)
      throw InputError("V is {} x {}, with {} norms: {} x {} and {} are needed", rows.V.rows(),
                       rows.V.cols(), rows.norm.size(), c * m, k, k);
    if (more.diagonal.rows() != c || more.diagonal.cols() != q)
      throw InputError("`diagonal` is {} x {}: {} x {} is needed", more.diagonal.rows(),
                       more.diagonal.cols(), c, q);
  });
  const std::int64_t least = comm.all_reduce(k, comm::Op::min);
  if (least != comm.all_reduce(k, comm::Op::max))
    throw InputError("the ranks have different numbers of coefficients, the least {}", least);
}

}  // namespace

template <class T>
ParameterPreconditioner<T> parameter_preconditioner(const comm::Communicator& comm,
                                                    const net::Network& network,
                                                    std::span<const T> w, const PairRows<T>& rows,
                                                    std::vector<double> coefficients,
                                                    BatchBound bound, const BoundRows<T>& more,
                                                    double memory) {
  const auto k = static_cast<Index>(coefficients.size());
  check<T>(comm, network, w, rows, k, more);
  const Index c = network.outputs(), m = rows.X.cols(), q = more.X.cols();
  auto layout = parameter_layout<T>(comm, network, equal_copies(network, w));
  auto Psi = comm::together(comm, [&] { return Matrix<T>(layout.entries(), k); });
  auto D = more.diagonal.copy();
  if (k > 0) {
    auto [backward, forward, g] = comm::together(comm, [&] {
      return std::tuple(net::Evaluator<T>(network, m, memory / 2),
                        net::Evaluator<T>(network, q, memory / 2),
                        RawVector<T>(at(network.parameters())));
    });
    Matrix<T> F(c, m), of_more(c, q);
    backward.outputs(w, rows.X.view(), F.view());
    forward.outputs(w, more.X.view(), of_more.view());
    for (Index i = 0; i < k; ++i) {
      const MatrixView<const T> seed{rows.V.column(i), c, m, std::max<Index>(1, c)};
      backward.gradient(w, rows.X.view(), seed, g, true);
      comm.all_reduce(std::span<T>(g), comm::Op::sum);
      const double scale = 1 / rows.norm[at(i)];
      take_column<T>(layout, g, scale, Psi.column(i));
      add_squares<T>(forward, w, g, more.X.view(), coefficients[at(i)] * scale * scale, of_more, D);
    }
    make_orthonormal(comm, Psi);
  }
  double largest = 0;
  for (Index i = 0; i < D.size(); ++i)
    if (!(D.data()[i] <= largest))
      largest = std::isnan(D.data()[i]) ? std::numeric_limits<double>::infinity() : D.data()[i];
  bound.beta = std::max(bound.beta, comm.all_reduce(largest, comm::Op::max));
  return {std::move(layout), std::move(Psi), std::move(coefficients), bound};
}

#define MERCER_INSTANTIATE(T)                                                                 \
  template class ParameterPreconditioner<T>;                                                  \
  template ParameterPreconditioner<T>::Layout parameter_layout<T>(const comm::Communicator&,  \
                                                                  const net::Network&, bool); \
  template bool equal_copies<T>(const net::Network&, std::span<const T>);                     \
  template ParameterPreconditioner<T> parameter_preconditioner<T>(                            \
      const comm::Communicator&, const net::Network&, std::span<const T>, const PairRows<T>&, \
      std::vector<double>, BatchBound, const BoundRows<T>&, double);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::train
