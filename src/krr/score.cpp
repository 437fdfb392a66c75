#include "mercer/krr/score.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "mercer/comm/together.hpp"

namespace mercer::krr {

using dist::RowBlock;

namespace {

double mean_square(const RowBlock<double>& F, const RowBlock<double>& Y,
                   std::span<const double> deviation) {
  const Index c = Y.cols();
  if (F.rows() != Y.rows() || F.cols() != c || Y.rows() * c == 0)
    throw InputError("{} x {} predictions cannot be scored against {} x {} targets", F.rows(),
                     F.cols(), Y.rows(), c);
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

/// The labels that occur on any rank, ascending.
std::vector<Index> classes_of(const comm::Communicator& comm, std::span<const Index> labels) {
  const auto distinct = [](std::vector<Index> values) {
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    return values;
  };
  const std::vector<Index> mine = distinct({labels.begin(), labels.end()});
  return distinct(comm.all_gather(std::span<const Index>(mine)));
}

Index nearest(const std::vector<Index>& classes, double f) {
  return *std::min_element(classes.begin(), classes.end(), [f](Index a, Index b) {
    return std::abs(f - static_cast<double>(a)) < std::abs(f - static_cast<double>(b));
  });
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

double accuracy(const RowBlock<double>& F, std::span<const Index> labels) {
  if (F.rows() == 0) throw InputError("no predictions, no accuracy");
  comm::agree_or_throw(F.comm(), static_cast<Index>(labels.size()) == F.local_rows(),
                       ExitCode::bad_input, "one label for each row of predictions is wanted");
  const bool single = F.cols() == 1;
  const std::vector<Index> classes = single ? classes_of(F.comm(), labels) : std::vector<Index>();
  Index right = 0;
  for (Index i = 0; i < F.local_rows(); ++i) {
    const auto f = F.row(i);
    if (std::any_of(f.begin(), f.end(), [](double x) { return std::isnan(x); })) continue;
    const Index predicted =
        single ? nearest(classes, f[0]) : std::max_element(f.begin(), f.end()) - f.begin();
    right += predicted == labels[static_cast<std::size_t>(i)];
  }
  return static_cast<double>(F.comm().all_reduce(right, comm::Op::sum)) /
         static_cast<double>(F.rows());
}

}  // namespace mercer::krr
