#pragma once

#include "mercer/jobs/training.hpp"

// What the parts of a training share.

namespace mercer::jobs {

/// Test rows go through in batches whose activations fit into this.
inline constexpr double kTestMemory = 64.0 * 1024 * 1024;

/// The rows that steps are made of, and S of them: K -> eigenpairs -> g -> S. Borrows its
/// arguments. Collective.
template <class T>
class Preconditioning {
 public:
  Preconditioning(const TrainingPlan& plan, const net::Network& network, const gram::Source& kernel,
                  const data::Dataset& train, const dist::ProcessGrid& grid, Monitor& monitor);

  /// All rows as one set, or the blocks of Stochastic::block; S = I.
  std::vector<train::RowSet<T>> rows() const;
  /// S of each set, where the job has one and `with_S` (a checkpoint brings its own), the traced
  /// directions, and what theory says of the rate.
  void prepare(std::vector<train::RowSet<T>>& sets, bool with_S, std::span<const T> w_0,
               Training<T>& training);
  /// S of one set from the network's kernel at w.
  msk::Preconditioner<T> again(std::size_t set, std::span<const T> w);

  const train::Directions<T>& directions() const { return directions_; }
  /// Of K with one vector, by the iterative solver. Local.
  Index products() const { return products_; }

 private:
  const dist::RowBlock<double>& inputs(std::size_t set) const {
    return blocks_.empty() ? train_.inputs : blocks_[set];
  }
  /// At least `k` pairs of K = (1/n) [k(x_i, x_j)] and g on the first `top` of them, or more where
  /// these cut an eigenspace; without S, K as it is.
  msk::CutPairs<spectral::TopPairs> pairs(const gram::Source& kernel,
                                          const dist::RowBlock<double>& X, Index k);
  /// J J^T over n K.
  double jacobian_scale() const;
  void note_bound(const msk::ModifiedSpectrum& spectrum, Index n, Training<T>& training) const;
  /// `pairs`: null for S = I.
  Extremes operator_spectrum(const spectral::TopPairs* pairs, const msk::ModifiedSpectrum& spectrum,
                             std::span<const T> w_0) const;

  const TrainingPlan& plan_;
  const TrainingOptions& options_;
  const net::Network& network_;
  const gram::Source& kernel_;
  const data::Dataset& train_;
  const dist::ProcessGrid& grid_;
  Monitor& monitor_;
  std::vector<dist::RowBlock<double>> blocks_;
  train::Directions<T> directions_;
  Index products_ = 0;
};

}  // namespace mercer::jobs
