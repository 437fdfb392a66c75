#include "mercer/jobs/pairs.hpp"

#include <algorithm>

namespace mercer::jobs {

spectral::TopPairs krylov_pairs(const gram::Operator& K, const spectral::KrylovPlan& run, Index k,
                                double tolerance, const spectral::TopPairs* before,
                                std::uint64_t seed, Monitor& monitor) {
  const Monitor::Phase scope(monitor, "eigensolve");
  Matrix<double> start;
  if (before != nullptr) start = spectral::warm_start(*before);
  spectral::KrylovOptions krylov{.top = k,
                                 .tolerance = tolerance,
                                 .block = run.sizes.block,
                                 .basis = run.sizes.basis,
                                 .seed = seed,
                                 .start = start.view()};
  krylov.say = monitor.lines("solver");
  krylov.progress = [&](Index count, Index converged, double residual) {
    monitor.progress(
        std::min(0.99, static_cast<double>(count) / run.products),
        fmt::format("{} products, {} of {} pairs, residual {:.1e}", count, converged, k, residual));
  };
  return spectral::krylov(K, krylov);
}

PairSolver::PairSolver(const SpectrumStrategy& strategy, spectral::Method direct,
                       const gram::Source& kernel, const dist::RowBlock<double>& X,
                       const dist::ProcessGrid& grid, Index nb, std::uint64_t seed,
                       Monitor& monitor)
    : strategy_(strategy),
      direct_(direct),
      kernel_(kernel),
      X_(X),
      grid_(grid),
      nb_(nb > 0 ? nb : spectral::recommended_block(X.rows(), grid.shape())),
      seed_(seed),
      monitor_(monitor) {}

PairSolver::~PairSolver() = default;

double PairSolver::tolerance() const {
  const bool iterates = strategy_.iterative || direct_ == spectral::Method::krylov;
  return iterates ? spectral::Options{}.krylov_tolerance : 0;
}

spectral::TopPairs PairSolver::operator()(Index k, double tolerance,
                                          const spectral::TopPairs* before) {
  if (!strategy_.iterative) {
    auto K = monitor_.phase("assemble", [&] {
      return gram::assemble<double>(kernel_, X_, grid_, {.nb = nb_, .progress = monitor_.shares()});
    });
    spectral::Options solve{.top = k, .method = direct_, .seed = seed_};
    if (tolerance > 0) solve.krylov_tolerance = tolerance;
    return monitor_.phase(
        "eigensolve", [&] { return spectral::by_rows(spectral::eigenpairs(std::move(K), solve)); });
  }
  if (!K_.has_value()) {
    K_.emplace(kernel_, X_, grid_, nb_, strategy_.products, monitor_);
    monitor_.log("storage", K_->text());
  }
  auto pairs = krylov_pairs(K_->K(), strategy_.run, k, tolerance, before, seed_, monitor_);
  products_ += pairs.products;
  return pairs;
}

void report_cut(Monitor& monitor, const msk::SpectrumMap& g, const msk::Cut& cut, Index n,
                const std::string& of) {
  for (const auto& line : cut.notes()) monitor.log("g", line);
  monitor.log("g",
              fmt::format("{} on the top {} of {} eigenvalues{}; {} modes at or below "
                          "{:.0e} lambda_1 left as they are",
                          g.text(), cut.k, n, of, cut.spectrum.left_out, cut.spectrum.tolerance));
  if (const auto warning = cut.warning(); !warning.empty()) monitor.warn(warning);
}

}  // namespace mercer::jobs
