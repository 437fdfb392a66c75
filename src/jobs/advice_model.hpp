#pragma once

#include <optional>

#include "mercer/jobs/advice.hpp"

// The linear models of advise(), on s rows of the training set: all, or a random sample.

namespace mercer::jobs {

/// Their rows, and those of the kernel matrix whose pairs they need: of the s rows, or for batches
/// of the s c rows and outputs.
struct ModelSize {
  Index s = 0, N = 0;
  bool full = false;  ///< N = s c, c > 1
};
/// Local.
ModelSize size_of_model(const TrainingOptions& options, Index n, Index c);
/// That kernel: the network's at w_0 for batches and for an S of it, else `kernel`. Local.
template <class T>
gram::Source kernel_of_model(const TrainingOptions& options, const net::Network& network,
                             const gram::Source& kernel, std::span<const T> w_0);

/// Batches with S on the parameters, or with S = I, in the coordinates of the eigenvectors of
/// K_0 = J J^T/s, J of N rows (row, output). Holds a share of N x N numbers.
template <class T>
class BatchModel {
 public:
  /// Phases: assemble, eigensolve. Collective.
  BatchModel(const TrainingOptions& options, const net::Network& network,
             const gram::Source& kernel, const data::Dataset& train, std::span<const T> w_0,
             const dist::ProcessGrid& grid, Monitor& monitor);
  /// Rate, spread and steps with the S of top.k modes. Collective.
  void predict(AdvisedTop& top) const;
  Index rank() const { return rank_; }  ///< of K_0: the largest k

 private:
  train::BatchBound bound(const std::vector<double>& gamma) const;
  Index steps_one_by_one(double rate, const std::vector<double>& gamma) const;
  Index steps_of_mean(double rate, const std::vector<double>& gamma) const;

  const TrainingOptions& options_;
  const comm::Communicator& comm_;
  ModelSize size_;
  Index n_ = 0, rank_ = 0;
  std::vector<double> lambda_;  // of K_0, all N
  Matrix<double> V_;            // N x (this rank's rows of K_0): eigenvectors by rows
  std::vector<double> along_;   // V^T r_0, on every rank
  double target_ = 0;           // of |r|/|r_0|
};

/// Full batches with an S on residuals: train::linear_steps() on the network itself, without its
/// matrix. Holds a share of s x s numbers, the eigenvectors of S's kernel, and for k = s as many in
/// T.
template <class T>
class FullModel {
 public:
  FullModel(const TrainingOptions& options, const net::Network& network, const gram::Source& kernel,
            const data::Dataset& train, std::span<const T> w_0, double activation_bytes,
            const dist::ProcessGrid& grid, Monitor& monitor);
  void predict(AdvisedTop& top);
  Index rank() const { return rank_; }  ///< of the kernel of S

 private:
  const TrainingOptions& options_;
  const comm::Communicator& comm_;
  std::span<const T> w_0_;
  Index n_ = 0, rank_ = 0;
  spectral::TopPairs pairs_;
  train::RowSet<T> rows_;
  std::optional<net::Evaluator<T>> evaluator_;
};

}  // namespace mercer::jobs
