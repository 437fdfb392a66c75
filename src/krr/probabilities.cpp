#include <algorithm>
#include <cmath>
#include <limits>

#include "mercer/comm/together.hpp"
#include "mercer/krr/score.hpp"

namespace mercer::krr {

using dist::RowBlock;

namespace {

void check(const RowBlock<double>& F, std::span<const Index> labels) {
  if (F.cols() < 2 || F.rows() == 0)
    throw InputError(
        "class probabilities of {} rows and {} outputs: at least one row and two outputs, one for "
        "each class, are needed",
        F.rows(), F.cols());
  const bool known = std::all_of(labels.begin(), labels.end(),
                                 [&](Index label) { return label >= 0 && label < F.cols(); });
  comm::agree_or_throw(F.comm(), known && static_cast<Index>(labels.size()) == F.local_rows(),
                       ExitCode::bad_input,
                       "each row of predictions needs one label, 0 ... classes-1");
}

void check_temperature(double temperature) {
  if (!(temperature > 0)) throw InputError("temperature {}: give a positive number", temperature);
}

/// p <- softmax(b f). Returns log sum_j exp(b f_j).
double softmax(std::span<const double> f, double b, std::span<double> p) {
  const double largest = *std::max_element(f.begin(), f.end());
  double sum = 0;
  for (std::size_t j = 0; j < f.size(); ++j) sum += p[j] = std::exp(b * (f[j] - largest));
  for (double& x : p) x /= sum;
  return b * largest + std::log(sum);
}

/// First and second derivative with respect to b of the loss that fit_temperature() minimises:
/// the mean over the rows of E_p f - t.f and of E_p f^2 - (E_p f)^2. Collective.
struct Derivatives {
  double first = 0, second = 0;
};
Derivatives derivatives(const RowBlock<double>& F, std::span<const Index> labels, double b) {
  const double n = static_cast<double>(F.rows()), c = static_cast<double>(F.cols());
  std::vector<double> p(static_cast<std::size_t>(F.cols()));
  double sums[2] = {0, 0};
  for (Index i = 0; i < F.local_rows(); ++i) {
    const auto f = F.row(i);
    const double label = f[static_cast<std::size_t>(labels[static_cast<std::size_t>(i)])];
    softmax(f, b, p);
    double mean = 0, wanted = n / (n + 1) * label, spread = 0;
    for (std::size_t j = 0; j < p.size(); ++j) {
      mean += p[j] * f[j];
      wanted += f[j] / (c * (n + 1));
    }
    for (std::size_t j = 0; j < p.size(); ++j) spread += p[j] * (f[j] - mean) * (f[j] - mean);
    sums[0] += mean - wanted;
    sums[1] += spread;
  }
  F.comm().all_reduce(std::span<double>(sums), comm::Op::sum);
  return {sums[0] / n, sums[1] / n};
}

}  // namespace

RowBlock<double> probabilities(const RowBlock<double>& F, double temperature) {
  check_temperature(temperature);
  RowBlock<double> P(F.comm(), F.rows(), F.cols());
  for (Index i = 0; i < F.local_rows(); ++i) softmax(F.row(i), 1 / temperature, P.row(i));
  return P;
}

double log_loss(const RowBlock<double>& F, std::span<const Index> labels, double temperature) {
  check(F, labels);
  check_temperature(temperature);
  const double b = 1 / temperature;
  std::vector<double> p(static_cast<std::size_t>(F.cols()));
  double sum = 0;
  for (Index i = 0; i < F.local_rows(); ++i)
    sum += softmax(F.row(i), b, p) -
           b * F.row(i)[static_cast<std::size_t>(labels[static_cast<std::size_t>(i)])];
  return F.comm().all_reduce(sum, comm::Op::sum) / static_cast<double>(F.rows());
}

double fit_temperature(const RowBlock<double>& F, std::span<const Index> labels) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  check(F, labels);
  double largest = 0;  // difference within a row: the scale of T
  bool finite = true;
  for (Index i = 0; i < F.local_rows(); ++i) {
    const auto [low, high] = std::minmax_element(F.row(i).begin(), F.row(i).end());
    largest = std::max(largest, *high - *low);
    for (const double f : F.row(i)) finite = finite && std::isfinite(f);
  }
  comm::agree_or_throw(F.comm(), finite, ExitCode::bad_input,
                       "the temperature cannot be fitted: some predictions are not finite");
  largest = F.comm().all_reduce(largest, comm::Op::max);
  if (largest == 0 || derivatives(F, labels, 0).first >= 0) return kInfinity;

  double low = 0, high = 1 / largest;  // the derivative is negative at low, positive at high
  while (derivatives(F, labels, high).first < 0 && high < 1e12 / largest) {
    low = high;
    high *= 4;
  }
  double b = (low + high) / 2;
  for (int step = 0; step < 100 && high - low > 1e-12 * high; ++step) {
    const Derivatives d = derivatives(F, labels, b);
    (d.first < 0 ? low : high) = b;
    const double newton = b - d.first / d.second;
    const double next = newton > low && newton < high ? newton : (low + high) / 2;
    if (std::abs(next - b) <= 1e-12 * b) break;
    b = next;
  }
  return 1 / b;
}

}  // namespace mercer::krr
