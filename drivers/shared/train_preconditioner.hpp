#pragma once

#include <optional>
#include <span>
#include <vector>

#include "mercer/msk/eigenspaces.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "shared/train_job.hpp"

namespace mercer::drivers {

/// The kernel whose K gives S and the traced directions: that of the command line, or with
/// --precondition empirical the network's own at w.
gram::Source training_kernel(const TrainJob& job, const gram::Source& analytic,
                             const net::Network& network, std::vector<double> w);

/// The rows that steps are made of, and S of them: K -> eigenpairs -> g -> S. Borrows its
/// arguments. Collective.
template <class T>
class Preconditioning {
 public:
  Preconditioning(const TrainJob& job, const net::Network& network, const gram::Source& kernel,
                  const data::Dataset& train, Session& session);

  /// All rows as one set, or the blocks of --stochastic block; S = I.
  std::vector<train::RowSet<T>> rows() const;
  /// S of each set, where the job has one and `with_S` (a checkpoint brings its own), the traced
  /// directions, and what theory says of the rate.
  void prepare(std::vector<train::RowSet<T>>& sets, bool with_S, std::span<const T> w_0);
  /// S of one set from the network's kernel at w.
  train::RowPreconditioner<T> again(std::size_t set, std::span<const T> w);

  const train::Directions<T>& directions() const { return directions_; }
  /// The smallest 2/(n (lambda_max + lambda_min)) of K S over the sets ([G] Thm 4.1), with the
  /// least and the largest lambda_min that the known eigenvalues allow; 0: K is not known.
  double bound_from() const { return bound_from_; }
  double bound_to() const { return bound_to_; }

  /// lambda_max and lambda_min of K_0 S, K_0 the network's own kernel at the start: with S of the
  /// analytic K not those that theory has.
  struct Extremes {
    double smallest = 0, largest = 0;
  };
  const std::optional<Extremes>& operator_spectrum() const { return operator_; }

 private:
  const dist::RowBlock<double>& inputs(std::size_t set) const {
    return blocks_.empty() ? train_.inputs : blocks_[set];
  }
  /// At least `k` pairs of K = (1/n) [k(x_i, x_j)] and g on the first `top` of them, or more where
  /// these cut an eigenspace; without S, K as it is.
  msk::CutPairs<spectral::Eigenpairs<double>> eigenpairs(const gram::Source& kernel,
                                                         const dist::RowBlock<double>& X, Index k);
  void measure_operator(const spectral::Eigenpairs<double>* pairs,
                        const msk::ModifiedSpectrum& spectrum, std::span<const T> w_0);
  /// J J^T over n K.
  double jacobian_scale() const;
  void note_bound(const msk::ModifiedSpectrum& spectrum, Index n);

  const TrainJob& job_;
  const net::Network& network_;
  const gram::Source& kernel_;
  const data::Dataset& train_;
  Session& session_;
  std::vector<dist::RowBlock<double>> blocks_;
  train::Directions<T> directions_;
  double bound_from_ = 0, bound_to_ = 0;
  std::optional<Extremes> operator_;
};

/// |K_t - K_0|/|K_0| (Frobenius) of the network's tangent kernel on the training rows. Keeps K_0.
class KernelChange {
 public:
  KernelChange(const net::Network& network, std::vector<double> w_0,
               const dist::RowBlock<double>& X, const dist::ProcessGrid& grid, Index nb);
  /// Collective; assembles K_t.
  double measure(std::vector<double> w) const;

 private:
  dist::DistMatrix<double> assemble(std::vector<double> w) const;
  const net::Network& network_;
  const dist::RowBlock<double>& X_;
  const dist::ProcessGrid& grid_;
  Index nb_;
  dist::DistMatrix<double> K_0_;
};

}  // namespace mercer::drivers
