#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/krr/covariance.hpp"
#include "ridge_parts.hpp"

namespace mercer::jobs {
namespace {

using dist::DistMatrix;

template <class T>
dist::RowBlock<double> by_rows(const DistMatrix<T>& A, const comm::Communicator& comm) {
  dist::RowBlock<T> rows(comm, A.rows(), A.cols());
  dist::copy(A, rows);
  dist::RowBlock<double> result(comm, A.rows(), A.cols());
  std::ranges::copy(rows.values(), result.values().begin());
  return result;
}

template <class T>
std::vector<dist::RowBlock<double>> covariances_in(const RidgePlan& plan, const RidgeFit& fit,
                                                   const data::Split& sets,
                                                   const dist::ProcessGrid& grid, bool trained) {
  const auto& X = sets.train.inputs;
  const auto& Z = sets.test->inputs;
  const auto& pairs = *pairs_of<T>(fit);
  const auto& T_kernel = plan.kernel.kernel();
  const auto k = kernel::nngp_of(T_kernel);
  const gram::Options how{.panel_bytes = plan.panel_bytes, .nb = plan.nb, .over_n = false};
  const auto k_ZX = gram::assemble_cross<T>(*k, Z, X, grid, how);
  auto k_ZZ = gram::assemble<T>(*k, Z, grid, how);
  const double gamma = fit.best_fit().ridge;
  std::vector<krr::GradientFlow> flows;
  for (const auto& one : fit.fits)
    flows.push_back({.time = one.time, .ridge = gamma, .step = fit.step});

  std::vector<dist::RowBlock<double>> result;
  if (!trained) {
    for (const auto& flow : flows)
      result.push_back(by_rows(krr::readout_covariance(pairs, k_ZX, k_ZZ.copy(), flow), X.comm()));
    return result;
  }
  const auto T_ZX = gram::assemble_cross<T>(T_kernel, Z, X, grid, how);
  const krr::TrainedCovariance<T> covariance(pairs, T_ZX, gram::assemble<T>(*k, X, grid, how),
                                             k_ZX);
  for (const auto& flow : flows) result.push_back(by_rows(covariance.at(k_ZZ, flow), X.comm()));
  return result;
}

/// The smallest, mean and largest standard deviation.
std::array<double, 3> deviations(const dist::RowBlock<double>& covariance) {
  double least = INFINITY, sum = 0, largest = 0;
  for (Index i = 0; i < covariance.local_rows(); ++i) {
    const Index row = covariance.first_row() + i;
    const double variance = covariance.row(i)[static_cast<std::size_t>(row)];
    const double s = variance < 0 ? 0 : std::sqrt(variance);  // a NaN stays one
    least = std::min(least, s);
    sum += s;
    largest = std::max(largest, s);
  }
  const auto& comm = covariance.comm();
  return {comm.all_reduce(least, comm::Op::min),
          comm.all_reduce(sum, comm::Op::sum) / static_cast<double>(covariance.rows()),
          comm.all_reduce(largest, comm::Op::max)};
}

}  // namespace

Covariances covariances(const RidgePlan& plan, const RidgeFit& fit, const data::Split& sets,
                        const dist::ProcessGrid& grid, Monitor& monitor) {
  if (!plan.options.time.covariance) throw InputError("`covariance`: the plan has none");
  require_planned(plan.rows_hash, sets.train);
  const Monitor::Phase scope(monitor, "covariance");
  Covariances result;
  result.trained = plan.kernel.text().starts_with("ntk(");
  result.values = plan.single() ? covariances_in<float>(plan, fit, sets, grid, result.trained)
                                : covariances_in<double>(plan, fit, sets, grid, result.trained);
  for (const auto& one : result.values) result.deviations.push_back(deviations(one));
  return result;
}

void write(io::Hdf5File& file, const Covariances& covariances) {
  const std::string dataset = covariances.trained ? "/at_time/ntk_cov" : "/at_time/nngp_cov";
  file.write_stack(dataset, std::span(covariances.values));
}

}  // namespace mercer::jobs
