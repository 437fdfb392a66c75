#include "mercer/features/leave_one_out.hpp"

#include <cmath>
#include <numeric>

#include "mercer/blas/blas.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "panel_exchange.hpp"

namespace mercer::features {

using blas::Trans;
using dist::DistMatrix;

template <class T>
struct LeaveOneOut<T>::State {
  State(const comm::Communicator& comm, Index columns, Index nb)
      : flat(comm, {1, comm.size()}), exchange(flat, columns, nb) {}

  dist::ProcessGrid flat;  ///< 1 x P: each rank has whole columns of U
  PanelExchange<T> exchange;
  Matrix<T> U{};             ///< s x this rank's columns
  Matrix<T> weights{};       ///< this rank's columns x 2 R: w of each ridge, then q
  Matrix<T> coefficients{};  ///< s x 2 R c: U diag(w) U^T B of each ridge, then with q
  std::vector<double> ridges{};
  Index n = 0, outputs = 0, rows = 0;
  std::vector<double> squares{};  ///< R x c: sums of e^2 over this rank's rows
};

template <class T>
LeaveOneOut<T>::LeaveOneOut(const FeaturePath& path, std::span<const double> ridges) {
  for (const double ridge : ridges) path.require_definite(ridge);
  const auto& V = path.pairs().vectors;
  const auto& comm = V.grid().all();
  const Index s = V.rows(), R = std::ssize(ridges);
  state_ = std::make_unique<State>(comm, s, V.nb());
  auto& state = *state_;
  state.ridges = {ridges.begin(), ridges.end()};
  state.n = path.n();
  auto U = comm::together(comm, [&] { return DistMatrix<double>(state.flat, s, s, V.nb()); });
  dist::copy(V, U);
  state.U = Matrix<T>(s, U.local_cols());
  for (Index j = 0; j < U.local_cols(); ++j)
    for (Index i = 0; i < s; ++i) state.U(i, j) = static_cast<T>(U.local()(i, j));
  state.weights = Matrix<T>(U.local_cols(), 2 * R);
  for (Index r = 0; r < R; ++r) {
    const double gamma = ridges[static_cast<std::size_t>(r)];
    for (Index j = 0; j < U.local_cols(); ++j) {
      const auto mode = path.weights(U.col_map().global({j}).value, gamma);
      state.weights(j, r) = static_cast<T>(mode.w);
      state.weights(j, R + r) = static_cast<T>(mode.q);
    }
    for (const bool dual : {false, true}) {
      const auto beta = path.combine([&](Index j) {
        const auto mode = path.weights(j, gamma);
        return dual ? mode.q : mode.w;
      });
      if (state.coefficients.rows() == 0) {
        state.outputs = beta.cols();
        state.coefficients = Matrix<T>(s, 2 * R * state.outputs);
      }
      for (Index o = 0; o < beta.cols(); ++o)
        for (Index i = 0; i < s; ++i)
          state.coefficients(i, ((dual ? R : 0) + r) * beta.cols() + o) =
              static_cast<T>(beta(i, o));
    }
  }
  state.squares.assign(static_cast<std::size_t>(R * state.outputs), 0.0);
}
template <class T>
LeaveOneOut<T>::~LeaveOneOut() = default;

template <class T>
void LeaveOneOut<T>::add(MatrixView<const T> psi, MatrixView<const double> y) {
  auto& state = *state_;
  const auto& comm = state.flat.all();
  const Index R = std::ssize(state.ridges), c = state.outputs;
  state.exchange.exchange(psi);
  const auto all = state.exchange.of_row();  // the features of all ranks' rows
  Matrix<T> t(state.U.cols(), all.cols), sums(2 * R, all.cols);
  blas::gemm<T>(Trans::yes, Trans::no, 1, std::as_const(state.U).view(), all, 0, t.view());
  for (Index i = 0; i < t.size(); ++i) t.data()[i] *= t.data()[i];
  blas::gemm<T>(Trans::yes, Trans::no, 1, std::as_const(state.weights).view(),
                std::as_const(t).view(), 0, sums.view());
  comm.all_reduce(std::span<T>(sums.data(), static_cast<std::size_t>(sums.size())), comm::Op::sum);
  const auto counts = comm.all_gather(psi.cols);
  const auto before = counts.begin() + comm.rank();
  const Index first = std::accumulate(counts.begin(), before, Index{0});
  state.rows += all.cols;

  Matrix<T> f(2 * R * c, psi.cols);
  blas::gemm<T>(Trans::yes, Trans::no, 1, std::as_const(state.coefficients).view(), psi, 0,
                f.view());
  const auto n = static_cast<double>(state.n);
  for (Index j = 0; j < psi.cols; ++j)
    for (Index r = 0; r < R; ++r) {
      const double H = static_cast<double>(sums(r, first + j)) / n,
                   gamma_P = 1 - static_cast<double>(sums(R + r, first + j)) / n;
      for (Index o = 0; o < c; ++o) {
        const double left = y(o, j) - static_cast<double>(f(r * c + o, j)),
                     gamma_alpha = y(o, j) - static_cast<double>(f((R + r) * c + o, j));
        const double e = left + H * gamma_alpha / gamma_P;
        state.squares[static_cast<std::size_t>(r * c + o)] += e * e;
      }
    }
}

template <class T>
std::vector<std::vector<double>> LeaveOneOut<T>::rmse_by_output() const {
  auto squares = state_->squares;
  state_->flat.all().all_reduce(std::span<double>(squares), comm::Op::sum);
  std::vector<std::vector<double>> result(state_->ridges.size());
  const auto c = static_cast<std::size_t>(state_->outputs);
  for (std::size_t i = 0; i < squares.size(); ++i)
    result[i / c].push_back(std::sqrt(squares[i] / static_cast<double>(state_->rows)));
  return result;
}

template class LeaveOneOut<double>;
template class LeaveOneOut<float>;

}  // namespace mercer::features
