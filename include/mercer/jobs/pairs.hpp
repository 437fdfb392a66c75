#pragma once

#include <memory>
#include <optional>
#include <string>

#include "mercer/jobs/spectrum.hpp"
#include "mercer/msk/eigenspaces.hpp"

namespace mercer::jobs {

/// The top k pairs of K to `tolerance` by block Krylov, in the sizes of `run`, from those of an
/// earlier call where there was one. Phase: eigensolve. Collective.
spectral::TopPairs krylov_pairs(const gram::Operator& K, const spectral::KrylovRun& run, Index k,
                                double tolerance, const spectral::TopPairs* before,
                                std::uint64_t seed, Monitor& monitor);

/// The top pairs of a kernel matrix by rows, as a strategy says: by a direct solver from the
/// assembled K, redistributed once, or by block Krylov from products with K, which is never
/// assembled. For what needs pairs and no spectrum: S of a training, for instance. Borrows kernel,
/// X, grid and monitor.
class PairSolver {
 public:
  /// `nb`: block size, 0: chosen. `direct`: the direct solver, chosen for X where automatic.
  PairSolver(const SpectrumStrategy& strategy, spectral::Method direct, const gram::Source& kernel,
             const dist::RowBlock<double>& X, const dist::ProcessGrid& grid, Index nb,
             std::uint64_t seed, Monitor& monitor);
  ~PairSolver();

  /// The tolerance that a call wants, for msk::SolveOptions; 0 for a direct solver.
  double tolerance() const;
  /// k pairs to `tolerance` (0: direct), from those of an earlier call where there was one. Phases:
  /// assemble, eigensolve. Collective.
  spectral::TopPairs operator()(Index k, double tolerance, const spectral::TopPairs* before);
  Index products() const { return products_; }  ///< of K with one vector, so far

 private:
  const SpectrumStrategy& strategy_;
  spectral::Method direct_;
  const gram::Source& kernel_;
  const dist::RowBlock<double>& X_;
  const dist::ProcessGrid& grid_;
  Index nb_;
  std::uint64_t seed_;
  Monitor& monitor_;
  std::optional<Products> K_;  ///< kept between calls
  Index products_ = 0;
};

/// The lines that tell what g acts on, and a warning where the cut leaves something open. `of`:
/// what the eigenvalues are of, " of each block" or nothing.
void report_cut(Monitor& monitor, const msk::SpectrumMap& g, const msk::Cut& cut, Index n,
                const std::string& of = "");

}  // namespace mercer::jobs
