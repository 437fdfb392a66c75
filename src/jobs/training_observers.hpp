#pragma once

#include <optional>

#include "training_parts.hpp"

// What completes the records of a training.

namespace mercer::jobs {

/// The analytic kernel of the network's architecture at infinite width, (1/n) J J^T -> scale K_inf;
/// null where there is none, with why. Local.
struct Limit {
  std::shared_ptr<const kernel::Kernel> kernel{};
  double scale = 1;
  std::string lacks{};
};
Limit limit_of(const net::Network& network);

/// The network's own kernel K_t at the records: Track, and train::Record::kernel_change. Memory:
/// K_0, the K_t at hand and what its eigenvalues take. Borrows its arguments. Calls are collective.
class KernelObserver {
 public:
  /// `S`: of the preconditioner at the start; null for S = I or where it is not of this kind.
  KernelObserver(const TrainingPlan& plan, const net::Network& network, std::vector<double> w_0,
                 const data::Dataset& train, const dist::ProcessGrid& grid, const GridS* S);

  const KernelStart& start() const { return start_; }
  void complete(std::vector<double> w, train::Record& record);
  Index assembled() const { return assembled_; }  ///< number of K_t so far

 private:
  dist::DistMatrix<double> assemble(std::vector<double> w);
  void note_start();
  void measure_drift(dist::DistMatrix<double>& K, train::Record& record) const;
  void measure_eigenvalues(std::vector<double> w, std::optional<dist::DistMatrix<double>> K,
                           train::Record& record);
  double norm(const dist::DistMatrix<double>& A) const;
  double alignment(const dist::DistMatrix<double>& K) const;

  const TrainingPlan& plan_;
  const net::Network& network_;
  const data::Dataset& train_;
  const dist::ProcessGrid& grid_;
  const GridS* S_;
  Index nb_, assembled_ = 0;
  bool drift_;
  dist::RowBlock<double> seeded_{};  // of rows and outputs, for the eigenvalues of several outputs
  std::optional<dist::DistMatrix<double>> K_0_{}, Y_{};
  KernelStart start_{};
};

/// Sets kernel_difference of `trace`, between the limit's kernel and the network's own at w_0, over
/// pairs of random test rows; NaN where there is no limit. Collective.
void note_kernel_difference(const net::Network& network, const std::vector<double>& w_0,
                            const data::Dataset& test, const dist::ProcessGrid& grid,
                            std::uint64_t seed, FunctionTrace& trace);
/// FunctionTrace::inverse_gram of the values Phi (m x k) over the rows that have targets. Throws
/// InputError where these rows do not tell the functions apart. 2 m k^2 flops. Collective.
std::vector<double> inverse_gram(const data::Dataset& test, const dist::RowBlock<double>& Phi);

/// The residual of the test rows that have targets at the records: the loss, and the projections on
/// eigenfunctions. Calls are collective.
template <class T>
class TestObserver {
 public:
  /// `functions`: null where there are none.
  TestObserver(const net::Network& network, const data::Dataset& test,
               const TestFunctions* functions, std::span<const T> w_0);

  void complete(std::span<const T> w, train::Record& record);
  /// max |f(z; w) - y| over the rows, of each the norm over the outputs.
  double largest_residual(std::span<const T> w);

 private:
  void residual(std::span<const T> w);
  std::vector<double> project() const;
  double deviation(const train::Record& record) const;

  comm::Communicator comm_;
  const FunctionTrace* trace_;
  net::Evaluator<T> evaluator_;
  Matrix<T> X_, Y_, F_;
  Matrix<double> phi_;           // k x rows
  Matrix<double> R_, R_0_;       // c x rows
  std::vector<double> start_{};  // coefficients of r_0, c numbers for each phi_i
  double rows_, outputs_;
};

}  // namespace mercer::jobs
