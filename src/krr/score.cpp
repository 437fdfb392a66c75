#include "mercer/krr/score.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "mercer/comm/together.hpp"

namespace mercer::krr {

using dist::RowBlock;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void check_shapes(const RowBlock<double>& F, const RowBlock<double>& Y) {
  if (F.rows() != Y.rows() || F.cols() != Y.cols() || Y.rows() * Y.cols() == 0)
    throw InputError("{} x {} predictions cannot be scored against {} x {} targets", F.rows(),
                     F.cols(), Y.rows(), Y.cols());
}

/// Throws unless there is one label, 0 ... classes-1, for each of this rank's `rows` rows.
/// Collective.
void check_labels(const comm::Communicator& comm, std::span<const Index> labels, Index rows,
                  Index classes) {
  const bool known = std::all_of(labels.begin(), labels.end(),
                                 [&](Index label) { return label >= 0 && label < classes; });
  comm::agree_or_throw(comm, known && static_cast<Index>(labels.size()) == rows,
                       ExitCode::bad_input,
                       "each row of predictions needs one label, 0 ... classes-1");
}

double mean_square(const RowBlock<double>& F, const RowBlock<double>& Y,
                   std::span<const double> deviation) {
  check_shapes(F, Y);
  const Index c = Y.cols();
  if (!deviation.empty() && static_cast<Index>(deviation.size()) != c)
    throw InputError("{} deviations for {} outputs", deviation.size(), c);
  double sum = 0;
  for (Index i = 0; i < F.local_rows(); ++i)
    for (Index o = 0; o < c; ++o) {
      const auto at = static_cast<std::size_t>(o);
      const double error = (F.row(i)[at] - Y.row(i)[at]) / (deviation.empty() ? 1 : deviation[at]);
      sum += error * error;
    }
  return F.comm().all_reduce(sum, comm::Op::sum) / static_cast<double>(Y.rows() * c);
}

/// Of every output: whether its targets differ, sum_i (f - y)^2, and sum_i (y - mean)^2. The last
/// need not be 0 for equal targets, because their mean is rounded.
struct Variation {
  std::vector<bool> varies;
  std::vector<double> unexplained, total;
};

Variation variation(const RowBlock<double>& F, const RowBlock<double>& Y) {
  check_shapes(F, Y);
  const auto c = static_cast<std::size_t>(Y.cols());
  std::vector<double> least(c, kInfinity), most(c, -kInfinity), mean(c, 0.0);
  for (Index i = 0; i < Y.local_rows(); ++i)
    for (std::size_t o = 0; o < c; ++o) {
      const double y = Y.row(i)[o];
      least[o] = std::min(least[o], y);
      most[o] = std::max(most[o], y);
      mean[o] += y / static_cast<double>(Y.rows());
    }
  const auto& comm = Y.comm();
  comm.all_reduce(std::span<double>(least), comm::Op::min);
  comm.all_reduce(std::span<double>(most), comm::Op::max);
  comm.all_reduce(std::span<double>(mean), comm::Op::sum);
  Variation result{std::vector<bool>(c), std::vector<double>(c, 0.0), std::vector<double>(c, 0.0)};
  for (Index i = 0; i < Y.local_rows(); ++i)
    for (std::size_t o = 0; o < c; ++o) {
      const double y = Y.row(i)[o], error = F.row(i)[o] - y, part = y - mean[o];
      result.unexplained[o] += error * error;
      result.total[o] += part * part;
    }
  comm.all_reduce(std::span<double>(result.unexplained), comm::Op::sum);
  comm.all_reduce(std::span<double>(result.total), comm::Op::sum);
  for (std::size_t o = 0; o < c; ++o) result.varies[o] = least[o] < most[o];
  return result;
}

}  // namespace

double mse(const RowBlock<double>& F, const RowBlock<double>& Y) {
  return mean_square(F, Y, {});
}

double rmse(const RowBlock<double>& F, const RowBlock<double>& Y) {
  return std::sqrt(mse(F, Y));
}

double rmse_standardized(const RowBlock<double>& F, const RowBlock<double>& Y,
                         std::span<const double> deviation) {
  return std::sqrt(mean_square(F, Y, deviation));
}

std::vector<double> mean_squares(const RowBlock<double>& E) {
  if (E.rows() == 0) throw InputError("mean squares of 0 rows: at least 1 is needed");
  std::vector<double> sums(static_cast<std::size_t>(E.cols()), 0.0);
  for (Index i = 0; i < E.local_rows(); ++i)
    for (std::size_t o = 0; o < sums.size(); ++o) sums[o] += E.row(i)[o] * E.row(i)[o];
  E.comm().all_reduce(std::span<double>(sums), comm::Op::sum);
  for (double& sum : sums) sum /= static_cast<double>(E.rows());
  return sums;
}

std::vector<double> r_squared_by_output(const RowBlock<double>& F, const RowBlock<double>& Y) {
  const Variation of = variation(F, Y);
  std::vector<double> result(of.varies.size(), kNaN);
  for (std::size_t o = 0; o < result.size(); ++o)
    if (of.varies[o]) result[o] = 1 - of.unexplained[o] / of.total[o];
  return result;
}

double r_squared(const RowBlock<double>& F, const RowBlock<double>& Y) {
  const Variation of = variation(F, Y);
  double sum = 0, outputs = 0;
  for (std::size_t o = 0; o < of.varies.size(); ++o)
    if (of.varies[o]) {
      sum += 1 - of.unexplained[o] / of.total[o];
      ++outputs;
    }
  return outputs > 0 ? sum / outputs : kNaN;
}

std::vector<Index> predicted_classes(const RowBlock<double>& F, std::span<const double> values) {
  const auto classes = static_cast<Index>(values.size());
  if (classes == 0 || (F.cols() != 1 && F.cols() != classes))
    throw InputError("{} outputs for {} classes: one output, or one for each class, is needed",
                     F.cols(), classes);
  const auto nearest = [&](double f) {
    return std::min_element(values.begin(), values.end(),
                            [f](double a, double b) { return std::abs(f - a) < std::abs(f - b); }) -
           values.begin();
  };
  std::vector<Index> result;
  result.reserve(static_cast<std::size_t>(F.local_rows()));
  for (Index i = 0; i < F.local_rows(); ++i) {
    const auto f = F.row(i);
    if (std::any_of(f.begin(), f.end(), [](double x) { return std::isnan(x); }))
      result.push_back(-1);
    else
      result.push_back(F.cols() == 1 ? nearest(f[0])
                                     : std::max_element(f.begin(), f.end()) - f.begin());
  }
  return result;
}

Confusion::Confusion(const comm::Communicator& comm, std::span<const Index> predicted,
                     std::span<const Index> labels, Index classes)
    : counts_(static_cast<std::size_t>(classes <= kMostClasses ? classes * classes : 0), 0),
      rows_(static_cast<std::size_t>(classes), 0),
      right_(static_cast<std::size_t>(classes), 0) {
  check_labels(comm, labels, static_cast<Index>(predicted.size()), classes);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto t = static_cast<std::size_t>(labels[i]);
    ++rows_[t];
    right_[t] += predicted[i] == labels[i];
    if (has_matrix() && predicted[i] >= 0)
      ++counts_[t * rows_.size() + static_cast<std::size_t>(predicted[i])];
  }
  for (auto* counted : {&counts_, &rows_, &right_})
    comm.all_reduce(std::span<Index>(*counted), comm::Op::sum);
  if (std::reduce(rows_.begin(), rows_.end()) == 0) throw InputError("there are no rows to score");
}

double Confusion::accuracy() const {
  return static_cast<double>(std::reduce(right_.begin(), right_.end())) /
         static_cast<double>(std::reduce(rows_.begin(), rows_.end()));
}

std::vector<double> Confusion::accuracy_by_class() const {
  std::vector<double> result;
  for (std::size_t t = 0; t < rows_.size(); ++t)
    result.push_back(rows_[t] > 0 ? static_cast<double>(right_[t]) / static_cast<double>(rows_[t])
                                  : kNaN);
  return result;
}

double accuracy(const RowBlock<double>& F, std::span<const Index> labels,
                std::span<const double> values) {
  return Confusion(F.comm(), predicted_classes(F, values), labels,
                   static_cast<Index>(values.size()))
      .accuracy();
}

}  // namespace mercer::krr
