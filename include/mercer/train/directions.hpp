#pragma once

#include <span>
#include <vector>

#include "mercer/base/matrix.hpp"
#include "mercer/comm/communicator.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "mercer/spectral/krylov.hpp"

namespace mercer::train {

/// Chosen eigenvectors v_i of K, by rows, along which the residual is measured. Linear theory ([G]
/// Thm 4.1) predicts v_i^T r_t = prod_t (1 - eta_t n lambda_i s_i) v_i^T r_0, s_i the eigenvalue of
/// S for v_i.
template <class T>
class Directions {
 public:
  Directions() = default;  ///< none
  /// From pairs by rows (local) or on the grid (collective). `which`: the numbers i, from 1,
  /// ascending, at most the number of pairs. `ratio`: s_i of all pairs (g(lambda_i)/lambda_i, 1
  /// beyond k); empty where S is the identity or does not share K's eigenvectors (the prediction is
  /// then that of S = I). Throws InputError naming the i that is out of range or does not ascend,
  /// RunError where `ratio` has fewer entries than there are pairs.
  Directions(const spectral::TopPairs& pairs, std::span<const Index> which,
             std::span<const double> ratio);
  Directions(const spectral::Eigenpairs<double>& pairs, std::span<const Index> which,
             std::span<const double> ratio);

  bool empty() const { return which_.empty(); }
  const std::vector<Index>& which() const { return which_; }
  /// n lambda_i s_i: a step of rate eta multiplies v_i^T r by 1 - eta times this. NaN: not known.
  const std::vector<double>& rates() const { return rates_; }
  /// Rates of another S, whose pairs are `lambda` (at least as many as which().back()) and `ratio`;
  /// those of fewer pairs are NaN. The v_i stay. Local.
  void set_rates(Index n, std::span<const double> lambda, std::span<const double> ratio);
  /// |v_i^T r| (2-norm over the outputs) for the residuals R, c x m of this rank's rows. 2 c m
  /// flops for each direction. Collective.
  std::vector<double> measure(const comm::Communicator& comm, MatrixView<const T> R) const;

 private:
  /// Sets which_ and rates_; returns the columns of V that are needed.
  std::vector<Index> choose(Index n, std::span<const double> lambda, std::span<const Index> which,
                            std::span<const double> ratio);
  std::vector<Index> which_;
  std::vector<double> rates_;
  Matrix<T> V_;  ///< chosen x m
};

}  // namespace mercer::train
