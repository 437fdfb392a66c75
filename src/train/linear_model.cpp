#include "mercer/train/linear_model.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "lanczos.hpp"
#include "mercer/comm/together.hpp"

namespace mercer::train {
namespace {

double real(auto count) {
  return static_cast<double>(count);
}

/// The model in the Krylov space of r_0.
class SmallModel {
 public:
  /// `coefficients`: c_i of S = I + V diag(c) V^T, whose modes each stand for `outputs` entries.
  SmallModel(const std::vector<double>& coefficients, Index outputs) {
    for (const double c : coefficients) c_.insert(c_.end(), static_cast<std::size_t>(outputs), c);
  }

  /// A step of the recursion: its entries of T, and of V^T q (outputs x k) the column of G.
  template <class T>
  void append(const Lanczos<T>& lanczos) {
    alpha_ = lanczos.diagonal();
    beta_ = lanczos.off_diagonal();
    const auto P = lanczos.projection();
    P_.emplace_back(P.data, P.data + c_.size());
    const auto& last = P_.back();
    for (const auto& other : P_) {  // q.(S q') = delta, S = I + V diag(c) V^T
      double excess = 0;
      for (std::size_t i = 0; i < c_.size(); ++i) excess += c_[i] * other[i] * last[i];
      G_.push_back((&other == &last ? 1 : 0) - excess);
    }
  }
  std::size_t size() const { return alpha_.size(); }
  double first_square() const { return G_.front(); }  ///< |q_1|^2 = |r_0|^2/|r_0|_S^2

  /// The least t <= most with |r_t|^2 <= square |r_0|_S^2, if there is one.
  std::optional<Index> steps_to(double square, double rate, Index most) const {
    const std::size_t m = size();
    std::vector<double> y(m, 0.0), next(m);
    y[0] = 1;
    for (Index t = 0; t <= most; ++t) {
      const double now = norm_square(y);
      if (now <= square) return t;
      if (!std::isfinite(now)) return {};
      for (std::size_t i = 0; i < m; ++i) {
        double product = alpha_[i] * y[i];
        if (i > 0) product += beta_[i - 1] * y[i - 1];
        if (i + 1 < m) product += beta_[i] * y[i + 1];
        next[i] = y[i] - rate * product;
      }
      std::swap(y, next);
    }
    return {};
  }

 private:
  /// y.(G y), G's lower triangle by rows.
  double norm_square(const std::vector<double>& y) const {
    double sum = 0;
    if (c_.empty()) {
      for (const double x : y) sum += x * x;
      return sum;
    }
    const double* G = G_.data();
    for (std::size_t i = 0; i < y.size(); G += ++i) {
      double row = 0;
      for (std::size_t j = 0; j < i; ++j) row += G[j] * y[j];
      sum += y[i] * (2 * row + G[i] * y[i]);
    }
    return sum;
  }

  std::vector<double> c_, alpha_, beta_, G_;
  std::vector<std::vector<double>> P_;
};

}  // namespace

template <class T>
LinearSteps linear_steps(const comm::Communicator& comm, net::Evaluator<T>& evaluator,
                         std::span<const T> w, const RowSet<T>& rows, double rate,
                         const Options& options) {
  auto lanczos = comm::together(comm, [&] { return Lanczos<T>(comm, evaluator, w, rows); });
  const auto r_0 = lanczos.start();
  evaluator.outputs(w, rows.X.view(), r_0);
  for (Index i = 0; i < rows.Y.size(); ++i) r_0.data[i] -= rows.Y.data()[i];

  const auto& c = rows.S.coefficients();
  SmallModel model(c, rows.outputs_of_S());
  const double least = c.empty() ? 1 : std::min(1.0, 1 + *std::ranges::min_element(c));
  const double entries = real(rows.n * rows.Y.rows());
  for (std::size_t next = 4;;) {
    const bool more = lanczos.step();
    if (more) model.append(lanczos);
    const std::size_t m = model.size();
    if (m == 0) return {.reached = true};  // r_0 = 0
    if (more && m < next) continue;
    const double mean = model.first_square() * std::pow(lanczos.start_norm(), 2) / entries;
    const double target =
        model.first_square() * std::max(std::pow(options.tolerance, 2), options.loss / mean);
    const auto steps = model.steps_to(target, rate, options.steps);
    const Index t = steps.value_or(options.steps);
    const double error = 1e-3 * std::sqrt(target * least);  // allowed
    const auto needed =
        std::min(real(t) + 1, std::ceil(std::sqrt(2 * real(t) * std::log(4 / error))));
    if (!more || real(m) >= needed)
      return {.steps = t, .reached = steps.has_value(), .products = static_cast<int>(m)};
    next = std::min(2 * m, static_cast<std::size_t>(needed));
  }
}

template LinearSteps linear_steps<double>(const comm::Communicator&, net::Evaluator<double>&,
                                          std::span<const double>, const RowSet<double>&, double,
                                          const Options&);
template LinearSteps linear_steps<float>(const comm::Communicator&, net::Evaluator<float>&,
                                         std::span<const float>, const RowSet<float>&, double,
                                         const Options&);

}  // namespace mercer::train
